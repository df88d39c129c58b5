"""The choice of a compiled variant."""

from __future__ import annotations

import pytest

from h5burst.runtime import simd


def test_baseline_is_always_available():
    assert simd.available()[0] == "baseline"
    assert set(simd.available()) <= set(simd.LEVELS)


def test_best_variant_is_active_by_default(monkeypatch):
    monkeypatch.delenv(simd.VARIABLE, raising=False)
    assert simd.active() == simd.available()[-1]
    assert simd.LEVELS[simd.level()] == simd.active()


@pytest.mark.parametrize("variant", simd.LEVELS)
def test_environment_variable_selects_a_variant(monkeypatch, variant):
    monkeypatch.setenv(simd.VARIABLE, variant.upper())
    if variant in simd.available():
        assert simd.active() == variant
    else:
        with pytest.raises(ValueError, match=f"H5BURST_SIMD='{variant}': this machine runs only"):
            simd.active()


def test_unknown_variant_in_the_environment_is_refused(monkeypatch):
    monkeypatch.setenv(simd.VARIABLE, "sse9")
    with pytest.raises(ValueError, match="H5BURST_SIMD must be one of baseline, avx2, avx512, got 'sse9'"):
        simd.active()


def test_variant_that_the_machine_lacks_is_refused(monkeypatch):
    monkeypatch.setattr(simd, "available", lambda: ("baseline",))
    with pytest.raises(ValueError, match="this machine runs only baseline"), simd.forced("avx512"):
        pass
    monkeypatch.setenv(simd.VARIABLE, "avx2")
    with pytest.raises(ValueError, match="this machine runs only baseline"):
        simd.active()


def test_forced_counts_within_its_block_only(monkeypatch):
    monkeypatch.setenv(simd.VARIABLE, simd.available()[-1])
    with simd.forced("baseline"):
        assert simd.active() == "baseline"
        assert simd.level() == 0
    assert simd.active() == simd.available()[-1]
    with pytest.raises(RuntimeError), simd.forced("baseline"):
        raise RuntimeError
    assert simd.active() == simd.available()[-1]
