"""`hdmea run DIRECTORY`: what a run needs is found, or the option that says it is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from hdmea.utils.exceptions import ConfigurationError
from hdmea.utils.inputs import Inputs, find_inputs


@pytest.fixture
def laboratory(tmp_path: Path) -> Path:
    """Made by hand, with names that none of our own programs gives."""
    for name in ("2026_01_05.cmcr", "2026_01_05.cmtr", "shown/movies/a.npy", "shown/movies/b.npy", "settings/a.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "shown" / "lists.csv").write_text("playlist_name,movie_names\nmonday,\"['a.mov']\"\n")
    (tmp_path / "shown" / "frames.csv").write_text("\ufeffmovie_name,movie_length\na,600\n", encoding="utf-8")
    (tmp_path / "notes.csv").write_text("animal,age\n7,p30\n")
    return tmp_path


def test_everything_is_found(laboratory: Path) -> None:
    assert find_inputs(laboratory, Inputs()) == Inputs(
        cmcr=laboratory / "2026_01_05.cmcr",
        cmtr=laboratory / "2026_01_05.cmtr",
        playlist="monday",
        playlist_file=laboratory / "shown" / "lists.csv",
        movie_lengths=laboratory / "shown" / "frames.csv",
        stimuli=laboratory / "shown" / "movies",
        configs=laboratory / "settings",
    )


def test_what_is_given_is_not_looked_for(laboratory: Path, tmp_path: Path) -> None:
    (laboratory / "second.cmcr").touch()
    given = Inputs(cmcr=laboratory / "second.cmcr", stimuli=tmp_path, playlist="tuesday")
    found = find_inputs(laboratory, given)
    assert (found.cmcr, found.stimuli, found.playlist) == (given.cmcr, tmp_path, "tuesday")
    assert found.cmtr == laboratory / "2026_01_05.cmtr"


@pytest.mark.parametrize(
    ("made", "option"),
    [
        ("other.cmcr", "--cmcr"),
        ("settings/more/b.json", "--configs"),
        ("old/a.npy", "--stimuli"),
        ("old/lists.csv", "--playlist-file"),
    ],
)
def test_of_several_the_option_says_which(laboratory: Path, made: str, option: str) -> None:
    (laboratory / made).parent.mkdir(exist_ok=True)
    (laboratory / made).write_text("playlist_name,movie_names\n")
    with pytest.raises(ConfigurationError, match=f"{option} must say which is meant"):
        find_inputs(laboratory, Inputs())


def test_of_several_playlists_the_recordings_own_is_taken(laboratory: Path) -> None:
    lists = laboratory / "shown" / "lists.csv"
    lists.write_text("playlist_name,movie_names\nmonday,[]\n2026_01_05,[]\n")
    assert find_inputs(laboratory, Inputs()).playlist == "2026_01_05"
    lists.write_text("playlist_name,movie_names\nmonday,[]\nfriday,[]\n")
    with pytest.raises(ConfigurationError, match=r"--playlist must say which was shown; .* has: monday, friday"):
        find_inputs(laboratory, Inputs())


def test_a_directory_without_a_recording(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no recording"):
        find_inputs(tmp_path, Inputs())
    with pytest.raises(NotADirectoryError, match="is not a directory"):
        find_inputs(tmp_path / "nowhere", Inputs())


def test_sorted_spikes_alone_are_enough(tmp_path: Path) -> None:
    (tmp_path / "only.cmtr").touch()
    assert find_inputs(tmp_path, Inputs()) == Inputs(cmtr=tmp_path / "only.cmtr")
