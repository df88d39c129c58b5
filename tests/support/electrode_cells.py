"""Electrical images of made-up cells, with their truth: a soma's field, an axon's travelling wave, noise of a chip.

Shares no code and no constant with the package.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree

SIDE, SAMPLES, SPIKE, PER_MS = 65, 50, 10, 20.0
MS = (np.arange(SAMPLES) - SPIKE) / PER_MS
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE].astype(float)


def hump(t, at, width):
    return np.exp(-0.5 * ((t - at) / width) ** 2)


def soma_wave(t):
    return -hump(t, 0, 0.18) + 0.3 * hump(t, 0.7, 0.4)


WAVES = {
    "triphasic": lambda t: -hump(t, 0, 0.13) + 0.35 * hump(t, -0.28, 0.14) + 0.3 * hump(t, 0.32, 0.18),
    "biphasic": lambda t: -hump(t, 0, 0.15) + 0.4 * hump(t, 0.4, 0.25),
}
WAVES["wide"] = lambda t: WAVES["triphasic"](t / 1.8)
WAVES["narrow"] = lambda t: WAVES["triphasic"](t / 0.7)


def fall_off(distance, sigma, monopole):
    return (1 + (distance / (1.6 * sigma)) ** 2) ** -1.5 if monopole else hump(distance, 0, sigma)


@dataclass
class Cell:
    """What is true of an image; lengths in electrodes, angles in radians from x (columns) towards y (rows)."""

    x: float
    y: float
    sigma: float
    amplitude: float
    speed: float = np.nan
    direction: float = np.nan
    visible: float = 0.0
    path: np.ndarray = field(default_factory=lambda: np.empty((0, 3)))  # x, y, length from the soma
    bad: np.ndarray = field(default_factory=lambda: np.zeros((SIDE, SIDE), bool))


def cell_image(
    rng,
    *,
    pitch=16.0,
    spikes=500,
    axon=True,
    ratio=10.0,
    monopole=False,
    near_edge=False,
    angle=None,
    amplitude=None,
    wave="triphasic",
    fades=np.inf,
    dead_columns=0,
    noisy_columns=0,
    noisy_electrodes=0,
    neighbour=0.0,
    reach=0.0,
    tails=False,
    overlap=0.0,
):
    """An image float32 (50, 65, 65) at 20 kHz with the spike at sample 10, and its `Cell`.

    ratio: soma's over axon's amplitude. fades: electrodes over which the axon falls to 1/e. neighbour: a second cell's
    share, its spikes spread in time. reach: electrodes over which the correlation of noise falls to 1/e. tails: noise
    of single spikes is Student's t of 3 degrees of freedom. overlap: a second soma's share, one or two electrodes away.
    """
    margin = 2 if near_edge else 12
    x, y = rng.uniform(margin, SIDE - 1 - margin, 2)
    if near_edge:
        x, y = (rng.uniform(0, 4), y) if rng.random() < 0.5 else (x, rng.uniform(0, 4))
    cell = Cell(x, y, rng.uniform(10, 20) / pitch, rng.uniform(90, 180) if amplitude is None else amplitude)
    image = _soma(cell, monopole)
    if axon:
        _add_axon(image, cell, rng, pitch, ratio, monopole, angle, wave, fades)
    if neighbour:
        image += neighbour * _neighbour(rng, cell, pitch, monopole)
    if overlap:
        angle, apart = rng.uniform(0, 2 * np.pi), rng.uniform(1, 2)
        image += _soma(
            Cell(x + apart * np.cos(angle), y + apart * np.sin(angle), cell.sigma, overlap * cell.amplitude), monopole
        )
    noise = _tailed(spikes, reach) if tails else _white(reach)
    _add_noise(image, cell, rng, 8.0 / np.sqrt(spikes), dead_columns, noisy_columns, noisy_electrodes, noise)
    return image.astype(np.float32), cell


def _soma(cell, monopole):
    distance = np.hypot(COLUMNS - cell.x, ROWS - cell.y)
    return cell.amplitude * fall_off(distance, cell.sigma, monopole) * soma_wave(MS)[:, None, None]


def _add_axon(image, cell, rng, pitch, ratio, monopole, angle, wave, fades):
    cell.direction = rng.uniform(0, 2 * np.pi) if angle is None else angle
    cell.speed = np.exp(rng.uniform(np.log(0.3), np.log(1.5)))
    length = np.arange(0.0, 95, 0.25)
    bend = 0.0 if angle is not None else rng.normal(0, 0.004)
    heading = cell.direction + bend * length
    px, py = cell.x + np.cumsum(np.cos(heading)) * 0.25, cell.y + np.cumsum(np.sin(heading)) * 0.25
    on_chip = (px > -4) & (px < SIDE + 4) & (py > -4) & (py < SIDE + 4)
    stop = len(length) if on_chip.all() else int(np.argmin(on_chip))
    px, py, length = px[:stop], py[:stop], length[:stop]
    apart, nearest = cKDTree(np.column_stack([px, py])).query(np.column_stack([COLUMNS.ravel(), ROWS.ravel()]))
    along, apart = length[nearest].reshape(SIDE, SIDE), apart.reshape(SIDE, SIDE)
    begins = 40 / pitch
    share = fall_off(apart, rng.uniform(9, 14) / pitch, monopole) / (1 + np.exp(-2 * (along - begins)))
    share *= 1 + 0.2 * np.sin(along / rng.uniform(3, 8) + rng.uniform(0, 6))
    share *= cell.amplitude / ratio * np.exp(-along / fades)
    seen = share > 1e-4 * cell.amplitude / ratio
    delay = along * pitch / 1000 / cell.speed
    image[:, seen] += share[seen] * WAVES[wave](MS[:, None] - delay[seen])
    inside = (px >= 0) & (px <= SIDE - 1) & (py >= 0) & (py <= SIDE - 1)
    inside &= (length * pitch / 1000 / cell.speed < 1.9) & (length > begins)
    cell.path = np.column_stack([px, py, length])[inside]
    if len(cell.path) >= 2:
        centred = cell.path[:, :2] - cell.path[:, :2].mean(axis=0)
        main = np.linalg.svd(centred, full_matrices=False)[2][0]
        main *= np.sign(main @ (centred[-1] - centred[0])) or 1
        cell.direction, cell.visible = np.arctan2(main[1], main[0]), cell.path[-1, 2]


def _neighbour(rng, cell, pitch, monopole):
    """A cell near by, with its axon, whose spikes fall some way around this one's."""
    x, y = cell.x + rng.uniform(-15, 15), cell.y + rng.uniform(-15, 15)
    other = Cell(x, y, rng.uniform(10, 20) / pitch, rng.uniform(90, 180))
    image = _soma(other, monopole)
    _add_axon(image, other, rng, pitch, 10.0, monopole, None, "triphasic", np.inf)
    spread = hump(np.arange(-20, 21), rng.integers(-6, 7), rng.uniform(4, 20))
    padded = np.pad(image, ((0, 46), (0, 0), (0, 0)))
    kernel = np.roll(np.pad(spread / spread.sum(), (0, 96 - 41)), -20)
    return np.fft.irfft(np.fft.rfft(padded, axis=0) * np.fft.rfft(kernel)[:, None, None], 96, axis=0)[:SAMPLES]


def neighbouring_images(rng, *, share=0.2, apart=6.0, back=0.0, axon=False, spikes=500, wide=False):
    """Images of a cell and of its neighbour, which has an axon, and both `Cell`s.

    A `share` of the cell's spikes has one of the neighbour's near by, after a delay of its own, spread by 0.03 to 0.2
    ms (wide: 0.2 to 1 ms). apart: electrodes between the somata. back: the share of the neighbour's spikes that have
    the cell's. axon: the cell's own.
    """
    x, y, angle = *rng.uniform(18, 46, 2), rng.uniform(0, 2 * np.pi)
    cell = Cell(x, y, rng.uniform(10, 20) / 16, rng.uniform(90, 180))
    other = Cell(x + apart * np.cos(angle), y + apart * np.sin(angle), rng.uniform(10, 20) / 16, rng.uniform(90, 180))
    own, theirs = _soma(cell, False), _soma(other, False)
    if axon:
        _add_axon(own, cell, rng, 16.0, 10.0, False, None, "triphasic", np.inf)
    _add_axon(theirs, other, rng, 16.0, 10.0, False, None, "triphasic", np.inf)
    delay, spread = rng.integers(-6, 7), rng.uniform(4, 20) if wide else rng.uniform(0.5, 4)
    images = own + share * _delayed(theirs, delay, spread), theirs + back * _delayed(own, -delay, spread)
    for image, one in zip(images, (cell, other), strict=True):
        _add_noise(image, one, rng, 8.0 / np.sqrt(spikes), 0, 0, 0, _white(0.0))
    return images[0].astype(np.float32), images[1].astype(np.float32), cell, other


def _delayed(image, delay, spread):
    """The mean of an image over delays that are normal around one."""
    delays = np.arange(-20, 21)
    chance = hump(delays, delay, spread)
    padded = np.pad(image, ((20, 20), (0, 0), (0, 0)))
    parts = (padded[20 - d : 20 - d + SAMPLES] * p for d, p in zip(delays, chance / chance.sum(), strict=True))
    return sum(parts)


def _white(reach):
    """Noise (samples + 1, SIDE, SIDE) of SD one, whose correlation falls to 1/e over `reach` electrodes."""

    def draw(rng):
        white = rng.standard_normal((SAMPLES + 1, SIDE, SIDE), dtype=np.float32)
        return _spread(white, reach) if reach else white

    return draw


def _tailed(spikes, reach):
    """As `_white`: the mean over spikes of Student's t with 3 degrees of freedom."""

    def draw(rng):
        total = sum(rng.standard_t(3, (SAMPLES + 1, SIDE, SIDE)) for _ in range(spikes))
        noise = total / np.sqrt(3 * spikes)
        return _spread(noise, reach) if reach else noise

    return draw


def _spread(white, reach):
    """Smoothed with a Gaussian of reach/2, wrapped around; the variance is one again."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(np.asarray(white, float), (0, reach / 2, reach / 2), mode="wrap", truncate=5)
    kernel = np.zeros((31, 31))
    kernel[15, 15] = 1
    return smooth / np.sqrt((gaussian_filter(kernel, reach / 2, truncate=5) ** 2).sum())


def _add_noise(image, cell, rng, sd, dead, noisy_columns, noisy_electrodes, noise):
    spread = sd * np.exp(rng.normal(0, 0.2, (SIDE, SIDE)))
    if noisy_electrodes:
        chosen = rng.choice(SIDE * SIDE, noisy_electrodes, replace=False)
        spread.flat[chosen] *= rng.uniform(5, 30, noisy_electrodes)
        cell.bad.flat[chosen] = True
    columns = rng.choice(SIDE, dead + noisy_columns, replace=False)
    spread[:, columns[dead:]] *= rng.uniform(5, 20)
    cell.bad[:, columns] = True
    white = noise(rng)
    image += spread * (white[1:] + 0.3 * white[:-1]) / np.sqrt(1.09)
    common = np.convolve(rng.standard_normal(SAMPLES + 4), np.ones(5) / np.sqrt(5), "valid")
    image += 0.3 * sd * common[:, None, None]
    image[:, :, columns[:dead]] = 0


def old_soma(image):
    """A simple method: the electrode with the largest peak-to-trough, after smoothing in time. Returns x, y."""
    from scipy.ndimage import gaussian_filter1d

    heights = np.ptp(gaussian_filter1d(np.nan_to_num(image) - image[:5].mean(axis=0), 2, axis=0), axis=0)
    row, column = np.unravel_index(heights.argmax(), heights.shape)
    return float(column), float(row)


def old_axon_angle(image, x, y):
    """A simple method: electrodes above 5 SD outside the soma, the largest patch, a line of row over column.

    Degrees.
    """
    from scipy.ndimage import label

    spread = 1.4826 * np.median(np.abs(image - np.median(image, axis=0)), axis=0)
    above = -image[SPIKE + 3 :].min(axis=0) > 5 * np.maximum(spread, np.median(spread))
    above &= np.hypot(COLUMNS - x, ROWS - y) > 4
    patches, found = label(above, np.ones((3, 3)))
    if not found:
        return np.nan
    largest = np.bincount(patches.ravel())[1:].argmax() + 1
    rows, columns = np.nonzero(patches == largest)
    if len(rows) < 4 or np.ptp(columns) == 0:
        return np.nan
    slope = np.polyfit(columns, rows, 1)[0]
    angle = np.arctan(slope)
    toward = np.array([columns.mean() - x, rows.mean() - y])
    return np.degrees(angle if toward @ [np.cos(angle), np.sin(angle)] > 0 else angle + np.pi)
