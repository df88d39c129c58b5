"""Names of recordings, from those of their files."""

from __future__ import annotations

from pathlib import Path

import pytest

from hdmea.utils.exceptions import ConfigurationError
from hdmea.utils.names import default_dataset_id, recording_path


def test_the_sorted_file_gives_the_name_before_the_raw_one() -> None:
    assert default_dataset_id("raw.cmcr", "sorted-.cmtr") == "sorted"
    assert default_dataset_id("raw-.cmcr", None) == "raw"


def test_no_name_is_an_error_that_says_what_to_give() -> None:
    with pytest.raises(ConfigurationError, match=r"give a dataset_id, a \.cmcr file or a \.cmtr file"):
        default_dataset_id(None, None)
    with pytest.raises(ConfigurationError, match=r"the name of --\.cmcr makes no dataset ID: give one"):
        default_dataset_id("--.cmcr", None)


def test_a_name_stays_in_its_directory() -> None:
    assert recording_path("out", "2024/05").parent == Path("out")
