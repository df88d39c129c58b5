"""What a feature extractor is, and what the families of stimulus features have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from hdmea.features.trials import Trials, read_trials
from hdmea.io.stimulus_config import FRAME_RATE_HZ, has_stimulus_config, load_stimulus_config
from hdmea.utils.exceptions import MissingInputError

MOVIE = "movie_name"  # in a config: the section that a feature works on
SECTION = "section_kwargs"  # in a config that `settings` made: where the trials lie


class FeatureExtractor(ABC):
    """One feature of a unit. Subclass, register with `FeatureRegistry.register`, and `extract_features` finds it.

    Attributes
    ----------
    name : str
        The feature's name: that of its group in the file, and of the section it works on.
    version : str
        To be raised when values change.
    required_inputs : tuple of str
        What `extract` reads.
    output_schema : dict
        Each value's name and what it is.
    runtime_class : str
        "fast" or "slow".
    description : str
        One line.
    """

    name: ClassVar[str] = ""
    version: ClassVar[str] = "1.0.0"
    required_inputs: ClassVar[tuple[str, ...]] = ()
    output_schema: ClassVar[dict[str, str]] = {}
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

        unit_data, stimulus_data, metadata: a session's dicts, or the groups `/units/{id}`, `/stimulus` and `/metadata`
        of a file. config: what overrides the defaults. Values: arrays, scalars, text, or dicts of them.

        Raises `MissingInputError` that names the step to run first.
        """


class StimulusFeature(FeatureExtractor):
    """A feature computed from the trials of one movie, with parameters from that movie's stimulus config.

    Parameters come from, later ones first: the call's `config`, the `parameters` of the movie's config file, the
    class's `defaults`. `family` is the name by which a config file asks for this class.
    """

    family: ClassVar[str] = ""
    defaults: ClassVar[dict[str, Any]] = {"bin_ms": 20.0}
    required_inputs: ClassVar[tuple[str, ...]] = ("spike_times_sectioned", "acquisition_rate")

    def settings(self, config: Mapping[str, Any] | None = None, movie: str | None = None) -> dict[str, Any]:
        """All parameters that count, with `movie_name` and, where the movie has a config file, its `section_kwargs`."""
        given = dict(config or {})
        if SECTION in given and MOVIE in given:
            return given
        given[MOVIE] = given.get(MOVIE) or movie or self.name
        merged = dict(self.defaults)
        if has_stimulus_config(given[MOVIE]):
            stimulus = load_stimulus_config(given[MOVIE])
            merged |= stimulus.parameters
            merged[SECTION] = {name: getattr(stimulus.section, name) for name in stimulus.section.__slots__}
        else:
            merged[SECTION] = None
        return merged | given

    def extract(
        self,
        unit_data: Any,
        stimulus_data: Any,
        config: Mapping[str, Any] | None = None,
        metadata: Any = None,
    ) -> dict[str, Any]:
        """See `FeatureExtractor.extract`. Raises `MissingInputError` where the unit has no trials of the movie."""
        settings = self.settings(config)
        trials = read_trials(unit_data, settings[MOVIE], metadata)
        if trials is None:
            message = f"no spikes of {settings[MOVIE]!r}: run section_spike_times first"
            raise MissingInputError(message, self.name, "spike_times_sectioned")
        return self.compute(trials, settings)

    def compute(self, trials: Trials, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The values from one unit's trials."""
        raise NotImplementedError(f"{type(self).__name__} does not work on trials")


def frames_to_seconds(frames: float) -> float:
    """Seconds that 60 Hz frames take."""
    return frames / FRAME_RATE_HZ
