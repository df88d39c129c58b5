"""The deferred session: a whole recording's results in memory, written to one HDF5 file when it is asked for."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from h5burst import ArraySource, Storage, codecs, durable, write_tree
from h5burst import memory_budget as resolve_budget
from hdmea.session import file as session_file
from hdmea.session.data import SaveState as SaveState
from hdmea.session.data import SessionContent
from hdmea.session.layout import LAYOUT_VERSION, UNIT_ID
from hdmea.session.memory import SessionMemory
from hdmea.utils.clock import utc_now
from hdmea.utils.names import default_dataset_id, recording_path

logger = logging.getLogger(__name__)

GIGABYTE = 1e9


@dataclass(eq=False)
class PipelineSession(SessionContent):
    """One recording's data in memory, and where they are or will be saved.

    Scripts read and write `units`, `metadata` and `stimulus` as plain dicts. A change through a method or a pipeline
    step makes a saved session deferred again; after writing into the dicts by hand, call `save` yourself. As a context
    manager it saves nothing but removes the scratch file at the end.

    Parameters
    ----------
    dataset_id
        The recording's name.
    save_state
        Whether the file at `hdf5_path` holds what the session holds.
    hdf5_path
        The file that the session was saved to or loaded from.
    output_dir
        Directory of `{dataset_id}.h5`, where `save` writes by default.
    units
        Unit ID (`unit_` and at least three digits) to its data: `spike_times` (spikes,) uint64 samples, `waveform`
        float32, `firing_rate_10hz` (bins,) float32 spikes/s, `row`, `col`, `global_id`, `unit_meta`, `features`,
        `spike_times_sectioned`.
    metadata
        `dataset_id`, `acquisition_rate` (Hz), `sample_interval` (s), `frame_timestamps` (frames,) samples, `frame_time`
        (frames,) s, `sys_meta`, and what steps add.
    stimulus
        `light_reference`, `frame_times`, `section_time`, `light_template`: dicts of arrays.
    source_files
        `cmcr_path`, `cmtr_path`: where the recording came from.
    completed_steps
        Names of the steps that were done.
    warnings
        What steps warned of.
    created_at, saved_at
        ISO 8601, UTC.
    memory_budget
        Bytes, or text such as "4GiB", that its arrays may take; what is more is in a scratch file beside the output (or
        in the directory `H5BURST_SCRATCH`) and is read from there when used. None: `H5BURST_MEMORY_BUDGET`, else 80 %
        of what the process may use.
    params_hash, stage1_timestamp
        What the file says of the load; kept, so that saving again loses nothing.

    Raises
    ------
    ValueError
        A `dataset_id` that is blank, or a budget smaller than one block.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea import PipelineSession
    >>> session = PipelineSession("day1", output_dir="results")
    >>> session.add_units({"unit_001": {"spike_times": np.array([5, 8], np.uint64)}})
    >>> session.save().as_posix(), session.is_saved
    ('results/day1.h5', True)
    >>> PipelineSession.load("results/day1.h5").units["unit_001"]["spike_times"]
    array([5, 8], dtype=uint64)
    """

    memory_budget: int | str | None = field(default=None, repr=False)
    file_stamp: tuple[int, ...] | None = field(default=None, init=False, repr=False)
    is_lazy: bool = field(default=False, init=False, repr=False)
    memory: SessionMemory = field(init=False, repr=False)
    # Held while a method changes the dicts or a save goes through them: threads may add to one session.
    changing: Any = field(default_factory=threading.RLock, init=False, repr=False)
    # Where its relative paths begin: the process, or another one that it was sent to, may be elsewhere by now.
    directory: Path | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.dataset_id, str) or not self.dataset_id.strip():
            raise ValueError("dataset_id must be text that is not blank")
        self.directory = _working_directory()
        self.output_dir = Path(self.output_dir)
        self.hdf5_path = None if self.hdf5_path is None else Path(self.hdf5_path)
        self.memory = self._new_memory()

    def _new_memory(self) -> SessionMemory:
        return SessionMemory(self.memory_budget, self.located(recording_path(self.output_dir, self.dataset_id)))

    def __getstate__(self) -> dict[str, Any]:
        """State for another process: all but the lock and the scratch file. `TypeError` for arrays in that file."""
        return {name: value for name, value in self.__dict__.items() if name not in ("memory", "changing")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.changing = threading.RLock()
        self.memory = self._new_memory()

    def __enter__(self) -> PipelineSession:
        return self

    def __exit__(self, *error: object) -> None:
        if self.is_deferred and error[:1] in ((), (None,)):  # else the error says that nothing was saved
            logger.warning("Session %s ends with changes that were not saved", self.dataset_id)
        self.close()

    def close(self) -> None:
        """Remove the scratch file, if there is one; arrays that were in it cannot be read any more."""
        self.memory.close()

    # ------------------------------------------------------------ what it is

    def located(self, path: Path) -> Path:
        """A path of the session as it leads to its file from where this process is.

        Parameters
        ----------
        path
            `output_dir`, `hdf5_path`, or one of `source_files`.

        Returns
        -------
        Path
            The same, but absolute where this process is not in the directory in which the session was made.
        """
        is_elsewhere = self.directory is not None and self.directory != _working_directory()
        return self.directory / path if is_elsewhere and self.directory is not None else path

    def _stored_path(self, path: str | Path) -> Path:
        """A path that was given, as the session keeps it: `located` finds it from any directory."""
        return Path(path) if self.directory == _working_directory() else Path(path).absolute()

    def source_file(self, name: str) -> Path | None:
        """Path of a file that the recording came from, by its name in `source_files`; None for one that is not known.

        Parameters
        ----------
        name
            `cmcr_path`, `cmtr_path`, `spikes_path` or `nwb_path`.

        Returns
        -------
        Path or None
            As of `located`.
        """
        path = self.source_files.get(name)
        return None if path is None else self.located(Path(path))

    @property
    def own_file(self) -> Path | None:
        """The file at `hdf5_path`, wherever this process is."""
        return None if self.hdf5_path is None else self.located(self.hdf5_path)

    @property
    def is_saved(self) -> bool:
        """True where the file at `hdf5_path` holds what the session holds."""
        return self.save_state is SaveState.SAVED

    @property
    def is_deferred(self) -> bool:
        """True where there are changes to save."""
        return self.save_state is SaveState.DEFERRED

    @property
    def unit_count(self) -> int:
        """Number of units."""
        return len(self.units)

    def duration_s(self) -> float:
        """Length of the recording: as it was loaded, else as far as light, frames and spikes reach; NaN for none."""
        stated = self.metadata.get("recording_duration_s")
        if stated is not None and np.isfinite(duration := float(np.asarray(stated).ravel()[0])):
            return duration
        traces = (self.stimulus.get("light_reference") or {}).items()
        ends = [len(trace) for name, trace in traces if "raw" in name]
        spikes = (unit.get("spike_times") for unit in self.units.values())
        for samples in (self.metadata.get("frame_timestamps"), *spikes):
            if samples is not None and len(samples):
                ends.append(int(np.max(samples)) + 1)
        rate = self.metadata.get("acquisition_rate")
        return float("nan") if rate is None or not ends else max(ends) / float(rate)

    @property
    def memory_estimate_gb(self) -> float:
        """Every array at any depth, in 10^9 bytes; a buffer that several arrays look at counts once.

        What is in memory and what is in the scratch file. Arrays that are read from a file when they are used, and
        parts of a lazily loaded session that were not used yet, hold nothing.
        """
        return self.memory_resident_gb + self.memory_spilled_gb

    @property
    def memory_resident_gb(self) -> float:
        """The part of `memory_estimate_gb` that is in memory."""
        return self.memory.resident_bytes(self) / GIGABYTE

    @property
    def memory_spilled_gb(self) -> float:
        """The part of `memory_estimate_gb` that is in the scratch file."""
        return self.memory.spilled_bytes(self) / GIGABYTE

    # ------------------------------------------------------------ changing it

    def _changed(self) -> None:
        self.save_state = SaveState.DEFERRED
        self.memory.enforce_session(self)

    def add_units(self, units_data: Mapping[str, Mapping[str, Any]]) -> None:
        """Merge data into units, field by field.

        Parameters
        ----------
        units_data
            Unit ID to fields, as in `units`.

        Raises
        ------
        ValueError
            An ID that is not `unit_` and at least three digits; nothing is changed then.
        """
        for unit_id in units_data:
            if not isinstance(unit_id, str) or not UNIT_ID.fullmatch(unit_id):
                raise ValueError(f"unit IDs are 'unit_' and at least three digits, not {unit_id!r}")
        with self.changing:
            for unit_id, data in units_data.items():
                self.units.setdefault(unit_id, {}).update(data)
            self._changed()

    def add_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Merge fields into the metadata."""
        with self.changing:
            self.metadata.update(metadata)
            self._changed()

    def add_stimulus(self, stimulus_data: Mapping[str, Any]) -> None:
        """Merge into the stimulus: dicts within it are merged, not replaced.

        Parameters
        ----------
        stimulus_data
            Such as `{"section_time": {movie: samples (n, 2)}}`.
        """
        with self.changing:
            for name, value in stimulus_data.items():
                current = self.stimulus.get(name)
                if isinstance(current, dict) and isinstance(value, Mapping):
                    current.update(value)
                else:
                    self.stimulus[name] = dict(value) if isinstance(value, Mapping) else value
            self._changed()

    def stream(self, source: ArraySource) -> Any:
        """A stream of blocks as an array for this session's dicts: in memory if it fits beside what is there.

        Otherwise it goes to the scratch file and comes back as an array that is read when it is used.

        Parameters
        ----------
        source
            Has `shape`, `dtype` and `read` (`h5burst.ArraySource`).

        Returns
        -------
        ndarray, or array in the scratch file
            Of the source's shape and dtype. One in the scratch file has what numpy's arrays have for reading, and none
            of what a dataset has (`name`, `chunks`, …).

        Raises
        ------
        OSError
            The disk is full.
        """
        return self.memory.take(source, self)

    def add_feature(
        self, unit_id: str, feature_name: str, feature_data: Any, feature_metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Set a unit's feature.

        Parameters
        ----------
        unit_id
            The unit.
        feature_name
            Its name in `units[unit_id]["features"]`; one of that name is replaced.
        feature_data
            Arrays, scalars, text, or dicts of them.
        feature_metadata
            How it was made.

        Raises
        ------
        KeyError
            The unit is not there.
        """
        if unit_id not in self.units:
            raise KeyError(f"no unit {unit_id!r} in session {self.dataset_id!r}")
        feature = {"data": feature_data, "metadata": dict(feature_metadata or {})}
        with self.changing:
            self.units[unit_id].setdefault("features", {})[feature_name] = feature
            self._changed()

    def mark_step_complete(self, step_name: str) -> None:
        """Note that a step was done."""
        with self.changing:
            self.completed_steps.add(step_name)
            self._changed()

    def set_source_files(self, cmcr_path: str | Path | None = None, cmtr_path: str | Path | None = None) -> None:
        """Set where the recording came from; a path that is not given stays as it was.

        Parameters
        ----------
        cmcr_path, cmtr_path
            The vendor's files.
        """
        for name, path in (("cmcr_path", cmcr_path), ("cmtr_path", cmtr_path)):
            if path is not None:
                self.source_files[name] = self._stored_path(path)
            self.source_files.setdefault(name, None)
        self._changed()

    # ------------------------------------------------------------ files

    def save(
        self,
        output_path: str | Path | None = None,
        *,
        overwrite: bool = False,
        compression: str | None = None,
        compression_level: int = 4,
    ) -> Path:
        """Write everything to one HDF5 file, which appears only when it is complete.

        Parameters
        ----------
        output_path
            Default: the file it was saved to or loaded from, unless that is a checkpoint, else
            `output_dir/{dataset_id}.h5`.
        overwrite
            Replace a file that is not the session's own.
        compression
            "gzip", "lzf", "blosc", "zstd" or None, and what else `h5burst.codecs.storage_for` takes.
        compression_level
            From 0 (fast) to 9 (small); compressions without levels ("lzf" and None) ignore it.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        FileExistsError
            There is another file, or others changed the session's own, without `overwrite`.
        ValueError
            Another compression, or a level outside 0 to 9.
        OSError
            Writing failed: the message names the path. The session and any file that was there stay as they were.
        """
        with self.changing:
            return self._save(
                output_path, overwrite, codecs.storage_for(compression, compression_level, ignores_unused_level=True)
            )

    def _save(self, output_path: str | Path | None, overwrite: bool, storage: Storage | None) -> Path:
        path = self._default_path() if output_path is None else self._stored_path(output_path)
        saved_at, had_scratch = utc_now(), self.memory.has_scratch
        session_file.write(
            self,
            path,
            write_file=self.memory.write,
            storage=storage,
            overwrite=self._may_overwrite(path, overwrite),
            saved_at=saved_at,
        )
        self.layout_version = LAYOUT_VERSION
        self.hdf5_path, self.saved_at = path, saved_at
        self.is_checkpoint_file, self.checkpoint_name = False, None
        # What was in the scratch file is read from the saved one from now on.
        self.is_lazy = self.is_lazy or had_scratch
        self.note_saved()
        self.memory.close()
        return path

    def _default_path(self) -> Path:
        return self._saved_file() or self.located(recording_path(self.output_dir, self.dataset_id))

    def _saved_file(self) -> Path | None:
        """The file it was saved to or loaded from, unless that is a checkpoint."""
        return None if self.is_checkpoint_file or self.file_stamp is None else self.own_file

    def _may_overwrite(self, path: Path, overwrite: bool) -> bool:
        if not path.exists():
            return overwrite
        own_file = self.own_file
        if self.file_stamp is None or own_file is None or not _same_file(path, own_file):
            durable.require_absent(path, overwrite)
            logger.warning("Overwriting existing file: %s", path)
        elif self.file_stamp != _stamp(path) and not overwrite:
            raise FileExistsError(
                f"{path} was changed by others since this session read or wrote it. Load it again and redo what is "
                "missing there, save to another path, or pass overwrite=True to replace it."
            )
        return True

    def note_own_edit(self) -> None:
        """Note that the file, as it is at this moment, was written or read by this session."""
        if (own_file := self.own_file) is not None:
            self.file_stamp = _stamp(own_file)

    def note_saved(self) -> None:
        """Its file holds at this moment what the session holds."""
        self.save_state = SaveState.SAVED
        own_file = self.own_file
        if own_file is None:
            return
        if self.is_lazy:  # what was to be read from the file as it was before must be looked for anew
            fresh = session_file.read(own_file, lazy=True)
            self.units, self.metadata, self.stimulus = fresh.units, fresh.metadata, fresh.stimulus
            self.extra_nodes = fresh.extra_nodes
        self.file_stamp = _stamp(own_file)

    def checkpoint(
        self,
        checkpoint_path: str | Path,
        *,
        checkpoint_name: str | None = None,
        overwrite: bool = True,
        compression: str | None = None,
        compression_level: int = 4,
    ) -> Path:
        """Write the session as it is now to a file of its own, marked as a checkpoint; the session does not change.

        Parameters
        ----------
        checkpoint_path
            The file.
        checkpoint_name
            Is stored in it.
        overwrite
            Replace a file that is there, with a warning.
        compression, compression_level
            As of `save`.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        FileExistsError
            The file is there, with `overwrite=False`.
        OSError
            Writing failed.
        """
        path = Path(checkpoint_path)
        storage = codecs.storage_for(compression, compression_level, ignores_unused_level=True)
        durable.require_absent(path, overwrite)
        if path.exists():
            logger.warning("Overwriting existing checkpoint: %s", path)
        marks: dict[str, Any] = {"is_checkpoint": True}
        if checkpoint_name is not None:
            marks["checkpoint_name"] = checkpoint_name
        with self.changing:
            session_file.write(
                self,
                path,
                write_file=write_tree,  # a checkpoint leaves the scratch file alone
                storage=storage,
                overwrite=overwrite,
                saved_at=utc_now(),
                marks=marks,
            )
        return path

    def require_unchanged_file(self) -> None:
        """Make sure that nobody else has changed the session's file.

        Raises
        ------
        OSError
            Somebody has, since the session read or wrote it.
        """
        own_file = self.own_file
        if own_file is not None and own_file.exists() and self.file_stamp not in (None, _stamp(own_file)):
            raise OSError(
                f"{own_file} was changed by others since this session read or wrote it: load it again, so that "
                "nothing of theirs is lost"
            )

    def ensure_saved(self, default_path: str | Path | None = None) -> Path:
        """The path of a file that holds what the session holds; saves first, with a warning, where need be.

        Parameters
        ----------
        default_path
            Where a session without a file of its own is saved; default as of `save`.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OSError
            Others changed the file, or saving failed.
        """
        own_file = self.own_file
        if self.is_saved and own_file is not None:
            self.require_unchanged_file()
            return own_file
        logger.warning("Session %s has unsaved changes: saving it now", self.dataset_id)
        return self.save(None if self._saved_file() else default_path)

    @classmethod
    def load(
        cls,
        checkpoint_path: str | Path,
        *,
        lazy: bool = False,
        memory_budget: int | str | None = None,
        at: Any = None,
    ) -> PipelineSession:
        """The session that a file holds: one that was saved, a checkpoint, or one that immediate steps wrote.

        Parameters
        ----------
        checkpoint_path
            The file.
        lazy
            Dicts and arrays are read from the file when they are used; after a save they come from the new file.
        memory_budget
            As of the class; a file that is larger is read lazily.
        at
            An earlier state of the file: its number in `hdmea log`, or a time; as of `h5burst.file_at`.

        Returns
        -------
        PipelineSession
            Saved, with `hdf5_path` the file; of an earlier state one without a file, to be saved elsewhere.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        CheckpointError
            The file is not a session; it is a `ValueError`, too.
        LookupError
            There is no such state.
        """
        path = Path(checkpoint_path)
        budget = resolve_budget(memory_budget)
        lazy = lazy or (path.exists() and path.stat().st_size > budget)
        if at is not None:
            return cls.from_stored(session_file.read(path, lazy=lazy, at=at), memory_budget=memory_budget)
        stamp = _stamp(path)  # of what is read: others may change the file while it is
        session = cls.from_stored(session_file.read(path, lazy=lazy), path, memory_budget=memory_budget)
        session.save_state, session.file_stamp, session.is_lazy = SaveState.SAVED, stamp, lazy
        return session

    @classmethod
    def from_stored(
        cls, stored: SessionContent, hdf5_path: Path | None = None, *, memory_budget: int | str | None = None
    ) -> PipelineSession:
        """The session with the content that was read from a file.

        Parameters
        ----------
        stored
            What `hdmea.session.file.read` gave.
        hdf5_path
            Of that file.
        memory_budget
            As of the class.

        Returns
        -------
        PipelineSession
            Deferred.
        """
        session = cls(stored.dataset_id, memory_budget=memory_budget)
        vars(session).update(vars(stored), hdf5_path=hdf5_path)
        return session


def _working_directory() -> Path | None:
    """Of this process; None where it was removed."""
    try:
        return Path(os.getcwd())
    except OSError:
        return None


def _same_file(path: Path, other: Path) -> bool:
    return other.exists() and os.path.samefile(path, other)


def _stamp(path: Path) -> tuple[int, ...]:
    """Stamp that changes when a program writes to the file or replaces it; empty where there is no file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino


def create_session(
    dataset_id: str | None = None,
    cmcr_path: str | Path | None = None,
    cmtr_path: str | Path | None = None,
    output_dir: str | Path = "artifacts",
    memory_budget: int | str | None = None,
) -> PipelineSession:
    """An empty deferred session.

    Parameters
    ----------
    dataset_id
        The recording's name; default the stem of the `.cmtr`, else of the `.cmcr`, without trailing hyphens.
    cmcr_path, cmtr_path
        Where the recording comes from; they need not exist yet.
    output_dir
        Where `save` writes by default.
    memory_budget
        As of `PipelineSession`.

    Returns
    -------
    PipelineSession
        Without units.

    Raises
    ------
    ConfigurationError
        Neither a name nor a path.

    Examples
    --------
    >>> from hdmea import create_session
    >>> create_session(cmtr_path="data/2024-05-01-.cmtr").dataset_id
    '2024-05-01'
    """
    if dataset_id is None:
        dataset_id = default_dataset_id(cmcr_path, cmtr_path)
    session = PipelineSession(dataset_id=dataset_id, output_dir=Path(output_dir), memory_budget=memory_budget)
    if cmcr_path is not None or cmtr_path is not None:
        session.set_source_files(cmcr_path, cmtr_path)
    return session
