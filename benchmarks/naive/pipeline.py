"""One recording the obvious numpy and h5py way: everything in memory, loops over units and trials, one dataset a time.

This is how a competent scientist writes it without a library: it does the same work and stores the same arrays.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
from scipy.signal import find_peaks

PRE_MARGIN_FRAMES = 60
MEASURES = ("RoiSize", "SNR", "Separability", "Kurtosis")


def load_recording(cmcr_path: Path, cmtr_path: Path) -> dict[str, Any]:
    """Spike times, waveforms and rates of every unit, light reference, frame pulses."""
    with h5py.File(cmcr_path, "r") as file:
        channels = file["Acquisition/Analog Data/ChannelData 1"][()]
        tick_us = file["Acquisition/Analog Data/ChannelMeta"]["Tick"][0]
    rate = 1e6 / tick_us
    light = {}
    for index, channel in enumerate(channels, start=1):
        light[f"raw_ch{index}"] = channel.astype(np.float32)
        for name, hz in (("1khz", 1000), ("10hz", 10)):
            length = round(rate / hz)
            whole = channel[: len(channel) // length * length]
            light[f"{name}_ch{index}"] = whole.reshape(-1, length).mean(axis=1).astype(np.float32)
    steps = np.diff(channels[1].astype(np.int64))
    peaks, _ = find_peaks(steps / np.percentile(steps, 99.9), height=0.1)
    frames = peaks[4:].astype(np.uint64)
    end = channels.shape[1]
    units = {}
    with h5py.File(cmtr_path, "r") as file:
        for name, group in file["Spike Sorter"].items():
            if not name.startswith("Unit "):
                continue
            info, peaks_table = group["Unit Info"][0], group["Peaks"][()]
            peaks_table = peaks_table[peaks_table["IncludePeak"] == 1]
            spikes = np.rint(peaks_table["Timestamp"] * rate / 1e6).astype(np.uint64)
            samples = [field for field in peaks_table.dtype.names if field.isdigit()]
            cutouts = np.stack([peaks_table[field] for field in samples], axis=1)
            edges = np.arange(0, end + rate / 10, rate / 10)
            units[f"unit_{int(info['UnitID']):03d}"] = {
                "spike_times": spikes,
                "waveform": cutouts.mean(axis=0, dtype=np.float64).astype(np.float32),
                "firing_rate_10hz": (np.histogram(spikes, edges)[0] * 10).astype(np.float32),
                "row": int(info["Row"]),
                "col": int(info["Column"]),
                "global_id": int(info["SensorID"]),
                "unit_meta": {name: info[name].item() for name in MEASURES},
            }
    return {"units": units, "light_reference": light, "frame_timestamps": frames, "acquisition_rate": rate}


def load_spikes(path: Path, rate: float = 20000.0) -> dict[str, Any]:
    """A spike-sorted recording in the retinal-wave layout."""
    units = {}
    with h5py.File(path, "r") as file:
        spikes, counts = file["spikes"][()].ravel(), file["sCount"][()].ravel()
        duration = float(np.ravel(file["summary/duration"][()])[0])
        names, (x_um, y_um) = file["names"].asstr()[()].ravel(), file["epos"][()]
    start = 0
    for index, count in enumerate(counts, start=1):
        samples = np.sort(np.rint(spikes[start : start + count] * rate).astype(np.uint64))
        start += count
        edges = np.arange(0, duration * rate + rate / 10, rate / 10)
        units[f"unit_{index:03d}"] = {
            "spike_times": samples,
            "waveform": np.empty(0, np.float32),
            "firing_rate_10hz": (np.histogram(samples, edges)[0] * 10).astype(np.float32),
            "unit_meta": {"name": names[index - 1], "x_um": x_um[index - 1], "y_um": y_um[index - 1]},
        }
    return {"units": units, "light_reference": {}, "acquisition_rate": rate, "duration_s": duration}


def add_section_time(recording: dict[str, Any], playlist: list[str], lengths_csv: Path) -> None:
    """Samples between which each movie was shown, once each."""
    lengths = dict(pl.read_csv(lengths_csv).rows())
    frames, count, sections = recording["frame_timestamps"], 0, {}
    for movie in playlist:
        length = lengths[movie]
        bounds = np.clip([count + 180 - 60, count + 180 + 120 + length + 1], 0, len(frames) - 1)
        sections[movie] = frames[bounds].reshape(1, 2)
        count += 2 * 180 + length + 1
    recording["section_time"] = sections
    light = recording["light_reference"]["raw_ch1"]
    recording["light_template"] = {movie: light[int(a) : int(b)] for movie, ((a, b),) in sections.items()}


def add_windows(recording: dict[str, Any], length_s: float) -> None:
    """Regular windows; each is a trial."""
    length = round(length_s * recording["acquisition_rate"])
    starts = np.arange(0, round(recording["duration_s"] * recording["acquisition_rate"]) - length + 1, length)
    recording["section_time"] = {"window": np.stack([starts, starts + length], axis=1).astype(np.uint64)}


def trial_windows(recording: dict[str, Any], movie: str, config_dir: Path | None) -> np.ndarray:
    """First and last sample of each trial."""
    rows = recording["section_time"][movie].astype(np.int64)
    if config_dir is None:
        return rows
    kwargs = json.loads((config_dir / f"{movie}.json").read_text())["section_kwargs"]
    frames, repeat = recording["frame_timestamps"], kwargs["repeat"]
    windows = []
    for start, _ in rows:
        first = np.searchsorted(frames, start, side="right") - 1 + PRE_MARGIN_FRAMES + kwargs["start_frame"]
        for n in range(kwargs.get("group_count", 1) * repeat):
            frame = first + n * kwargs["trial_length_frame"] + (n // repeat) * kwargs.get("group_gap", 0)
            bounds = np.clip([frame, frame + kwargs["trial_length_frame"]], 0, len(frames) - 1)
            windows.append(frames[bounds].astype(np.int64))
    return np.array(windows)


def section_spikes(recording: dict[str, Any], config_dir: Path | None) -> None:
    """Each unit's spikes in each trial of each movie, by boolean masks."""
    for movie in recording["section_time"]:
        windows = trial_windows(recording, movie, config_dir)
        for unit in recording["units"].values():
            spikes = unit["spike_times"].astype(np.int64)
            trials = [spikes[(spikes >= start) & (spikes < stop)] for start, stop in windows]
            unit.setdefault("sectioned", {})[movie] = (trials, windows)


def compute_sta(recording: dict[str, Any], movie: str, stimuli_dir: Path, cover: tuple[int, int] = (-60, 0)) -> None:
    """The mean movie before each spike, by fancy indexing."""
    stimulus = np.load(stimuli_dir / f"{movie}.npy")
    frames = recording["frame_timestamps"]
    first = np.searchsorted(frames, recording["section_time"][movie][0, 0], side="right") - 1 + PRE_MARGIN_FRAMES
    window = np.arange(*cover)
    for unit in recording["units"].values():
        spikes = unit["sectioned"][movie][0][0]
        at = np.clip(np.searchsorted(frames, spikes, side="right") - 1, 0, None) - first
        at = at[(at + cover[0] >= 0) & (at + cover[1] <= len(stimulus))]
        sta = stimulus[at[:, None] + window].mean(axis=0, dtype=np.float64).astype(np.float32)
        unit.setdefault("features", {})[f"sta_{movie}"] = {"data": sta}


def extract_frif(recording: dict[str, Any]) -> None:
    """The rate between one frame and the next."""
    frames, rate = recording["frame_timestamps"].astype(np.int64), recording["acquisition_rate"]
    for unit in recording["units"].values():
        counts = np.diff(np.searchsorted(unit["spike_times"].astype(np.int64), frames))
        values = {"FRIF": (counts * rate / np.diff(frames)).astype(np.float32), "FRIF_x_axis": frames[:-1] / rate}
        unit.setdefault("features", {})["frif"] = values


def extract_baseline(recording: dict[str, Any], movie: str, feature: str, bin_s: float = 0.02) -> None:
    """Rate and regularity of firing in a movie's trials."""
    rate = recording["acquisition_rate"]
    for unit in recording["units"].values():
        trials, windows = unit["sectioned"][movie]
        durations = np.diff(windows, axis=1) / rate
        edges = np.arange(np.floor(durations.max() / bin_s + 1e-9) + 1) * (bin_s * rate)
        psth = [np.histogram(t - start, edges)[0] / bin_s for t, (start, _) in zip(trials, windows, strict=True)]
        intervals = np.concatenate([np.diff(spikes) for spikes in trials]) / rate
        count = sum(map(len, trials))
        violations = float((intervals < 0.0015).mean()) if len(intervals) else np.nan
        unit.setdefault("features", {})[feature] = {
            "mean_rate": count / durations.sum(),
            "std_rate": np.mean(psth, axis=0).std(),
            "cv_isi": intervals.std() / intervals.mean() if len(intervals) > 1 else np.nan,
            "median_isi_ms": np.median(intervals) * 1000 if len(intervals) else np.nan,
            "spike_count": count,
            "isi_violations_ratio": violations,
            "quality_index": 1 - violations,
        }


def save(recording: dict[str, Any], path: Path, compression: str | None = None) -> None:
    """One `create_dataset` for each array."""
    options = {} if compression is None else {"compression": compression}
    with h5py.File(path, "w") as file:
        for name, unit in recording["units"].items():
            group = file.create_group(f"units/{name}")
            for key in ("row", "col", "global_id"):
                if key in unit:
                    group.attrs[key] = unit[key]
            group.attrs["spike_count"] = len(unit["spike_times"])
            for key in ("spike_times", "waveform", "firing_rate_10hz"):
                group.create_dataset(key, data=unit[key])
            for key, value in unit["unit_meta"].items():
                group.create_dataset(f"unit_meta/{key}", data=value)
            for movie, (trials, windows) in unit.get("sectioned", {}).items():
                section = group.create_group(f"spike_times_sectioned/{movie}")
                section.create_dataset("full_spike_times", data=np.unique(np.concatenate(trials)))
                section.create_dataset("trials_start_end", data=windows)
                for index, spikes in enumerate(trials):
                    section.create_dataset(f"trials_spike_times/{index}", data=spikes)
            for feature, values in unit.get("features", {}).items():
                place = group.create_group(f"features/{feature}")
                for key, value in values.items():
                    if np.ndim(value):
                        place.create_dataset(key, data=value, **options)
                    else:
                        place.attrs[key] = value
        for kind in ("light_reference", "section_time", "light_template"):
            for name, data in recording.get(kind, {}).items():
                file.create_dataset(f"stimulus/{kind}/{name}", data=data, **options)
        file.create_dataset("metadata/acquisition_rate", data=recording["acquisition_rate"])
        if "frame_timestamps" in recording:
            file.create_dataset("metadata/frame_timestamps", data=recording["frame_timestamps"])
            file.create_dataset(
                "metadata/frame_time", data=recording["frame_timestamps"] / recording["acquisition_rate"]
            )
