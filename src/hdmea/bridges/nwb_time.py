"""The parts of a NWB file that are in time: trials, presentations, light references, frames. Needs pynwb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pynwb.epoch import TimeIntervals

from hdmea.bridges.binned import sections_of
from hdmea.bridges.nwb_restore import FRAMES, LIGHT, PRESENTATIONS, TRIALS
from hdmea.bridges.nwb_streams import streamed_array
from hdmea.bridges.scale import counts_to_volts
from hdmea.io.light_reference import REDUCED_RATES, samples_per_block
from hdmea.session.session import PipelineSession
from hdmea.steps.per_unit import number


def add_intervals(file: Any, session: PipelineSession, rate: float) -> None:
    """Trials as the file's `trials`, presentations of the stimuli as intervals beside them; by start."""
    trials = _trials(session, rate)
    if trials:
        texts = {
            "stimulus": "section of the stimulus",
            "trial": "number of the trial in its section, from 0",
            "pre_margin_s": "s before the start whose spikes the trial holds as well",
            "post_margin_s": "s after the end whose spikes the trial holds as well",
        }
        file.trials = _intervals(TRIALS, "trials by which spikes were cut", trials, texts)
    shown = session.stimulus.get("section_time") or {}
    rows = [
        (start / rate, stop / rate, str(name), count)
        for name, bounds in shown.items()
        for count, (start, stop) in enumerate(np.asarray(bounds).reshape(-1, 2).tolist())
    ]
    if rows:
        texts = {"stimulus": "what was shown", "presentation": "number of the presentation of this stimulus, from 0"}
        file.add_time_intervals(_intervals(PRESENTATIONS, "when each stimulus was shown", rows, texts))


def _trials(session: PipelineSession, rate: float) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for name in sections_of(session):
        for unit in session.units.values():
            section = (unit.get("spike_times_sectioned") or {}).get(name)
            if not isinstance(section, Mapping) or section.get("trials_start_end") is None:
                continue
            margins = [number(section.get(key), 0.0) / rate for key in ("pre_samples", "post_samples")]
            bounds = np.asarray(section["trials_start_end"]).reshape(-1, 2).tolist()
            rows += [(start / rate, stop / rate, name, trial, *margins) for trial, (start, stop) in enumerate(bounds)]
            break
    return rows


def _intervals(name: str, description: str, rows: list[tuple[Any, ...]], texts: Mapping[str, str]) -> Any:
    table = TimeIntervals(name=name, description=description)
    for column, text in texts.items():
        table.add_column(name=column, description=text)
    for row in sorted(rows, key=lambda row: row[:2]):
        table.add_interval(**dict(zip(("start_time", "stop_time", *texts), row, strict=True)))
    return table


# ---------------------------------------------------------------- traces


def add_light(pynwb: Any, file: Any, session: PipelineSession, rate: float) -> None:
    """Each trace of the light reference as a time series; in volts where the vendor's file gives the scale."""
    scale = counts_to_volts(session, "ChannelMeta")
    for name, trace in (session.stimulus.get("light_reference") or {}).items():
        if len(trace) == 0:
            continue
        kind = str(name).partition("_")[0]
        rate_hz = rate / samples_per_block(rate, REDUCED_RATES[kind]) if kind in REDUCED_RATES else rate
        how = "block means" if kind in REDUCED_RATES else "every sample"
        measured = {"unit": "ADC counts"} if scale is None else dict(zip(("conversion", "offset"), scale, strict=True))
        file.add_stimulus(
            pynwb.TimeSeries(
                name=f"{LIGHT}{name}",
                data=streamed_array(trace),
                rate=rate_hz,
                starting_time=0.0,
                description=f"analog channel {str(name).rpartition('_')[2]} (light reference), {how}",
                **{"unit": "volts", **measured},
            )
        )


def add_frames(pynwb: Any, file: Any, session: PipelineSession, rate: float) -> None:
    """Add the beginnings of the stimulus' frames: each frame's number as a time series."""
    stored = session.metadata.get("frame_timestamps")
    samples = np.empty(0, np.int64) if stored is None else np.asarray(stored).astype(np.int64)
    if not len(samples):
        return
    steps = np.unique(np.diff(samples))
    when: dict[str, Any] = (
        {"rate": rate / float(steps[0]), "starting_time": float(samples[0]) / rate}
        if len(steps) == 1
        else {"timestamps": streamed_array(samples / rate)}
    )
    file.add_stimulus(
        pynwb.TimeSeries(
            name=FRAMES,
            data=streamed_array(np.arange(len(samples), dtype=np.uint32)),
            unit="frame",
            description="number of the frame of the stimulus that begins at this time, from the frame pulses",
            **when,
        )
    )
