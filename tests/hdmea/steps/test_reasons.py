"""Why units have no result: one sentence for a kind of reason."""

from __future__ import annotations

import numpy as np
import pytest

from hdmea.pipeline import PipelineSession
from hdmea.steps.copy_section import copy_section
from hdmea.steps.reasons import without_result, without_sections
from hdmea.steps.rf_geometry import extract_rf_geometry
from hdmea.utils.exceptions import MissingInputError

NOISE = "perfect_dense_noise_15x15_15hz_r42_3min"


def test_one_unit_is_named_with_its_reason() -> None:
    assert without_result("look", {"unit_007": "4 spikes, at least 40 are needed"}) == [
        "look: no result for unit_007: 4 spikes, at least 40 are needed"
    ]


def test_reasons_that_differ_in_numbers_are_one_sentence_with_their_range() -> None:
    reasons = {"a": "z 4.31 is not above 5", "b": "z -0.5 is not above 5", "c": "z 10 is not above 5"}
    assert without_result("look", reasons) == ["look: no result for 3 units (a, b, c): z -0.5 to 10 is not above 5"]


def test_other_reasons_are_other_sentences_in_the_order_of_units() -> None:
    reasons = {"a": "too dark", "b": "1 spikes", "c": "too dark", "d": "9 spikes"}
    assert without_result("look", reasons) == [
        "look: no result for 2 units (a, c): too dark",
        "look: no result for 2 units (b, d): 1 to 9 spikes",
    ]


def test_names_within_words_are_not_numbers() -> None:
    reasons = {"a": "KeyError: 'unit_003'", "b": "KeyError: 'unit_004'"}
    assert len(without_result("look", reasons)) == 2


def test_many_units_are_counted_and_the_first_are_named() -> None:
    (sentence,) = without_result("look", {f"u{n}": "no" for n in range(300)})
    assert sentence.startswith("look: no result for 300 units (u0, u1, ")
    assert sentence.endswith("u9 and 290 more): no")


def test_fields_that_are_noise_are_one_warning_with_a_count() -> None:
    session = PipelineSession("noise")
    rng = np.random.default_rng(1)
    for n in range(12):
        feature = {"data": rng.normal(size=(60, 15, 15)), "metadata": {"cover_range": (-60, 0), "n_spikes": 300}}
        session.units[f"unit_{n:03d}"] = {"features": {f"sta_{NOISE}": feature}}
    session.add_metadata({"acquisition_rate": 20_000.0, "frame_timestamps": np.arange(0, 10**6, 333).astype(np.uint64)})
    extract_rf_geometry(movie_name=NOISE, session=session)
    (warning,) = session.warnings
    assert warning.startswith("extract_rf_geometry: no result for 12 units (unit_000, ")
    assert "of the peak is not above 5" in warning


def test_a_movie_that_was_not_shown_is_told_apart_from_a_step_that_was_not_run() -> None:
    assert without_sections("look", "bar", ["noise", "flash"]) == (
        "look needs the sectioned spikes of bar, which was not shown; shown were: flash, noise"
    )
    assert without_sections("look", "bar", ["bar"]).endswith("run section_spike_times first")
    assert without_sections("look", "bar", []).endswith("run add_section_time and section_spike_times first")


def test_steps_say_that_their_movie_was_not_shown() -> None:
    session = PipelineSession("rec")
    session.add_units({"unit_001": {"spike_times": np.arange(3, dtype=np.uint64)}})
    session.add_stimulus({"section_time": {"flash": np.array([[0, 10]], np.uint64)}})
    with pytest.raises(MissingInputError, match="which was not shown; shown were: flash"):
        copy_section(source="noise", target="again", session=session)
