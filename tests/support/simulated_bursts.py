"""Trains of one unit with known bursts, of three kinds of activity. Shares nothing with the product."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Background (Hz), bursts a minute, spikes of a burst (least, most), mean interval inside (s), their shape (1: Poisson).
KINDS = {
    "regular bursts, quiet between": (0.05, 2.0, (10, 30), 0.03, 4.0),
    "irregular bursts, quiet between": (0.1, 1.5, (8, 25), 0.04, 1.5),
    "irregular bursts, active between": (1.0, 1.5, (10, 40), 0.03, 1.5),
}


def bursting_train(kind: str, duration_s: float, seed: int) -> tuple[Floats, Floats]:
    """Spikes in seconds, and first and last spike of each burst (bursts, 2)."""
    background_hz, per_min, spikes, interval_s, shape = KINDS[kind]
    rng = np.random.default_rng(seed)
    parts, bursts = [rng.uniform(0, duration_s, rng.poisson(background_hz * duration_s))], []
    at = rng.exponential(60 / per_min)
    while True:
        gaps = rng.gamma(shape, interval_s / shape, rng.integers(spikes[0], spikes[1] + 1) - 1)
        own = at + np.concatenate([[0.0], np.cumsum(gaps)])
        if own[-1] > duration_s:
            return np.sort(np.concatenate(parts)), np.reshape(bursts, (-1, 2))
        parts.append(own)
        bursts.append((own[0], own[-1]))
        at = own[-1] + 2.0 + rng.exponential(60 / per_min)  # two bursts are never closer than two seconds


def poisson_train(rate_hz: float, duration_s: float, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(0, duration_s, rng.poisson(rate_hz * duration_s)))


def found_and_false(true: Floats, found: Floats) -> tuple[int, int]:
    """True bursts of which a found one covers half, each found one once; and found ones that are of no true one."""
    used: set[int] = set()
    hits = 0
    for start, stop in true:
        for k, (begin, end) in enumerate(found):
            if k not in used and min(end, stop) - max(begin, start) >= 0.5 * (stop - start):
                used.add(k)
                hits += 1
                break
    return hits, len(found) - len(used)
