"""`hdmea run DIRECTORY`: what a run needs is found, or the option that says it is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from h5burst.console import run as run_command
from hdmea.cli import app
from hdmea.steps import section_time
from hdmea.utils.discovery import Inputs, find_inputs
from hdmea.utils.exceptions import ConfigurationError


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


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ("lists.csv", ["playlist_name, movie_names: name it by playlist_file_path (in commands --playlist-file)"]),
        ("frames.csv", ["movie_name, movie_length: name it by movie_length_file_path (in commands --movie-lengths)"]),
        ("*.csv", ["2 things are wrong", "--playlist-file", "--movie-lengths"]),
    ],
)
def test_a_run_says_what_a_directory_lacks_before_it_reads_the_recording(
    laboratory: Path, lacking: str, said: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HDMEA_PLAYLIST_DIR", raising=False)
    monkeypatch.delenv("HDMEA_CONFIG_DIR", raising=False)
    for path in (laboratory / "shown").glob(lacking):
        path.unlink()

    assert run_command(app, ["run", str(laboratory), "-o", str(laboratory / "results")]) == 2

    errors = capsys.readouterr().err
    assert all(text in errors for text in said)
    assert "load_recording" not in errors  # whose files are empty, so that it would fail


def test_a_run_says_which_half_of_a_recording_it_did_not_find(
    laboratory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (laboratory / "2026_01_05.cmtr").unlink()
    (laboratory / "shown" / "lists.csv").unlink()  # so that the run ends before the recording is read
    run_command(app, ["run", str(laboratory), "-o", str(laboratory / "results")])

    assert "no sorted spikes (.cmtr)" in caplog.text
    assert "--cmtr" in caplog.text


def test_tables_of_a_script_or_of_a_variable_need_no_argument(
    laboratory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HDMEA_PLAYLIST_DIR", raising=False)
    monkeypatch.setattr(section_time, "DEFAULT_PLAYLIST_PATH", laboratory / "shown" / "lists.csv")
    (laboratory / "movie_length.csv").write_text("movie_name,movie_length\na,600\n")
    monkeypatch.setenv("HDMEA_CONFIG_DIR", str(laboratory))

    assert section_time.requested_movies("monday") == (["a"], {"a": 600})
