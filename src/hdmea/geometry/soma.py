"""Place of a cell's soma on the chip: a surface fitted to the amplitudes of its spike around the largest.

The extracellular potential of a soma is a deep trough that falls off with distance; its amplitude on the electrodes
around says where the soma is to a few hundredths of an electrode's distance, where the place of the largest is
rounded to whole electrodes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdmea.geometry.electrical_image import CleanImage, Image, ImageScale, clean_image
from hdmea.geometry.least_squares import Surface, SurfaceFit, fit_surface, round_jacobian
from hdmea.geometry.robust import MAD_TO_SD, Bools, Floats
from hdmea.geometry.spatial_noise import SpatialNoise, correlated_covariance, spatial_noise

NAN = float("nan")
MAX_STEPS = 400
GAUSSIAN_WIDTH = 2 * np.sqrt(2 * np.log(2))  # full width at half maximum, of σ
MONOPOLE_WIDTH = 2 * 1.6 * np.sqrt(2 ** (2 / 3) - 1)


# When a soma counts, and constants of the fit.
MIN_Z = 6.0  # of the trough
TROUGH_MS = (-0.2, 0.3)  # from the spike, where the trough is looked for
WAVEFORM_MS = 0.3  # about the trough
HALF_WIDTH = 3  # electrodes to each side of the peak that are fitted
WEAK = 0.2  # part of the peak's amplitude from which an electrode counts for the waveform
MAX_OFFSET = 1.5  # of the centre from the peak, in electrodes
SIGMA = (0.2, 6.0)  # bounds of the width, in electrodes
MIN_ELECTRODES = 6  # good electrodes in the window
WITNESSES = 2  # of its eight neighbours that must see a peak's waveform, by so many SD of their noise
WITNESS_SD = 3.0
NOISE_GAIN = (1.0, 2.0)  # bounds of the SD of a waveform's share in noise, in that of samples: noise may be slow
MAX_PEAKS = 10  # that are tried
FAR = 10.0  # electrodes from the soma that tell the noise's correlation
MAX_MISFIT = 0.0125  # of the fit beyond noise, as part of its height, from which something overlaps
MISFIT_SD = 3.0  # by which it must stand out of noise, too


@dataclass(frozen=True, slots=True, kw_only=True)
class SomaGeometry:
    """A soma on the chip; rows and columns count electrodes from 0. Without one all but `z` is NaN, False or empty.

    Attributes
    ----------
    z
        The trough over the typical noise.
    center_row, center_col, center_row_se, center_col_se
        Of the fitted surface, and their standard errors.
    center_row_um, center_col_um
        In micrometres from the centre of electrode (0, 0).
    peak_row, peak_col
        The electrode with the deepest trough.
    size_x, size_y
        Columns and rows that the connected electrodes around it span which reach half its trough.
    sigma, sigma_um
        Of the fit, in electrodes and µm.
    equivalent_diameter, equivalent_diameter_um
        The fit's full width at half maximum, in electrodes and µm.
    area, area_um2
        Of the circle so wide.
    amplitude
        Of the fit, the image's unit.
    model
        "gaussian" or "monopole".
    r_squared
        Of the fit.
    trough_sample, trough_ms
        Of the peak electrode's trough (a parabola through its three lowest samples), and its time from the spike.
    near_bad
        One of the peak's eight neighbours is bad or missing from the fit.
    n_skipped
        Deeper troughs that fewer than two of their neighbours see: bad electrodes.
    isolated
        Fewer than two neighbours see the peak's waveform, and no other peak has as many: perhaps a bad electrode.
    misfit
        Root mean square of the fit's residuals beyond noise, as part of `amplitude`.
    overlapped
        The misfit is above 0.0125 and beyond noise: another source overlaps, whose pull no standard error has.
    n_bad
        Bad electrodes.
    diff_map
        (rows, columns) highest minus lowest sample, 0 where bad.
    reason
        Why there is no position.

    Examples
    --------
    >>> from hdmea.geometry import ImageScale, soma_geometry
    >>> from hdmea.pipeline import PipelineSession
    >>> image = PipelineSession.load("loaded.h5").units["unit_001"]["features"]["eimage_sta"]["data"]
    >>> soma = soma_geometry(image, ImageScale(sampling_rate_hz=20_000, spike_sample=10, pitch_um=16))
    >>> soma.found, soma.peak_col, soma.peak_row
    (True, 6, 8)
    """

    z: float
    center_row: float = NAN
    center_col: float = NAN
    center_row_se: float = NAN
    center_col_se: float = NAN
    center_row_um: float = NAN
    center_col_um: float = NAN
    peak_row: float = NAN
    peak_col: float = NAN
    size_x: float = NAN
    size_y: float = NAN
    sigma: float = NAN
    sigma_um: float = NAN
    equivalent_diameter: float = NAN
    equivalent_diameter_um: float = NAN
    area: float = NAN
    area_um2: float = NAN
    amplitude: float = NAN
    model: str = ""
    r_squared: float = NAN
    trough_sample: float = NAN
    trough_ms: float = NAN
    near_bad: bool = False
    n_bad: int = 0
    n_skipped: int = 0
    isolated: bool = False
    misfit: float = NAN
    overlapped: bool = False
    diff_map: Image = field(repr=False)
    reason: str = ""

    @property
    def found(self) -> bool:
        """True where there is a soma."""
        return not self.reason


def soma_geometry(image: NDArray[Any] | CleanImage, scale: ImageScale | None = None) -> SomaGeometry:
    """Find and fit a soma.

    Parameters
    ----------
    image
        (samples, rows, columns), or what `clean_image` made of one.
    scale
        Of an image that is not clean yet.

    Returns
    -------
    SomaGeometry
        All NaN, with its reason, where the window is shorter than −0.5 … 2 ms, z < `MIN_Z`, fewer than
        `MIN_ELECTRODES` good electrodes are around the peak, or the fit does not converge.

    Raises
    ------
    ValueError
        `scale` is missing, or as in `clean_image`.

    Notes
    -----
    A Gaussian or a monopole's field is fitted to the amplitudes about the deepest trough by least squares (Marquardt
    1963, J. SIAM 11:431). docs/geometry.md has its accuracy.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.geometry import ImageScale, soma_geometry
    >>> y, x = np.mgrid[:20, :20]
    >>> trough = -100 * np.exp(-((np.arange(60) - 20) ** 2) / 20)
    >>> image = trough[:, None, None] * np.exp(-((x - 7.3) ** 2 + (y - 12.6) ** 2) / 3)
    >>> image += np.random.default_rng(0).normal(size=image.shape)
    >>> soma = soma_geometry(image, ImageScale(sampling_rate_hz=20_000, spike_sample=20, pitch_um=16))
    >>> round(soma.center_col, 1), round(soma.center_row, 1)
    (7.3, 12.6)
    """
    clean = image if isinstance(image, CleanImage) else clean_image(image, _given(scale))
    if clean.reason:
        return _nothing(clean.reason, NAN, clean)
    first, troughs = _troughs(clean)
    z = float(troughs.max()) / clean.typical_noise if clean.typical_noise > 0 else NAN
    if not z >= MIN_Z:
        return _nothing(f"z {z:.2f} of the trough is below {MIN_Z:g}", z, clean)
    peak = _peak(clean, first, troughs)
    z = float(troughs[peak.row, peak.column]) / clean.typical_noise
    fitted = _fitted(clean, peak)
    if isinstance(fitted, str):
        return _nothing(fitted, z, clean)
    return _geometry(clean, fitted, troughs, peak, z)


@dataclass(frozen=True, slots=True)
class _Peak:
    """Place of a trough, which deeper ones do not count, and whether its neighbours do not see it, either."""

    row: int
    column: int
    trough: int
    unused: Bools
    skipped: int
    isolated: bool


def _peak(clean: CleanImage, first: int, troughs: Image) -> _Peak:
    """The deepest trough that its neighbours see, among the deepest few; the deepest of all where none is seen.

    A bad electrode may have a spike of its own; the share of its waveform in its neighbours is noise.
    """
    last = clean.scale.spike_sample + clean.scale.samples(TROUGH_MS[1])
    unused, deepest = clean.bad.copy(), None
    for skipped in range(MAX_PEAKS):
        depths = np.where(unused, 0, troughs)
        row, column = (int(i) for i in np.unravel_index(depths.argmax(), depths.shape))
        if not depths[row, column] >= MIN_Z * clean.typical_noise:
            break
        trough = first + int(clean.traces[first : last + 1, row, column].argmin())
        if _witnesses(clean, row, column, trough, unused) >= WITNESSES:
            return _Peak(row, column, trough, unused, skipped, False)
        deepest = deepest or _Peak(row, column, trough, clean.bad, 0, True)
        unused[row, column] = True
    assert deepest is not None
    return deepest


def _witnesses(clean: CleanImage, row: int, column: int, trough: int, unused: Bools) -> int:
    """Number of neighbours that see the waveform of an electrode, beyond their noise.

    Also noisy ones, if it is beyond their own noise: beside a noisy column a soma has few good neighbours.
    """
    reach = clean.scale.samples(WAVEFORM_MS)
    window = clean.traces[max(trough - reach, 0) : trough + reach + 1]
    waveform = window[:, row, column] / np.linalg.norm(window[:, row, column])
    shares = np.einsum("t,trc->rc", waveform, window)  # no threads of its own
    noise = np.maximum(clean.noise_sd, 1e-300)
    good = ~clean.bad
    gain = float(np.clip(MAD_TO_SD * np.median(np.abs(shares[good]) / noise[good]), *NOISE_GAIN))
    around = slice(max(row - 1, 0), row + 2), slice(max(column - 1, 0), column + 2)
    skipped = unused & ~clean.bad
    alive = (clean.noise_sd > 0) & ~skipped
    sees = (shares[around] > WITNESS_SD * gain * noise[around]) & alive[around]
    return int(sees.sum()) - 1  # but the electrode itself


def _given(scale: ImageScale | None) -> ImageScale:
    if scale is None:
        raise ValueError("scale is needed with an image that clean_image has not seen")
    return scale


def _nothing(reason: str, z: float, clean: CleanImage) -> SomaGeometry:
    empty = np.full(clean.bad.shape, np.nan, np.float32)
    return SomaGeometry(z=z, n_bad=int(clean.bad.sum()), diff_map=empty, reason=reason)


def _troughs(clean: CleanImage) -> tuple[int, Image]:
    """First sample of the window around the spike, and the depth of each good electrode's trough in it."""
    first, last = (clean.scale.spike_sample + clean.scale.samples(ms) for ms in TROUGH_MS)
    first = max(first, 0)
    depths = -clean.traces[first : last + 1].min(axis=0)
    return first, np.where(clean.bad, np.float32(0), depths)


def _amplitudes(clean: CleanImage, peak: _Peak) -> tuple[Floats, Floats, Floats, Floats]:
    """Columns, rows and amplitudes of the good electrodes around the peak, and the waveform they see."""
    row, column, trough = peak.row, peak.column, peak.trough
    reach = clean.scale.samples(WAVEFORM_MS)
    rows, columns = (slice(max(at - HALF_WIDTH, 0), at + HALF_WIDTH + 1) for at in (row, column))
    window = clean.traces[max(trough - reach, 0) : trough + reach + 1, rows, columns].astype(np.float64)
    good = ~peak.unused[rows, columns]
    middle = row - rows.start, column - columns.start
    waveform = window[:, middle[0], middle[1]]
    for _ in range(2):
        share = np.tensordot(waveform, window, 1) / (waveform @ waveform)
        weights = share * good * (share > WEAK * share[middle])
        waveform = np.tensordot(window, weights, ([1, 2], [0, 1])) / (weights**2).sum()
    amplitudes = np.tensordot(waveform, window, 1) / (waveform @ waveform) * -waveform.min()
    y, x = np.nonzero(good)
    return (x + columns.start).astype(np.float64), (y + rows.start).astype(np.float64), amplitudes[good], waveform


@dataclass(frozen=True, slots=True)
class _Fitted:
    """The better of both models, its r², standard errors, and its misfit beyond noise as part of its height."""

    model: str
    fit: SurfaceFit
    r_squared: float
    errors: Floats
    misfit: float
    overlapped: bool


def _fitted(clean: CleanImage, peak: _Peak) -> _Fitted | str:
    """The better of both models, or why there is none."""
    x, y, amplitudes, waveform = _amplitudes(clean, peak)
    row, column = peak.row, peak.column
    if len(x) < MIN_ELECTRODES:
        return f"{len(x)} good electrodes around the peak, at least {MIN_ELECTRODES} are needed"
    start = _start(x, y, amplitudes, column, row)
    reach, sigma = MAX_OFFSET, np.log(SIGMA)
    low, high = [0, column - reach, row - reach, sigma[0]], [np.inf, column + reach, row + reach, sigma[1]]
    surfaces = {"gaussian": Surface.ROUND_GAUSSIAN, "monopole": Surface.MONOPOLE}
    fits = {
        name: fit_surface(surface, x, y, amplitudes, start, (low, high), max_steps=MAX_STEPS)
        for name, surface in surfaces.items()
    }
    name = min(fits, key=lambda one: fits[one].squares)
    fit = fits[name]
    if not fit.converged:
        return "the fit of the amplitudes did not converge"
    about_mean = float(((amplitudes - amplitudes.mean()) ** 2).sum())
    noise = _noise_of_shares(clean, peak, waveform)
    jacobian = round_jacobian(surfaces[name], fit.parameters, x, y)
    covariance = correlated_covariance(jacobian, noise.between(x, y), fit.squares)
    gain = noise.sd if noise.sd > 0 else 1.0
    expected = (gain * clean.typical_noise * waveform.min()) ** 2 / (waveform @ waveform)
    freedom = max(len(x) - len(covariance), 1)
    beyond = max(fit.squares / freedom - expected, 0.0)
    misfit = float(np.sqrt(beyond) / fit.parameters[0]) if fit.parameters[0] > 0 else NAN
    return _Fitted(
        name,
        fit,
        1 - fit.squares / about_mean if about_mean > 0 else NAN,
        np.sqrt(np.diag(covariance)),
        misfit,
        bool(misfit > MAX_MISFIT and beyond > MISFIT_SD * np.sqrt(2 / freedom) * expected),
    )


def _noise_of_shares(clean: CleanImage, peak: _Peak, waveform: Floats) -> SpatialNoise:
    """Of the waveform's share in electrodes far from the soma, at all times, in SD of their samples."""
    length = len(waveform)
    repeats = len(clean.traces) // length
    windows = clean.traces[: repeats * length].reshape(repeats, length, *clean.bad.shape)
    unit = (waveform / np.linalg.norm(waveform)).astype(np.float32)
    rows, columns = np.indices(clean.bad.shape)
    far = np.hypot(rows - peak.row, columns - peak.column) > FAR
    usable = far & ~peak.unused & (clean.noise_sd > 0)
    shares = np.einsum("t,wtrc->wrc", unit, windows) / np.where(usable, clean.noise_sd, 1.0)
    return spatial_noise(shares, usable)


def _start(x: Floats, y: Floats, amplitudes: Floats, column: int, row: int) -> list[float]:
    """Height, place and ln σ of the parabolas through the logarithms of the peak and its neighbours in each direction.

    Of a Gaussian they are the truth; narrow ones are at the end of a long curved valley from any other place.
    """
    by_pixel = dict(zip(zip(x.tolist(), y.tolist(), strict=True), amplitudes.tolist(), strict=True))
    top = by_pixel.get((column, row), float(amplitudes.max()))
    places, widths = [], []
    for at, step in ((column, (1, 0)), (row, (0, 1))):
        beside = [by_pixel.get((column + side * step[0], row + side * step[1]), -1.0) for side in (-1, 1)]
        shift = 0.0
        if top > 0 and min(beside) > 0.02 * top:
            before, after = (float(np.log(one / top)) for one in beside)
            if before + after < 0:
                shift = float(np.clip(0.5 * (before - after) / (before + after), -0.7, 0.7))
                widths.append(1 / np.sqrt(-(before + after)))
        places.append(at + shift)
    sigma = float(np.clip(np.median(widths), 0.25, 3.0)) if widths else 0.8
    offset = (places[0] - column) ** 2 + (places[1] - row) ** 2
    return [max(top, 1e-9) * float(np.exp(min(offset / (2 * sigma**2), 2.0))), *places, float(np.log(sigma))]


def _extent(troughs: Image, row: int, column: int) -> tuple[int, int]:
    """Rows and columns that the electrodes span which reach half the peak and are connected with it."""
    from scipy.ndimage import label

    parts, _ = label(troughs >= 0.5 * troughs[row, column])
    rows, columns = np.nonzero(parts == parts[row, column])
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def _near_bad(bad: Bools, row: int, column: int) -> bool:
    return bool(bad[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].any())


def _sub_sample(trace: NDArray[Any], at: int) -> float:
    """The place of the extremum of a parabola through the sample and its neighbours."""
    if not 0 < at < len(trace) - 1:
        return float(at)
    before, here, after = (float(trace[at + step]) for step in (-1, 0, 1))
    curvature = before - 2 * here + after
    return at + 0.5 * (before - after) / curvature if curvature else float(at)


def _geometry(
    clean: CleanImage,
    fitted: _Fitted,
    troughs: Image,
    peak: _Peak,
    z: float,
) -> SomaGeometry:
    model, errors, row, column = fitted.model, fitted.errors, peak.row, peak.column
    amplitude, x, y, log_sigma = fitted.fit.parameters.tolist()
    sigma, pitch = float(np.exp(log_sigma)), clean.scale.pitch_um
    width = float(MONOPOLE_WIDTH if model == "monopole" else GAUSSIAN_WIDTH) * sigma
    trough_sample = _sub_sample(clean.traces[:, row, column], peak.trough)
    size_y, size_x = _extent(np.where(peak.unused, 0, troughs), row, column)
    return SomaGeometry(
        z=z,
        center_row=y,
        center_col=x,
        center_row_se=float(errors[2]),
        center_col_se=float(errors[1]),
        center_row_um=y * pitch,
        center_col_um=x * pitch,
        peak_row=row,
        peak_col=column,
        size_x=size_x,
        size_y=size_y,
        sigma=sigma,
        sigma_um=sigma * pitch,
        equivalent_diameter=width,
        equivalent_diameter_um=width * pitch,
        area=np.pi / 4 * width**2,
        area_um2=np.pi / 4 * (width * pitch) ** 2,
        amplitude=amplitude,
        model=model,
        r_squared=fitted.r_squared,
        trough_sample=trough_sample,
        trough_ms=(trough_sample - clean.scale.spike_sample) / clean.scale.samples_per_ms,
        near_bad=_near_bad(peak.unused, row, column),
        n_bad=int(clean.bad.sum()),
        n_skipped=peak.skipped,
        isolated=peak.isolated,
        misfit=fitted.misfit,
        overlapped=fitted.overlapped,
        diff_map=np.where(clean.bad, np.float32(0), np.ptp(clean.traces, axis=0)),
    )
