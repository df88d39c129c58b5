"""The error classes of the contract."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from hdmea.utils import exceptions as errors

KEYWORDS: dict[str, dict[str, object]] = {
    "ConfigurationError": {},
    "DataLoadError": {"file_path": Path("a.cmcr"), "original_error": OSError("broken")},
    "FeatureExtractionError": {"feature_name": "frif", "unit_id": "unit_001", "original_error": ValueError("x")},
    "MissingInputError": {"feature_name": "sta", "missing_input": "section_time"},
    "CacheConflictError": {},
    "ValidationError": {"entity": "unit", "entity_id": "unit_001", "field": "spike_times"},
    "MismatchError": {"cmcr_path": "a.cmcr", "cmtr_path": "b.cmtr", "reason": "ticks"},
    "SessionError": {"session_id": "rec", "operation": "save"},
    "CheckpointError": {"checkpoint_path": Path("c.h5"), "original_error": OSError("broken")},
}


@pytest.mark.parametrize("name", KEYWORDS)
def test_error_takes_a_message_first_and_keeps_keywords_as_attributes(name: str) -> None:
    error = getattr(errors, name)("what was wrong", **KEYWORDS[name])

    assert isinstance(error, errors.HDMEAError)
    assert str(error) == "what was wrong"
    for key, value in KEYWORDS[name].items():
        assert getattr(error, key) is value


@pytest.mark.parametrize("name", KEYWORDS)
def test_error_keywords_default_to_none(name: str) -> None:
    error = getattr(errors, name)("message")

    assert all(getattr(error, key) is None for key in KEYWORDS[name])


def test_checkpoint_error_is_also_a_value_error() -> None:
    assert issubclass(errors.CheckpointError, ValueError)


@pytest.mark.parametrize("name", KEYWORDS)
def test_error_survives_the_way_between_processes(name: str) -> None:
    error = getattr(errors, name)("message", **KEYWORDS[name])

    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  (our own bytes)

    assert type(copy) is type(error)
    assert str(copy) == "message"
    assert set(vars(copy)) == set(KEYWORDS[name])
