"""Base of feature extractors, and common parts of the families of stimulus features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hdmea.features.quality import trial_quality
from hdmea.features.trials import Trials, read_trials, sections_of
from hdmea.io.stimulus_config import SectionKwargs, inherited_stimulus_config
from hdmea.utils.exceptions import ConfigurationError, MissingInputError

MOVIE = "movie_name"  # in a config: the section that a feature works on
SECTION = "section_kwargs"  # in a config that `settings` made: where the trials are
TRIALS, BLOCKS = "trials", "blocks"  # [first, last) of the trials that count; such by name, each a feature of its own

MEASURES_VERSION = "3.0.0"  # of the definitions in docs/measures.md: raised when values change


class DictAdapter(Mapping[str, Any]):
    """A session's dict, read as a file's group: paths with "/", `attrs` for single values, arrays as datasets.

    For extractors that were written for HDF5 groups; those of this package take dicts as they are.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data

    def __getitem__(self, path: str) -> Any:
        value: Any = self._data
        for name in path.strip("/").split("/"):
            value = value[int(name) if name not in value and name.isdecimal() else name]
        return DictAdapter(value) if isinstance(value, Mapping) else np.asarray(value)

    def __contains__(self, path: object) -> bool:
        try:
            self[str(path)]
        except (KeyError, ValueError, TypeError):
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return (str(name) for name in self._data)

    def __len__(self) -> int:
        return len(self._data)

    @property
    def attrs(self) -> dict[str, Any]:
        """The dict's single values."""
        return {
            str(name): value
            for name, value in self._data.items()
            if not isinstance(value, Mapping) and np.ndim(value) == 0 and value is not None
        }


class FeatureExtractor(ABC):
    """One feature of a unit. Subclass, register with `FeatureRegistry.register`, and `extract_features` finds it.

    Attributes
    ----------
    name : str
        The feature's name: that of its group in the file, and of the section it works on. Set by registering.
    version : str
        To be raised when values change.
    required_inputs : tuple of str
        What `extract` reads: fields of a unit, of the metadata or of the stimulus. Where one of them is missing,
        `extract_features` without names leaves the feature out.
    output_schema : dict
        Each value's name and what it is.
    q_values : dict
        Values that are computed over all units of a recording once every unit has the feature: the q-value's name, and
        that of the p-value it comes from (Benjamini & Hochberg 1995).
    in_threads : bool
        Whether `extract` works on several units at once, in threads. For one that changes nothing but what it made
        itself, and spends its time in compiled code without Python's lock: else threads only wait for each other.
    runtime_class : str
        "fast" or "slow".
    description : str
        One line.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.features import FeatureExtractor, FeatureRegistry
    >>> @FeatureRegistry.register("shortest_interval")
    ... class ShortestInterval(FeatureExtractor):
    ...     required_inputs = ("spike_times",)
    ...     output_schema = {"samples": "shortest interval between two spikes"}
    ...
    ...     def extract(self, unit_data, stimulus_data, config=None, metadata=None):
    ...         return {"samples": int(np.diff(unit_data["spike_times"]).min())}
    >>> ShortestInterval().extract({"spike_times": np.array([5, 8, 20])}, {})
    {'samples': 3}
    """

    name: ClassVar[str] = ""
    version: ClassVar[str] = "1.0.0"
    required_inputs: ClassVar[tuple[str, ...]] = ()
    output_schema: ClassVar[dict[str, str]] = {}
    q_values: ClassVar[dict[str, str]] = {}
    in_threads: ClassVar[bool] = False
    runtime_class: ClassVar[str] = "fast"
    description: ClassVar[str] = ""

    @abstractmethod
    def extract(
        self,
        unit_data: Any,
        stimulus_data: Any,
        config: Mapping[str, Any] | None = None,
        metadata: Any = None,
    ) -> dict[str, Any]:
        """The feature's values for one unit.

        Parameters
        ----------
        unit_data, stimulus_data, metadata
            A session's dicts, or the groups `/units/{id}`, `/stimulus` and `/metadata` of a file.
        config
            What overrides the defaults.

        Returns
        -------
        dict
            Name to value: arrays, scalars, text, or dicts of them.

        Raises
        ------
        MissingInputError
            An input is not there; the message names the step to run first.
        """


class StimulusFeature(FeatureExtractor):
    """A feature computed from the trials of one movie, with the stimulus's timing from that movie's config.

    Attributes
    ----------
    family : str
        The name by which a config file asks for this class.
    timing : tuple of str
        Parameters that the stimulus config must give: how long what is shown, in frames.
    defaults : dict
        Parameters of the measure itself, which a config or a call may change.

    Examples
    --------
    >>> from hdmea.features import StimulusFeature
    >>> class MeanCount(StimulusFeature):
    ...     family, name = "mean_count", "mean_count"
    ...     defaults = {"longest_s": 2.0}
    ...
    ...     def compute(self, trials, settings):
    ...         return {"spikes_a_trial": sum(map(len, trials.spikes)) / max(len(trials), 1)}
    >>> MeanCount().settings({"longest_s": 1.0}, movie="any")["longest_s"]
    1.0
    """

    family: ClassVar[str] = ""
    timing: ClassVar[tuple[str, ...]] = ()
    defaults: ClassVar[dict[str, Any]] = {}
    version: ClassVar[str] = MEASURES_VERSION
    required_inputs: ClassVar[tuple[str, ...]] = ("spike_times_sectioned", "frame_timestamps", "acquisition_rate")

    def settings(self, config: Mapping[str, Any] | None = None, movie: str | None = None) -> dict[str, Any]:
        """All parameters that count, with `movie_name`, `lead_frames` and, where there is a config, `section_kwargs`.

        They come from, later ones first: the call's `config`, the config of the movie, the config of the feature's own
        stimulus, the class's `defaults`.

        Parameters
        ----------
        config
            What overrides all else.
        movie
            The section to work on; default that of the feature's own name.

        Returns
        -------
        dict
            Name to value.

        Raises
        ------
        ConfigurationError
            The stimulus config lacks what `timing` names.
        ValueError
            The stimulus config is invalid.
        """
        given = dict(config or {})
        if SECTION in given and MOVIE in given:
            return given
        given[MOVIE] = given.get(MOVIE) or movie or self.name
        merged: dict[str, Any] = {**self.defaults, "lead_frames": 0, SECTION: None}
        for name in dict.fromkeys((self.name, given[MOVIE])):
            if stimulus := inherited_stimulus_config(name):
                merged |= stimulus.parameters
                merged[SECTION] = {field: getattr(stimulus.section, field) for field in SectionKwargs.__slots__}
        merged |= given
        if missing := [name for name in self.timing if merged.get(name) is None]:
            raise ConfigurationError(
                f"the stimulus config of {given[MOVIE]!r} does not say {', '.join(missing)}: "
                "add them to its parameters, or pass them in config_overrides"
            )
        blocks = merged.get(BLOCKS) or {}
        if not isinstance(blocks, Mapping):
            raise ConfigurationError(f"{BLOCKS} of {given[MOVIE]!r} must be names with [first, last), not {blocks!r}")
        for block in (merged.get(TRIALS), *blocks.values()):
            if block is not None and not _is_block(block):
                raise ConfigurationError(
                    f"trials of {given[MOVIE]!r} must be [first, last), whole numbers from 0 on, not {block!r}"
                )
        return merged

    def extract(
        self,
        unit_data: Any,
        stimulus_data: Any,
        config: Mapping[str, Any] | None = None,
        metadata: Any = None,
    ) -> dict[str, Any]:
        """The values of `compute` and the response's quality, from the trials of one movie.

        Parameters
        ----------
        unit_data, stimulus_data, config, metadata
            As of `FeatureExtractor.extract`.

        Returns
        -------
        dict
            Name to value.

        Raises
        ------
        MissingInputError
            The unit has no trials of the movie.
        """
        settings = self.settings(config)
        section = settings[SECTION]
        length = None if section is None else int(section["trial_length_frame"])
        sections = sections_of(stimulus_data, settings[MOVIE])
        trials = read_trials(unit_data, settings[MOVIE], metadata, length, sections, settings.get(TRIALS))
        if trials is None:
            message = f"no spikes of {settings[MOVIE]!r}: run section_spike_times first"
            raise MissingInputError(message, self.name, "spike_times_sectioned")
        common = {"n_trials": len(trials), "frame_period_s": trials.period_s}
        return {
            **self.compute(trials, settings),
            **trial_quality(trials, self.conditions(trials, settings)),
            **common,
        }

    def compute(self, trials: Trials, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The values of this family from one unit's complete trials, of which there may be none."""
        raise NotImplementedError(f"{type(self).__name__} does not work on trials")

    def conditions(self, trials: Trials, settings: Mapping[str, Any]) -> npt.NDArray[np.int64]:
        """Condition of each trial, its stimulus; trials of one condition are repeats of each other."""
        return np.zeros(len(trials), np.int64)

    def check_movie(self, frames: npt.NDArray[Any], settings: Mapping[str, Any]) -> list[str]:
        """Differences of the movie from what the config says of it."""
        return []


def _is_block(block: Any) -> bool:
    if not isinstance(block, (list, tuple)) or len(block) != 2:
        return False
    return all(type(number) is int for number in block) and 0 <= block[0] < block[1]


COMMON_SCHEMA = {
    "response_quality": "signal power fraction (n QI - 1) / (n - 1), not clipped; 0 for noise, 1 for equal trials",
    "response_quality_raw": "QI = Var_t(mean over trials) / mean over trials(Var_t)",
    "response_quality_first_half": "response_quality of the first half of the trials",
    "response_quality_second_half": "response_quality of the last half of the trials",
    "change_trial": "first trial of those that differ most from those before; NaN of fewer than six trials",
    "change_p_value": "that trials do not change in their order, against 1000 permutations",
    "n_trials": "complete trials that were used",
    "frame_period_s": "s, mean time of a frame in these trials",
}
