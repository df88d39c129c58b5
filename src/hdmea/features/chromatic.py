"""Responses to green and blue flashes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hdmea.features.base import SECTION, StimulusFeature, frames_to_seconds
from hdmea.features.registry import FeatureRegistry
from hdmea.features.trials import Trials, contrast_index, mean_over_trials, response_quality


@FeatureRegistry.register("chromatic")
class Chromatic(StimulusFeature):
    """Rates during a green flash, the gap after it, a blue flash, and the gap after that.

    G and B of the index are the mean rates over a colour's whole response, flash and gap, so that ON and OFF cells
    count alike. Trials that differ in luminance (`luminances`, one a group of trials) are different conditions: the
    quality is then the mean over conditions. Source of the quality: Baden et al. 2016, Nature 529:345.
    """

    name: ClassVar[str] = "chromatic"
    family: ClassVar[str] = "chromatic"
    defaults: ClassVar[dict[str, Any]] = {
        **StimulusFeature.defaults,
        "flash_frames": 180,
        "gap_frames": 180,
        "luminances": None,
    }
    output_schema: ClassVar[dict[str, str]] = {
        "green_on_rate": "spikes/s during the green flash",
        "green_off_rate": "spikes/s in the gap after it",
        "blue_on_rate": "spikes/s during the blue flash",
        "blue_off_rate": "spikes/s in the gap after it",
        "color_opponency_index": "(G - B) / (G + B)",
        "preferred_color": "green, blue, or none where the two are equal or there are no spikes",
        "response_quality": "Var_t(mean over trials) / mean over trials(Var_t), mean over luminances",
    }
    description: ClassVar[str] = "Responses to green and blue, and the preference between them"

    def compute(self, trials: Trials, settings: Mapping[str, Any]) -> dict[str, Any]:
        flash_s, gap_s = frames_to_seconds(settings["flash_frames"]), frames_to_seconds(settings["gap_frames"])
        edges = np.cumsum([0.0, flash_s, gap_s, flash_s, gap_s])
        rates = trials.window_rates(np.stack([edges[:-1], edges[1:]], axis=1))
        green_on, green_off, blue_on, blue_off = mean_over_trials(rates).tolist()
        green = (green_on * flash_s + green_off * gap_s) / (flash_s + gap_s)
        blue = (blue_on * flash_s + blue_off * gap_s) / (flash_s + gap_s)
        psth = trials.psth(float(edges[-1]), settings["bin_ms"] / 1000)
        condition = _conditions(len(trials), settings)
        qualities = np.array([response_quality(psth[condition == n]) for n in np.unique(condition)])
        return {
            "green_on_rate": green_on,
            "green_off_rate": green_off,
            "blue_on_rate": blue_on,
            "blue_off_rate": blue_off,
            "color_opponency_index": contrast_index(green, blue),
            "preferred_color": "green" if green > blue else "blue" if blue > green else "none",
            "response_quality": float(np.nanmean(qualities)) if np.isfinite(qualities).any() else float("nan"),
        }


def _conditions(trials: int, settings: Mapping[str, Any]) -> npt.NDArray[np.int64]:
    """Which stimulus each trial showed (trials,): one a luminance."""
    luminances, section = settings["luminances"], settings.get(SECTION)
    if not luminances or not section:
        return np.zeros(trials, np.int64)
    group = np.arange(trials) // section["repeat"] % section["group_count"]
    shown = np.asarray(luminances)[np.minimum(group, len(luminances) - 1)]
    return np.unique(shown, return_inverse=True)[1].reshape(-1).astype(np.int64)


@FeatureRegistry.register("green_blue_3s_3i_3x")
class GreenBlue(Chromatic):
    """`Chromatic` at full luminance."""

    name: ClassVar[str] = "green_blue_3s_3i_3x"


@FeatureRegistry.register("green_blue_3s_3i_3x_64_128_255")
class GreenBlueLuminances(Chromatic):
    """`Chromatic` at three luminances."""

    name: ClassVar[str] = "green_blue_3s_3i_3x_64_128_255"
