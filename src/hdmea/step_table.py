"""The pipeline's steps, one row a step: what it is called, where it is, what it needs, makes and is redone with.

Public exports, flows, batch recipes and "what is redone with what" all derive from this table; a new step is one new
module and one row here. Nothing is imported before a step is used.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hdmea.utils.choices import there_are
from hdmea.utils.exceptions import ConfigurationError

Source = Literal["vendor", "spikes"]

# Set by the code that runs a step: where it works, what the recording is called, and whether it is done again.
SET_BY_THE_RUNNER = frozenset(
    {"session", "hdf5_path", "output_dir", "dataset_id", "cmcr_path", "cmtr_path", "path", "force", "allow_overwrite"}
)


def takes_path(argument: str) -> bool:
    """True where an argument of that name, of any step, is the path of a file or a directory."""
    return argument in ("path", "table") or argument.endswith(("_path", "_dir"))


@dataclass(frozen=True)
class Step:
    """One row.

    Attributes
    ----------
    name : str
        Of the step and of its function.
    module : str
        Where the function is defined.
    needs, makes : tuple of str
        Places of the session that the step cannot do without, and those that it fills.
    redo_with : "load" or "analysis"
        Which of a flow's two switches does the step again: `force_load` or `force_extract`.
    loads : "vendor", "spikes" or None
        From which files the step loads a recording; None for a step that works on a loaded one.
    exports : tuple of str
        Other public names of the module.
    from_recording : mapping
        The function's arguments that a row of a batch (or the command line) fills: argument to field of the row.
    check : str
        A function of the module that takes the arguments and raises `ConfigurationError` for those that fit no
        recording, beyond their types; empty where there is none.
    of_movies : tuple of str
        Arguments that name movies of which there are sections already.
    new_section : str
        The argument that names a section which the step makes; empty where the playlist names them.
    """

    name: str
    module: str
    needs: tuple[str, ...]
    makes: tuple[str, ...]
    redo_with: Literal["load", "analysis"] = "analysis"
    loads: Source | None = None
    exports: tuple[str, ...] = ()
    from_recording: Mapping[str, str] = field(default_factory=dict)
    check: str = ""
    of_movies: tuple[str, ...] = ()
    new_section: str = ""

    @property
    def function(self) -> Callable[..., Any]:
        """The step's function; its module is imported now."""
        function: Callable[..., Any] = getattr(importlib.import_module(self.module), self.name)
        return function

    def check_arguments(self, arguments: Mapping[str, Any]) -> None:
        """Raise `ConfigurationError` for arguments of the right types that fit no recording."""
        if self.check and arguments:
            getattr(importlib.import_module(self.module), self.check)(arguments)

    def parameters(self) -> list[str]:
        """Names of the arguments that a flow, a recipe or an option may give."""
        names = [name for name in inspect.signature(self.function).parameters if name not in SET_BY_THE_RUNNER]
        return names if self.loads is not None else [*names, OPTIONAL]

    def defaults(self) -> dict[str, Any]:
        """Values that the function takes where an argument is not given."""
        parameters = inspect.signature(self.function).parameters.values()
        return {one.name: one.default for one in parameters if one.default is not inspect.Parameter.empty}


# For the runner, not the function, of every step that does not load: true skips the step, with a warning, in a
# recording that lacks what it needs.
OPTIONAL = "optional"

_VENDOR = {"cmcr_path": "cmcr", "cmtr_path": "cmtr"}
_LOADED = ("units", "unit_meta", "metadata", "stimulus/light_reference", "metadata/frame_timestamps")

_ROWS = (
    Step("load_recording", "hdmea.steps.load_recording", (), _LOADED, "load", "vendor", ("LoadResult",), _VENDOR),
    Step(
        "load_recording_with_eimage_sta",
        "hdmea.steps.load_with_images",
        (),
        (*_LOADED, "features/eimage_sta"),
        "load",
        "vendor",
        ("LoadWithEImageSTAResult",),
        _VENDOR,
    ),
    Step("load_spikes", "hdmea.steps.load_spikes", (), ("units", "metadata"), "load", "spikes", (), {"path": "spikes"}),
    Step(
        "add_section_time",
        "hdmea.steps.section_time",
        ("metadata/frame_timestamps",),
        (
            "stimulus/section_time",
            "stimulus/light_template",
            "metadata/section_time_playlist",
            "metadata/section_time_repeats",
            "metadata/section_time_movies",
        ),
        "load",
        exports=("convert_frame_to_sample_index", "convert_sample_index_to_frame"),
        from_recording={"playlist_name": "playlist"},
    ),
    Step(
        "add_section_windows",
        "hdmea.steps.section_windows",
        ("metadata",),
        ("stimulus/section_time", "metadata/section_windows"),
        "load",
        new_section="name",
    ),
    Step(
        "add_section_time_analog",
        "hdmea.steps.analog_sections",
        ("metadata", "stimulus/light_reference"),
        ("stimulus/section_time", "stimulus/light_template", "metadata/section_windows"),
        "load",
        new_section="movie_name",
    ),
    Step(
        "section_spike_times",
        "hdmea.steps.sectioning",
        ("units", "stimulus/section_time"),
        ("spike_times_sectioned",),
        "load",
        exports=("SectionResult",),
        of_movies=("movie_names",),
    ),
    Step(
        "compute_sta",
        "hdmea.steps.sta",
        ("metadata/frame_timestamps", "spike_times_sectioned"),
        ("features/sta_{movie}",),
        exports=("STAResult",),
    ),
    Step("add_cmtr_unit_info", "hdmea.steps.vendor_metadata", ("units",), ("unit_meta",), "load"),
    Step("add_sys_meta_info", "hdmea.steps.vendor_metadata", ("metadata",), ("metadata/cmcr_meta",), "load"),
    Step("add_electrode_images", "hdmea.steps.electrode_images", ("units",), ("features/eimage_sta",)),
    Step("extract_soma_geometry", "hdmea.steps.soma", ("features/eimage_sta",), ("eimage_sta/geometry",)),
    Step(
        "extract_rf_geometry",
        "hdmea.steps.rf_geometry",
        ("features/sta_{movie}",),
        ("sta_{movie}/sta_geometry",),
        of_movies=("movie_name",),
    ),
    Step("compute_stc", "hdmea.steps.stc", ("features/sta_{movie}",), ("sta_{movie}/stc",), of_movies=("movie_name",)),
    Step(
        "fit_ln_model",
        "hdmea.steps.ln_model",
        ("sta_{movie}/sta_geometry",),
        ("sta_geometry/lnl",),
        of_movies=("movie_name",),
    ),
    Step("annotate", "hdmea.steps.annotate", ("units",), ("metadata/gsheet_row", "auto_label"), "load"),
    Step(
        "track_axons", "hdmea.steps.axons", ("features/eimage_sta",), ("features/ap_tracking", "metadata/ap_tracking")
    ),
    Step(
        "align_electrodes",
        "hdmea.steps.align",
        ("eimage_sta/geometry", "sta_{movie}/sta_geometry"),
        ("metadata/electrode_alignment",),
        of_movies=("movie_name", "bar_movie_name"),
    ),
    Step(
        "copy_section",
        "hdmea.steps.copy_section",
        ("spike_times_sectioned",),
        ("spike_times_sectioned",),
        of_movies=("source",),
        new_section="target",
    ),
    Step(
        "section_by_direction",
        "hdmea.steps.section_by_direction",
        ("spike_times_sectioned",),
        ("spike_times_sectioned/direction_section",),
        exports=("DIRECTION_LIST", "DirectionSectionResult"),
        of_movies=("movie_name",),
    ),
    Step("measure_bursts", "hdmea.steps.bursts", ("units", "metadata"), ("features/bursts",), check="check_options"),
    Step("measure_synchrony", "hdmea.steps.synchrony", ("units", "metadata"), ("metadata/synchrony",)),
    Step("find_waves", "hdmea.steps.waves", ("units", "metadata"), ("metadata/waves",), check="check_options"),
    Step(
        "extract_features",
        "hdmea.steps.extract",
        ("units",),
        ("features",),
        exports=("ExtractionResult",),
        check="check_features",
    ),
)
STEPS: dict[str, Step] = {step.name: step for step in _ROWS}


def step_named(name: object) -> Step:
    """The row of that name. Raises `ConfigurationError` that lists the steps for another name."""
    row = STEPS.get(name) if isinstance(name, str) else None
    if row is None:
        raise ConfigurationError(f"no step is called {name!r}; {there_are(name, STEPS)}")
    return row


def loading_step(name: str, spikes: bool) -> str:
    """The step that takes the place of `load_recording` for spikes that were found elsewhere; others stay."""
    return "load_spikes" if spikes and name == "load_recording" else name


def loading_steps(source: Source | None = None) -> tuple[str, ...]:
    """The names of the steps that load a recording, of any kind or from these files."""
    return tuple(step.name for step in _ROWS if step.loads is not None and source in (None, step.loads))


def check_order(names: Sequence[str]) -> None:
    """Raise `ConfigurationError` unless a load comes first, and only first, and every step finds what it needs."""
    first, *others = [step_named(name) for name in names]
    if first.loads is None:
        raise ConfigurationError(f"the first step must be one of {', '.join(loading_steps())}, not {first.name}")
    made_so_far = set(first.makes)
    for step in others:
        if step.loads is not None:
            raise ConfigurationError(f"{step.name} loads a recording: it can only be the first step")
        if missing := [need for need in step.needs if need not in made_so_far]:
            makers = [row.name for row in _ROWS if set(missing) & set(row.makes)]
            raise ConfigurationError(
                f"{step.name} needs {', '.join(missing)}, which no step before it makes: "
                f"put {' or '.join(makers)} before it"
            )
        made_so_far.update(step.makes)


def metadata_of_steps() -> set[str]:
    """The metadata that steps on a loaded recording make: what a new load makes void."""
    paths = (path.partition("/") for step in _ROWS if step.loads is None for path in step.makes)
    return {name for top, _, name in paths if top == "metadata" and name}


def exported_names() -> dict[str, str]:
    """The public names of the steps' modules, and which module each is of."""
    return {name: step.module for step in _ROWS for name in (step.name, *step.exports)}
