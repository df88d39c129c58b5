"""Responses to steps of light: on for some seconds, then dark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hdmea.features.arrays import Floats
from hdmea.features.base import COMMON_SCHEMA, StimulusFeature
from hdmea.features.edges import EDGE_DEFAULTS, EDGE_SCHEMA, NAN, LightStep, edge_response, edges_of
from hdmea.features.movie_check import full_field_problems
from hdmea.features.trials import Trials, contrast_index

# How edge values are called here where it differs from `{side}_{value}`: the names of earlier versions.
_NAMES = {"on_quiet_rate": "baseline_rate", "off_quiet_rate": "off_baseline_rate"}


class OnOff(StimulusFeature):
    """ON and OFF responses to a step of light that begins `lead_frames` after the trial.

    A response is the mean rate of the 400 ms after an edge less that of quiet frames: for ON the last second before the
    edge and the last two of the trial, for OFF the last three of light. It is tested by rolling each trial.

    Source of the index: Akerman, Smyth & Thompson 2002, Neuron 36:623. Definitions: docs/measures.md.
    """

    family: ClassVar[str] = "on_off"
    timing: ClassVar[tuple[str, ...]] = ("on_frames",)
    defaults: ClassVar[dict[str, Any]] = {**EDGE_DEFAULTS, "psth_bins_per_frame": 1}
    output_schema: ClassVar[dict[str, str]] = {
        **{
            _NAMES.get(f"{side}_{name}", f"{side}_{name}"): description
            for side in ("on", "off")
            for name, description in EDGE_SCHEMA.items()
        },
        "on_off_index": "(ON - OFF) / (ON + OFF) of the rectified responses, 0 where p >= 0.005; NaN where both are",
        "transience": "of the side with the larger response; NaN if neither responds",
        "psth": "float64 (frames,), spikes/s, mean over trials; with psth_bins_per_frame 2 in half frames",
        **COMMON_SCHEMA,
    }
    description: ClassVar[str] = "ON and OFF responses to a step of light"

    def compute(self, trials: Trials, settings: Mapping[str, Any]) -> dict[str, Any]:
        counts = trials.counts()
        lead, length = int(settings["lead_frames"]), trials.length
        step = LightStep(0, lead, lead + int(settings["on_frames"]), length)
        responses = {
            side: edge_response(trials, counts, edge, settings, stream)
            for stream, (side, edge) in enumerate(zip(("on", "off"), edges_of(step, trials, settings), strict=True))
        }
        values: dict[str, Any] = {}
        for side, edge in responses.items():
            values |= {_NAMES.get(f"{side}_{name}", f"{side}_{name}"): value for name, value in edge.values.items()}
        on, off = (max(edge.response, 0.0) if edge.responsive else 0.0 for edge in responses.values())
        values["on_off_index"] = contrast_index(on, off)
        values["transience"] = values["on_transience" if on >= off else "off_transience"] if on + off > 0 else NAN
        values["psth"] = _psth(trials, int(settings["psth_bins_per_frame"]))
        return values

    def check_movie(self, frames: npt.NDArray[Any], settings: Mapping[str, Any]) -> list[str]:
        lead, light = int(settings["lead_frames"]), int(settings["on_frames"])
        return full_field_problems(frames, settings, rises=[lead], falls=[lead + light])


def _psth(trials: Trials, bins_per_frame: int) -> Floats:
    """Spikes/s (frames · bins_per_frame,), mean over trials, not smoothed; NaN without a trial."""
    from hdmea.features.psth import bin_counts

    bins = trials.length * bins_per_frame
    if not len(trials):
        return np.full(bins, np.nan)
    counts = bin_counts(trials.x, trials.offsets, 0.0, 1 / bins_per_frame, bins)
    rate: Floats = counts.mean(axis=0) * bins_per_frame / trials.period_s
    return rate
