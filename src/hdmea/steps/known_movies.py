"""Check that there are the movies that the arguments of steps name, before the first step is run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hdmea.io.stimulus_config import SHIPPED_CONFIG_DIR, stimulus_config_dir
from hdmea.steps.section_time import requested_movies
from hdmea.steps.step_call import StepCall
from hdmea.utils.choices import there_are
from hdmea.utils.exceptions import ConfigurationError
from hdmea.utils.problems import Problems


def check_movies(calls: Sequence[StepCall]) -> None:
    """Raise `ConfigurationError` for names of movies that neither playlist, lengths, configs nor sections have.

    A movie that there is, but that was not shown in this recording, is the step's to judge. Nothing is said without a
    playlist that can be read.
    """
    named = [(call, argument) for call in calls for argument in call.row.of_movies if call.arguments.get(argument)]
    playlists = [call for call in calls if call.name == "add_section_time"]
    if not named or not playlists:
        return
    try:
        shown, lengths = requested_movies(**playlists[0].arguments)
    except (ConfigurationError, ValueError, OSError):
        return  # said where the playlist is checked, or by the step
    sections = list(dict.fromkeys([*shown, *(str(section) for call in calls if (section := _made_by(call)))]))
    known_movies = {*sections, *lengths, *_with_config(calls)}
    problems = Problems()
    for call, argument in named:
        for movie in _names(call.arguments[argument]):
            with problems.noting(f"{call.name}.{argument}"):
                if movie not in known_movies:
                    raise ConfigurationError(f"no movie is called {movie!r}; {there_are(movie, sections)}")
    problems.raise_any()


def _made_by(call: StepCall) -> Any:
    """The section that a step makes beside those of the playlist, or None."""
    argument = call.row.new_section
    return call.arguments.get(argument, call.row.defaults().get(argument)) if argument else None


def _with_config(calls: Sequence[StepCall]) -> set[str]:
    """Movies that a stimulus config describes, those that ship and those of the steps' own directories."""
    directories = {stimulus_config_dir(call.arguments.get("config_dir")) for call in calls}
    return {path.stem for directory in {SHIPPED_CONFIG_DIR, *directories} for path in directory.glob("*.json")}


def _names(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
