"""How cost grows with units, spikes, movie size, threads and datasets."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import scaling


@pytest.mark.parametrize("kind", scaling.KINDS)
def test_growth(benchmark, kind):
    growths = []
    benchmark.pedantic(lambda: growths.append(scaling.growth(kind)), rounds=1)
    benchmark.extra_info["growth"] = asdict(growths[0])
    benchmark.extra_info["exponents"] = {name: round(power, 2) for name, power in growths[0].exponents().items()}
