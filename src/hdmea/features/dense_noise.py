"""The receptive field, from the spike-triggered average of dense noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from hdmea.features.base import MOVIE, SECTION, StimulusFeature
from hdmea.features.registry import FeatureRegistry
from hdmea.features.trials import Floats, member, read_trials, sections_of
from hdmea.geometry.receptive_field import receptive_field
from hdmea.utils.exceptions import MissingInputError


@FeatureRegistry.register("dense_noise")
class DenseNoise(StimulusFeature):
    """Place, size, time and sign of the receptive field, as `hdmea.geometry.receptive_field` finds and fits it.

    Where the peak is not significant (z of at most 5) all but `peak_z_score` is NaN and the polarity 0; where the fit
    does not hold, what it would tell is NaN.
    """

    name: ClassVar[str] = "dense_noise"
    family: ClassVar[str] = "dense_noise"
    timing: ClassVar[tuple[str, ...]] = ("pattern_frames",)
    required_inputs: ClassVar[tuple[str, ...]] = ("sta",)
    output_schema: ClassVar[dict[str, str]] = {
        "center_x": "pixels (column), pixel centres at integers",
        "center_y": "pixels (row)",
        "sigma_x": "pixels, of the fitted centre along the columns",
        "sigma_y": "pixels, along the rows",
        "amplitude": "of the fitted centre at the peak's lag, luminance",
        "peak_lag_frames": "frames from the peak of the time course (parabola) to the spike",
        "peak_lag_ms": "ms, by the frames of the trial; NaN where none was recorded whole",
        "polarity": "+1 (ON), -1 (OFF), 0 (no significant field)",
        "peak_z_score": "the peak of the smoothed STA in standard deviations of its noise",
        "fit_residual": "sum of squared residuals over the sum of squares about the mean",
    }
    description: ClassVar[str] = "Receptive field from the spike-triggered average"
    in_threads: ClassVar[bool] = True

    def extract(
        self,
        unit_data: Any,
        stimulus_data: Any,
        config: Mapping[str, Any] | None = None,
        metadata: Any = None,
    ) -> dict[str, Any]:
        """See `FeatureExtractor.extract`. Raises `MissingInputError` where there is no STA of the movie."""
        settings = self.settings(config)
        movie = settings[MOVIE]
        sta, last_frame, n_spikes = _stored_sta(unit_data, movie)
        if sta is None:
            raise MissingInputError(f"no STA of {movie!r}: run compute_sta first", self.name, "sta")
        section = settings[SECTION]
        length = None if section is None else int(section["trial_length_frame"])
        trials = read_trials(unit_data, movie, metadata, length, sections_of(stimulus_data, movie))
        period_s = float("nan") if trials is None else trials.period_s
        hold = max(1, int(settings["pattern_frames"]))
        return describe_sta(sta, last_frame, hold=hold, n_spikes=n_spikes, period_s=period_s)


def _stored_sta(unit_data: Any, movie: str) -> tuple[Floats | None, int, int | None]:
    """The STA (window, height, width), `hi` of its window [lo, hi), and its spikes where known, from a session's unit
    or a file's group.

    It is the feature `sta_{movie}`; in groups of files of the first version, `sta` among the family's values.
    """
    feature = member(unit_data, "features", f"sta_{movie}")
    sta = member(feature, "data")
    if sta is None:
        sta = member(unit_data, "features", movie, "sta")
    if sta is None:
        return None, 0, None
    figures = getattr(sta, "attrs", None) or member(feature, "metadata") or {}
    cover_range, n_spikes = figures.get("cover_range"), figures.get("n_spikes")
    last_frame = 0 if cover_range is None else int(np.asarray(cover_range)[1])
    return np.asarray(sta).astype(np.float64), last_frame, None if n_spikes is None else int(n_spikes)


def describe_sta(
    sta: Floats, last_frame: int = 0, *, hold: int = 4, n_spikes: int | None = None, period_s: float = float("nan")
) -> dict[str, Any]:
    """Receptive-field values of an STA (window, height, width) of frames that end before `last_frame` from the spike.

    hold: frames for which the movie shows each pattern. n_spikes: that were averaged, where it is known. period_s: of
    the trial's frames.
    """
    field = receptive_field(sta, last_frame=last_frame, hold=hold, n_spikes=n_spikes, on_off=False)
    if not np.isfinite(field.z):
        return dict.fromkeys(DenseNoise.output_schema, float("nan"))
    shape = field.center_shape
    with_surround = field.model == "surround"
    lag = field.time_course.peak_lag_frames
    return {
        "center_x": field.center_col,
        "center_y": field.center_row,
        "sigma_x": shape.along("x"),
        "sigma_y": shape.along("y"),
        "amplitude": field.dog.amp_exc if with_surround else field.gaussian_fit.amplitude,
        "peak_lag_frames": lag,
        "peak_lag_ms": lag * 1000 * period_s,
        "polarity": field.polarity,
        "peak_z_score": field.z,
        "fit_residual": 1 - field.r_squared,
    }


@FeatureRegistry.register("perfect_dense_noise_15x15_15hz_r42_3min")
class DenseNoise15x15(DenseNoise):
    """`DenseNoise` for the 15 x 15 movie at 15 Hz."""

    name: ClassVar[str] = "perfect_dense_noise_15x15_15hz_r42_3min"
