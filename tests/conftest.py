"""What all tests share: the real data, where they are to be had, and hypothesis profiles."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from hdmea.features import FeatureRegistry
from support.browser import launched

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The directory of real recordings and matrices (environment variable H5BURST_TEST_DATA)."""
    directory = os.environ.get("H5BURST_TEST_DATA")
    if not directory or not Path(directory).is_dir():
        pytest.skip("H5BURST_TEST_DATA does not name the directory of real recordings (see docs/development.md)")
    return Path(directory)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser; of a module alone, as its driver keeps an event loop running in this thread."""
    with launched() as browser:
        yield browser


@pytest.fixture(autouse=True)
def _features_as_they_were() -> Iterator[None]:
    """A feature that a test registers, or a user's module of it, is unknown to the next test."""
    before = dict(FeatureRegistry._registry)
    yield
    if FeatureRegistry._registry != before:
        FeatureRegistry._registry.clear()
        FeatureRegistry._registry.update(before)
