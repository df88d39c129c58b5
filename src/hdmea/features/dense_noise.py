"""The receptive field, from the spike-triggered average of dense noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from hdmea.features.base import MOVIE, StimulusFeature
from hdmea.features.registry import FeatureRegistry
from hdmea.features.trials import Floats, member
from hdmea.io.stimulus_config import FRAME_RATE_HZ
from hdmea.utils.exceptions import MissingInputError

MAX_FIT_STEPS = 200
START_SIGMA = 1.5


@FeatureRegistry.register("dense_noise")
class DenseNoise(StimulusFeature):
    """Place, size, time and sign of the receptive field.

    The peak is the value of the STA that is farthest from its mean, in standard deviations of all its values. A 2-D
    Gaussian with axes along the grid is fitted to the frame that holds it; where that does not converge within the
    grid, what it would tell is NaN. Source: Chichilnisky 2001, Network 12:199.
    """

    name: ClassVar[str] = "dense_noise"
    family: ClassVar[str] = "dense_noise"
    required_inputs: ClassVar[tuple[str, ...]] = ("sta",)
    output_schema: ClassVar[dict[str, str]] = {
        "center_x": "pixels (column), pixel centres at integers",
        "center_y": "pixels (row)",
        "sigma_x": "pixels",
        "sigma_y": "pixels",
        "amplitude": "of the fitted Gaussian, luminance",
        "peak_lag_frames": "frames from the peak to the spike",
        "peak_lag_ms": "ms",
        "polarity": "+1 (ON) or -1 (OFF)",
        "peak_z_score": "the peak's distance from the mean of the STA, in its standard deviations",
        "fit_residual": "sum of squared residuals over the sum of squares about the mean",
    }
    description: ClassVar[str] = "Receptive field from the spike-triggered average"

    def extract(
        self,
        unit_data: Any,
        stimulus_data: Any,
        config: Mapping[str, Any] | None = None,
        metadata: Any = None,
    ) -> dict[str, Any]:
        """See `FeatureExtractor.extract`. Raises `MissingInputError` where there is no STA of the movie."""
        movie = self.settings(config)[MOVIE]
        sta, last_frame = _stored_sta(member(unit_data, "features", movie))
        if sta is None:
            raise MissingInputError(f"no STA of {movie!r}: run compute_sta first", self.name, "sta")
        return describe_sta(sta, last_frame)


def _stored_sta(feature: Any) -> tuple[Floats | None, int]:
    """The STA (window, height, width) and its `hi` of the window [lo, hi), from a session's feature or a file's group."""
    if feature is None:
        return None, 0
    data = member(feature, "data")
    sta = member(feature if data is None else data, "sta")
    if sta is None:
        return None, 0
    figures = getattr(sta, "attrs", {}) if data is None else member(feature, "metadata") or {}
    cover_range = figures.get("cover_range")
    return np.asarray(sta).astype(np.float64), 0 if cover_range is None else int(np.asarray(cover_range)[1])


def describe_sta(sta: Floats, last_frame: int = 0) -> dict[str, Any]:
    """Receptive-field values of an STA (window, height, width) of frames that end before `last_frame` from the spike."""
    names = [name for name in DenseNoise.output_schema]
    spread = sta.std() if sta.size and np.isfinite(sta).all() else 0.0
    if not spread > 0:
        return dict.fromkeys(names, float("nan"))
    z_scores = (sta - sta.mean()) / spread
    at = np.unravel_index(np.abs(z_scores).argmax(), sta.shape)
    lag = len(sta) - int(at[0]) - last_frame
    fitted = _fit(sta[at[0]], (int(at[1]), int(at[2])), float(sta.mean()))
    return fitted | {
        "peak_lag_frames": lag,
        "peak_lag_ms": lag * 1000 / FRAME_RATE_HZ,
        "polarity": int(np.sign(z_scores[at])),
        "peak_z_score": float(z_scores[at]),
    }


def _fit(image: Floats, peak: tuple[int, int], background: float) -> dict[str, float]:
    from hdmea.features.helpers import fit_gaussian

    row, column = peak
    start = np.array([image[peak] - background, column, row, START_SIGMA, START_SIGMA, background])
    image = np.ascontiguousarray(image)
    parameters, squares, converged = fit_gaussian(image, start, MAX_FIT_STEPS)
    about_mean = float(((image - image.mean()) ** 2).sum())
    amplitude, x, y, sigma_x, sigma_y, _ = parameters.tolist()
    height, width = image.shape
    inside = -1 <= x <= width and -1 <= y <= height and max(sigma_x / width, sigma_y / height) < 1
    names = ("center_x", "center_y", "sigma_x", "sigma_y", "amplitude", "fit_residual")
    if not (converged and inside and np.isfinite(parameters).all()):
        return dict.fromkeys(names, float("nan"))
    residual = squares / about_mean if about_mean > 0 else float("nan")
    return dict(zip(names, (x, y, sigma_x, sigma_y, amplitude, residual), strict=True))


@FeatureRegistry.register("perfect_dense_noise_15x15_15hz_r42_3min")
class DenseNoise15x15(DenseNoise):
    """`DenseNoise` for the 15 x 15 movie at 15 Hz."""

    name: ClassVar[str] = "perfect_dense_noise_15x15_15hz_r42_3min"
