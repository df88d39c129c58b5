"""What two releases make of the same real units: the table of docs/measures.md.

    OLD/bin/python benchmarks/two_releases.py values old.json
    NEW/bin/python benchmarks/two_releases.py values new.json
    python benchmarks/two_releases.py compare old.json new.json

OLD and NEW are environments with the releases installed. Recordings: `retina_mea` in `H5BURST_TEST_DATA`; up to 40
units of each that fire at 0.2 spikes/s or more, cut into three trials of stimuli that they never saw, at 60.3 frames a
second. Also, as steps of light, into 3 and 10 trials in which a burst of the unit's own begins 100 to 117 ms after
the edge: a response whose onset is known. `late_ms` there is `on_latency_ms` less that onset.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import h5py
import numpy as np

SAMPLING, FRAME_HZ, UNITS, TRIALS = 20_000.0, 60.3, 40, 3
STEP, LEAD, STEP_FRAMES = "step_up_5s_5i_b0_3x", 60, 600
BURSTS = (3, 10)  # trials; no unit of these has 30 bursts that stand alone
APART_S, QUIET_S, SPIKES = 12.0, 2.0, 5  # between bursts, before a burst, in its first second
MOVIES = {
    "step_up_5s_5i_b0_3x": 600,
    "green_blue_3s_3i_3x": 720,
    "moving_h_bar_s5_d8_3x": 4520,
    "freq_step_5st_3x": 1500,
    "baseline_127": 7200,
}


def trains() -> list[tuple[str, np.ndarray, float]]:
    """Recording and unit, spikes in samples, duration in seconds."""
    found = []
    for path in sorted((Path(os.environ["H5BURST_TEST_DATA"]) / "retina_mea").glob("*.h5")):
        with h5py.File(path, "r") as file:
            seconds = np.split(file["spikes"][()], np.cumsum(file["sCount"][()])[:-1])
            duration = float(file["summary/duration"][0])
        busy = [(n, one) for n, one in enumerate(seconds) if len(one) >= 0.2 * duration][:UNITS]
        found += [(f"{path.stem}/{n}", np.sort(np.rint(one * SAMPLING)).astype(np.int64), duration) for n, one in busy]
    return found


def unit_of(movie: str, length: int, spikes: np.ndarray, pulses: np.ndarray, starts: list[int]) -> dict:
    windows = np.array([[pulses[start], pulses[start + length]] for start in starts])
    inside = [spikes[(spikes >= first) & (spikes < last)] for first, last in windows]
    section = {"trials_spike_times": dict(enumerate(inside)), "trials_start_end": windows}
    return {"spike_times": spikes.astype(np.uint64), "spike_times_sectioned": {movie: section}, "features": {}}


def bursts(spikes: np.ndarray, pulses: np.ndarray) -> tuple[list[int], list[float]]:
    """First frames of trials whose edge is 100 to 117 ms before a burst, and the burst's onset after it in ms."""
    starts, onsets, free = [], [], 0.0
    before = np.diff(spikes, prepend=spikes[:1] - int(QUIET_S * SAMPLING)) >= QUIET_S * SAMPLING
    for onset in spikes[before].tolist():
        inside = np.searchsorted(spikes, onset + SAMPLING) - np.searchsorted(spikes, onset)
        edge = int(np.searchsorted(pulses, onset - 0.1 * SAMPLING, side="right")) - 1
        if inside < SPIKES or onset < free or not LEAD <= edge < len(pulses) - STEP_FRAMES:
            continue
        starts.append(edge - LEAD)
        onsets.append((onset - int(pulses[edge])) / SAMPLING * 1000)
        free = onset + APART_S * SAMPLING
    return starts, onsets


def scalars_of(measured: dict) -> dict[str, float | str]:
    scalars = {key: one for key, one in measured.items() if np.ndim(one) == 0 and one is not None}
    return {key: one if isinstance(one, str) else float(one) for key, one in scalars.items()}


def values(out: str) -> None:
    from hdmea.features import FeatureRegistry

    made: dict[str, dict[str, float | str]] = {}
    for name, spikes, duration in trains():
        pulses = np.rint(np.arange(0.25, duration, 1 / FRAME_HZ) * SAMPLING).astype(np.int64)
        metadata = {"acquisition_rate": SAMPLING, "frame_timestamps": pulses, "recording_duration_s": duration}
        for movie, length in MOVIES.items():
            if 100 + TRIALS * length >= len(pulses):
                continue
            extractor = FeatureRegistry.get(movie)()
            unit = unit_of(movie, length, spikes, pulses, [100 + n * length for n in range(TRIALS)])
            measured = extractor.extract(unit, {}, extractor.settings({}, movie), metadata)
            family = extractor.family if movie != "baseline_127" else "baseline"
            made[f"{family}|{name}"] = scalars_of(measured)
        starts, onsets = bursts(spikes, pulses)
        extractor = FeatureRegistry.get(STEP)()
        for trials in (count for count in BURSTS if count <= len(starts)):
            unit = unit_of(STEP, STEP_FRAMES, spikes, pulses, starts[:trials])
            measured = extractor.extract(unit, {}, extractor.settings({}, STEP), metadata)
            late = measured["on_latency_ms"] - float(np.mean(onsets[:trials]))
            made[f"{trials} of its bursts|{name}"] = scalars_of(measured) | {"late_ms": late}
    Path(out).write_text(json.dumps(made), encoding="utf-8")


def compare(old: str, new: str) -> None:
    before, after = (json.loads(Path(path).read_text(encoding="utf-8")) for path in (old, new))
    print("| family | value | units | NaN before, now | median before | median now | change: median (25 %, 75 %) |")
    print("|---|---|---|---|---|---|---|")
    same, added = [], []
    for family in dict.fromkeys(key.partition("|")[0] for key in after):
        units = [key for key in after if key.startswith(family + "|") and key in before]
        for value in after[units[0]]:
            if value not in before[units[0]]:
                added.append(f"{family} `{value}`")
                continue
            pairs = [(before[unit][value], after[unit][value]) for unit in units]
            if isinstance(pairs[0][1], str):
                moved = sum(one != two for one, two in pairs)
                if moved:
                    print(f"| {family} | `{value}` | {len(units)} | – | – | – | another text in {moved} |")
                else:
                    same.append(f"{family} `{value}`")
                continue
            a, b = np.array(pairs, float).T
            if np.array_equal(a, b, equal_nan=True):
                same.append(f"{family} `{value}`")
                continue
            change = (b - a)[np.isfinite(a) & np.isfinite(b)]
            spread = "–"
            if len(change):
                middle, low, high = np.percentile(change, [50, 25, 75])
                spread = f"{middle:.3g} ({low:.3g}, {high:.3g}) of {len(change)}"
            print(
                f"| {family} | `{value}` | {len(units)} | {np.isnan(a).sum()}, {np.isnan(b).sum()} | "
                f"{_median(a)} | {_median(b)} | {spread} |"
            )
    print(f"\nThe same to the last bit: {', '.join(same)}.\n\nNew: {', '.join(added)}.")


def _median(found: np.ndarray) -> str:
    finite = found[np.isfinite(found)]
    return f"{np.median(finite):.3g}" if len(finite) else "–"


if __name__ == "__main__":
    if sys.argv[1:2] == ["values"] and len(sys.argv) == 3:
        values(sys.argv[2])
    elif sys.argv[1:2] == ["compare"] and len(sys.argv) == 4:
        compare(*sys.argv[2:])
    else:
        sys.exit(__doc__)
