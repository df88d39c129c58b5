"""Whether a sample reaches figures that were claimed of many more cases.

Every generator is seeded, so the small sample of a usual run always gives the same figure: it is pinned, and one hit
fewer than it (rounding of other platforms) still passes. The long run, `H5BURST_WHOLE=1`, has other cases, of which
the claimed share itself is asked, by binomial bounds. `H5BURST_PIN=1` pins anew what a run of all tests gives.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
from scipy.stats import binom

CHANCE = 1e-4  # by which a figure that holds fails its test
WHOLE = os.environ.get("H5BURST_WHOLE") == "1"
PIN = os.environ.get("H5BURST_PIN") == "1"
SLACK = 1  # hits that rounding may cost on another platform
FILE = Path(__file__).parents[1] / "data" / "seeded_hits.json"  # test -> hits of its bounds, in their order

_pinned: dict[str, list[int]] = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
_calls: Counter[str] = Counter()


def cases(few: int, many: int) -> int:
    """How many cases to run: many where the environment variable H5BURST_WHOLE is 1."""
    return many if WHOLE else few


def at_least(hits, share: float) -> None:
    """Fail where there are fewer hits than are pinned; of a long run, than `share` of them would give by chance."""
    hits = np.asarray(hits, bool)
    count, pinned = int(hits.sum()), None if WHOLE else _pinned_hits(hits)
    holds = binom.cdf(count, hits.size, share) > CHANCE if pinned is None else count >= pinned - SLACK
    assert holds, f"{count} of {hits.size}, pinned {pinned}, claimed {share:.0%}"


def at_most(hits, share: float) -> None:
    """As `at_least`, where there are more hits."""
    hits = np.asarray(hits, bool)
    count, pinned = int(hits.sum()), None if WHOLE else _pinned_hits(hits)
    holds = binom.sf(count - 1, hits.size, share) > CHANCE if pinned is None else count <= pinned + SLACK
    assert holds, f"{count} of {hits.size}, pinned {pinned}, claimed {share:.0%}"


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


def _pinned_hits(hits: np.ndarray) -> int:
    """The hits of this bound of this test when it was pinned."""
    test = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
    number = _calls[test]
    _calls[test] += 1
    if PIN:
        _pinned[test] = [*_pinned.get(test, [])[:number], int(hits.sum())]
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(counts)}" for name, counts in sorted(_pinned.items()))
        FILE.write_text(f"{{\n{lines}\n}}\n", "utf-8")
    assert number < len(_pinned.get(test, ())), f"{test} is not pinned: run it once with H5BURST_PIN=1"
    return _pinned[test][number]
