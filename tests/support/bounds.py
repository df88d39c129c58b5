"""Whether a sample reaches figures that were claimed of many more cases.

Binomial bounds, so that chance fails no test.
"""

from __future__ import annotations

import os

import numpy as np
from scipy.stats import binom

CHANCE = 1e-4  # by which a figure that holds fails its test
WHOLE = os.environ.get("H5BURST_WHOLE") == "1"


def cases(few: int, many: int) -> int:
    """How many cases to run: many where the environment variable H5BURST_WHOLE is 1."""
    return many if WHOLE else few


def at_least(hits, share: float) -> None:
    """Fail where so few hits would be chance below 1e-4 if the true share were `share`."""
    hits = np.asarray(hits, bool)
    assert binom.cdf(hits.sum(), hits.size, share) > CHANCE, f"{hits.sum()} of {hits.size}, claimed {share:.0%}"


def at_most(hits, share: float) -> None:
    """Fail where so many hits would be chance below 1e-4 if the true share were `share`."""
    hits = np.asarray(hits, bool)
    assert binom.sf(hits.sum() - 1, hits.size, share) > CHANCE, f"{hits.sum()} of {hits.size}, claimed {share:.0%}"


def reaches(errors, median: float, most: float) -> None:
    """Fail where the errors' median and 95 % point are not as small as claimed; NaN counts as an error."""
    errors = np.abs(np.asarray(errors, float))
    at_least(errors <= median, 0.5)
    at_least(errors <= most, 0.95)


def row(name: str, **figures) -> None:
    """Print a table's row: arrays as median/95 % of their sizes, anything else as it is."""
    texts = []
    for key, value in figures.items():
        if np.ndim(value):
            values = np.abs(np.asarray(value, float))
            values = values[np.isfinite(values)]
            value = "/".join(f"{v:.3g}" for v in np.percentile(values, [50, 95])) if values.size else "-"
        elif isinstance(value, float):
            value = f"{value:.3g}"
        texts.append(f"{key} {value}")
    print(f"| {name} | " + " | ".join(texts) + " |", flush=True)
