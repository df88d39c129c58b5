"""Stimulus configs: one JSON file a movie, `{config_dir}/{movie}.json`, that says how its trials are in it.

{"family": "on_off",                                   the feature family that reads it (optional)
 "section_kwargs": {"start_frame": 240, "trial_length_frame": 600, "repeat": 3},
 "parameters": {"lead_frames": 60, "on_frames": 300}}  what the family needs to know of the stimulus (optional)

All timing is in frames. `lead_frames` (default 0) are between a trial's start and that of the stimulus.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from h5burst import load_json
from hdmea.utils.choices import there_are

CONFIG_DIR_VARIABLE = "HDMEA_CONFIG_DIR"
SHIPPED_CONFIG_DIR = Path(__file__).resolve().parent.parent / "configs" / "stimuli"

_REQUIRED_MINIMA = {"start_frame": 0, "trial_length_frame": 1, "repeat": 1}
_OPTIONAL_MINIMA = {"group_count": 1, "group_gap": 0}


@dataclass(frozen=True, slots=True)
class SectionKwargs:
    """Trials of a movie, in 60 Hz frames from the movie's first."""

    start_frame: int
    trial_length_frame: int
    repeat: int
    group_count: int = 1
    group_gap: int = 0

    @property
    def trial_count(self) -> int:
        """Trials in one presentation: `repeat` in each of `group_count` groups."""
        return self.group_count * self.repeat

    def trial_starts(self) -> npt.NDArray[np.int64]:
        """First frame of each trial (trial_count,), from the movie's first frame."""
        n = np.arange(self.trial_count, dtype=np.int64)
        return self.start_frame + n * self.trial_length_frame + (n // self.repeat) * self.group_gap

    @property
    def frame_count(self) -> int:
        """The least frames a movie needs to hold all its trials."""
        return int(self.trial_starts()[-1]) + self.trial_length_frame


@dataclass(frozen=True, slots=True)
class StimulusConfig:
    """One movie's config: its trials, the feature family that serves it, and that family's parameters."""

    movie: str
    section: SectionKwargs
    family: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


class _InvalidConfigError(ValueError):
    """Error of one config; collected into the one error that callers see."""


def stimulus_config_dir(config_dir: str | os.PathLike[str] | None = None) -> Path:
    """`config_dir`, else the directory in `HDMEA_CONFIG_DIR`, else the configs that ship with the package."""
    return Path(config_dir or os.environ.get(CONFIG_DIR_VARIABLE) or SHIPPED_CONFIG_DIR)


def load_stimulus_configs(
    movies: Iterable[str], config_dir: str | os.PathLike[str] | None = None
) -> dict[str, StimulusConfig]:
    """The configs of several movies, by movie name.

    Raises one `ValueError` that lists every config that is missing or invalid, with what is wrong in it.
    """
    directory = stimulus_config_dir(config_dir)
    configs: dict[str, StimulusConfig] = {}
    missing: list[str] = []
    invalid: list[str] = []
    for movie in movies:
        try:
            configs[movie] = _load(movie, directory)
        except FileNotFoundError:
            missing.append(movie)
        except _InvalidConfigError as error:
            invalid.append(f"{movie}: {error}")
    if missing or invalid:
        raise ValueError(_complaint(directory, missing, invalid, configs))
    return configs


def load_stimulus_config(movie: str, config_dir: str | os.PathLike[str] | None = None) -> StimulusConfig:
    """One movie's config. Raises `ValueError` where it is missing or invalid."""
    return load_stimulus_configs([movie], config_dir)[movie]


def has_stimulus_config(movie: str, config_dir: str | os.PathLike[str] | None = None) -> bool:
    """True where there is a config file for `movie`; says nothing of its content."""
    return _is_file_name(movie) and (stimulus_config_dir(config_dir) / f"{movie}.json").is_file()


def inherited_stimulus_config(movie: str) -> StimulusConfig | None:
    """A movie's config, completed by the one that ships under the same name; None where there is neither.

    A laboratory's config may say no more than where the trials are. Where it cuts the same trials as the config that
    ships, that one says the rest: the family, and the parameters that are not given. Raises `ValueError` as
    `load_stimulus_config` does.
    """
    config = load_stimulus_config(movie) if has_stimulus_config(movie) else None
    if not has_stimulus_config(movie, SHIPPED_CONFIG_DIR):
        return config
    shipped = load_stimulus_config(movie, SHIPPED_CONFIG_DIR)
    if config is None:
        return shipped
    if _cut(config.section) != _cut(shipped.section):
        return config
    return StimulusConfig(
        movie, config.section, config.family or shipped.family, {**shipped.parameters, **config.parameters}
    )


def _cut(section: SectionKwargs) -> tuple[int, int]:
    """Origin of a movie's other parameters: where its first trial begins, and how long one is."""
    return section.start_frame, section.trial_length_frame


def shipped_families() -> dict[str, str]:
    """The family of each stimulus whose config ships with the package, by movie."""
    movies = sorted(path.stem for path in SHIPPED_CONFIG_DIR.glob("*.json"))
    configs = load_stimulus_configs(movies, SHIPPED_CONFIG_DIR)
    return {movie: config.family for movie, config in configs.items() if config.family is not None}


def save_stimulus_config(config: StimulusConfig, config_dir: str | os.PathLike[str]) -> Path:
    """Write `config` as `{config_dir}/{movie}.json` and return that path."""
    path = Path(config_dir) / f"{config.movie}.json"
    section = {name: getattr(config.section, name) for name in (*_REQUIRED_MINIMA, *_OPTIONAL_MINIMA)}
    content = {"family": config.family, "section_kwargs": section, "parameters": dict(config.parameters)}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def _complaint(directory: Path, missing: list[str], invalid: list[str], configured: Iterable[str]) -> str:
    lines = [f"stimulus configs in {directory} cannot be used:"]
    if missing:
        others = sorted({path.stem for path in directory.glob("*.json")} - set(configured))
        hint = f"; {there_are(missing[0], others)}" if others else ""
        lines.append(f"missing: {', '.join(f'{movie}.json' for movie in missing)}{hint}")
    lines.extend(f"invalid: {text}" for text in invalid)
    return "\n  ".join(lines)


def _is_file_name(movie: str) -> bool:
    return bool(movie) and not any(character in movie for character in "/\\\0")


def _load(movie: str, directory: Path) -> StimulusConfig:
    if not _is_file_name(movie):
        raise _InvalidConfigError("the movie's name cannot be a file name")
    path = directory / f"{movie}.json"
    try:
        content = load_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise _InvalidConfigError(f"not a readable JSON file ({error})") from error
    if not isinstance(content, dict):
        raise _InvalidConfigError("the file holds no JSON object")
    family, parameters = content.get("family"), content.get("parameters") or {}
    problems = _section_problems(content.get("section_kwargs"))
    if family is not None and not isinstance(family, str):
        problems.append("family must be text")
    if not isinstance(parameters, dict):
        problems.append("parameters must be an object")
    if problems:
        raise _InvalidConfigError("; ".join(problems))
    fields = (*_REQUIRED_MINIMA, *_OPTIONAL_MINIMA)
    section = SectionKwargs(**{name: value for name, value in content["section_kwargs"].items() if name in fields})
    return StimulusConfig(movie, section, family, parameters)


def _section_problems(section: Any) -> list[str]:
    if section is None:
        return ["section_kwargs is missing"]
    if not isinstance(section, dict):
        return ["section_kwargs must be an object"]
    problems = [f"section_kwargs lacks {name}" for name in _REQUIRED_MINIMA if name not in section]
    for name, minimum in (_REQUIRED_MINIMA | _OPTIONAL_MINIMA).items():
        if name not in section:
            continue
        value = section[name]
        if type(value) is not int:
            problems.append(f"{name} must be an int, not {value!r}")
        elif value < minimum:
            problems.append(f"{name} must be at least {minimum}, not {value}")
    return problems
