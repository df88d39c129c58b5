"""One implementation of every step, run on a session in memory or on a file in place.

A step is a function of a session: it computes first, then puts its results into the session's dicts and says which
parts of the session it changed. In the immediate mode the file is opened as a lazily read session, the same function
runs on it, and the changed parts are put into the file in one transaction: whole, or not at all. So the two modes
cannot differ.
"""

from __future__ import annotations

import errno
import inspect
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Generic, TypeVar

from h5burst import Group, Transaction, load_texts, read_tree
from h5burst.progress import reporting
from hdmea.session import file as session_file
from hdmea.session import lab_book, layout, recording_file
from hdmea.session.interrupted import STEPS_IN_PROGRESS
from hdmea.session.session import PipelineSession, SaveState
from hdmea.step_table import OPTIONAL, STEPS
from hdmea.utils.clock import utc_now
from hdmea.utils.exceptions import HDMEAError
from hdmea.utils.names import recording_path

logger = logging.getLogger(__name__)

READ_WHOLE_BYTES = 1 << 27  # of a file, or of the small arrays of a larger one: thousands are read faster at once

Result = TypeVar("Result")


@dataclass
class Outcome(Generic[Result]):
    """Outcome of a step: which parts of the session changed, what to warn of, and what the immediate call returns."""

    result: Result
    changed: list[layout.SessionPath] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def warn(self, message: str) -> None:
        """Log a warning and keep it with the results."""
        logger.warning(message)
        self.warnings.append(message)


class AlreadyDoneError(HDMEAError):
    """A step whose results are there already and that was not told to redo them."""


@dataclass(frozen=True)
class NewFile(Generic[Result]):
    """The file that a load without a session makes: `{output_dir}/{dataset_id}.h5`.

    cached: what the load returns for a file that is there already, without `force`; raises `FileExistsError` for one
    that is not of the same load.
    """

    dataset_id: str
    output_dir: Path
    force: bool
    cached: Callable[[Path], Result]


Target = str | Path | PipelineSession | None


@dataclass
class _Call:
    """A step that is under way, for the lab book: its name, the arguments that it was given, and when it began."""

    name: str
    parameters: dict[str, Any]
    began: float = field(default_factory=time.perf_counter)

    @classmethod
    def of(cls, name: str, caller: FrameType | None) -> _Call:
        """caller: the step's function, whose arguments are told where they are not the default."""
        row = STEPS.get(name)
        if row is None or caller is None:
            return cls(name, {})
        usual, names = row.defaults(), row.parameters()
        given = {key: caller.f_locals[key] for key in names if key != OPTIONAL and key in caller.f_locals}
        said = {key: lab_book.short(value) for key, value in given.items()}
        return cls(name, {k: given[k] for k in said if k not in usual or said[k] != lab_book.short(usual[k])})

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began

    def line(self) -> str:
        return lab_book.line_of(self.name, self.parameters, self.seconds)


def run_step(
    name: str,
    step: Callable[[PipelineSession], Outcome[Result]],
    target: Target | NewFile[Result],
    session: PipelineSession | None,
) -> Result | PipelineSession:
    """Run a step on `session`, or on the file at `target`.

    target: a path, or a session in its place, which is made sure of being saved and then kept equal to its file, or
    the new file of a step that loads.

    A bar shows on a terminal that it is at work; the log has a line of what it took.

    Raises `FileExistsError` where the step was done already, in the immediate mode; with a session that is a warning.
    """
    if session is None and target is None:
        raise TypeError(f"{name} needs hdf5_path or session")
    frame = inspect.currentframe()
    call = _Call.of(name, None if frame is None else frame.f_back)
    del frame  # it would keep all that it holds until a collection
    with reporting(name):
        result = _run(call, step, target, session)
    logger.info("%s took %.2f s", name, call.seconds)
    return result


def _run(
    call: _Call,
    step: Callable[[PipelineSession], Outcome[Result]],
    target: Target | NewFile[Result],
    session: PipelineSession | None,
) -> Result | PipelineSession:
    if session is not None:
        return _run_deferred(call.name, step, session)
    assert target is not None
    try:
        if isinstance(target, NewFile):
            return _run_on_new_file(call.name, step, target)
        if isinstance(target, PipelineSession):
            return _run_on_session_and_file(call, step, target)
        return _run_on_file(call, step, Path(target))
    except AlreadyDoneError as error:
        raise FileExistsError(f"{error}; pass force=True to redo it") from error


def _run_deferred(
    name: str, step: Callable[[PipelineSession], Outcome[Any]], session: PipelineSession
) -> PipelineSession:
    try:
        outcome = step(session)
    except AlreadyDoneError as error:
        logger.warning("%s; pass force=True to redo it. The session is unchanged", error)
        return session
    if _note(name, outcome, session):
        session.save_state = SaveState.DEFERRED
        session.memory.enforce_session(session)
    return session


def _run_on_new_file(name: str, step: Callable[[PipelineSession], Outcome[Result]], target: NewFile[Result]) -> Result:
    path = recording_path(target.output_dir, target.dataset_id)
    if path.exists() and not target.force:
        return target.cached(path)
    session = PipelineSession(target.dataset_id, output_dir=target.output_dir)
    outcome = step(session)
    _note(name, outcome, session)
    session.save(path, overwrite=target.force)
    return outcome.result


def _run_on_file(call: _Call, step: Callable[[PipelineSession], Outcome[Result]], path: Path) -> Result:
    with recording_file.edited(path, call.name) as tx:
        lazy = path.stat().st_size > READ_WHOLE_BYTES
        tree = read_tree(path, lazy=lazy, ahead=READ_WHOLE_BYTES)
        _listed_features(tree, path)  # what prevents writing is reported before the work
        with layout.reading_session(path):
            stored = session_file.session_from_tree(tree, path, lazy=lazy)
        session = PipelineSession.from_stored(stored, path)
        outcome = step(session)
        is_redone = bool(outcome.changed) and next(iter(outcome.changed)) in tree
        if _note(call.name, outcome, session):
            _write_changes(call.name, outcome, session, tx, tree)
        if outcome.changed:
            lab_book.note(tx, tree, call.line())
    if is_redone:  # what was there is dead space now
        recording_file.compact_if_mostly_dead(path)
    return outcome.result


def _run_on_session_and_file(
    call: _Call, step: Callable[[PipelineSession], Outcome[Result]], session: PipelineSession
) -> Result:
    """On a session and its file at once."""
    is_ours = False
    try:
        with recording_file.edited(session.ensure_saved(), call.name) as tx:
            session.require_unchanged_file()  # others may have edited it before it was ours
            is_ours = True
            outcome = step(session)
            if _note(call.name, outcome, session):
                session.save_state = SaveState.DEFERRED  # should writing fail
                before = read_tree(tx.path, lazy=True)
                session.saved_at = _write_changes(call.name, outcome, session, tx, before)
                if outcome.changed:
                    lab_book.note(tx, before, call.line())
    except BaseException as error:
        by_others = isinstance(error, OSError) and error.errno == errno.EBUSY
        if is_ours and not by_others:  # an edit that failed may have touched the file, but no other program has
            session.note_own_edit()
        raise
    session.note_saved()
    return outcome.result


def note_warning(message: str, target: str | Path | None, session: PipelineSession | None) -> None:
    """Log a warning and keep it, once, with those of a session, or of the file at `target`; nothing else changes."""
    logger.warning(message)
    outcome = Outcome(None, warnings=[message])
    if session is not None:
        if _note("", outcome, session):
            session.save_state = SaveState.DEFERRED
    elif target is not None:
        path = Path(target)
        with recording_file.edited(path, "note a warning") as tx:
            with layout.reading_session(path):
                tree = read_tree(path, lazy=True)
                stored = session_file.session_from_tree(tree, path, lazy=True)
            unbound = PipelineSession.from_stored(stored, path)
            if _note("", outcome, unbound):
                _write_changes("", outcome, unbound, tx, tree)


def _note(name: str, outcome: Outcome[Any], session: PipelineSession) -> bool:
    """Keep with the session that the step is done, if it changed anything, and its warnings, each once.

    Whether the session is another now.
    """
    if outcome.changed:
        session.completed_steps.add(name)
    new = [message for message in dict.fromkeys(outcome.warnings) if message not in session.warnings]
    session.warnings.extend(new)
    return bool(outcome.changed or new)


# ---------------------------------------------------------------- in place


def _write_changes(name: str, outcome: Outcome[Any], session: PipelineSession, tx: Transaction, before: Group) -> str:
    """Put what changed into the file; the file's time stamp after that. before: the tree of the file as it is."""
    outcome.changed = layout.paths_to_write(session.units, outcome.changed, session.layout_version)
    now = utc_now()
    seen: layout.EncodedSections = {}
    for path in outcome.changed:
        tx.put(path, layout.node_at(session.units, session.metadata, session.stimulus, path, seen))
        if _is_feature(path):
            tx.set_attributes(path[:3], {layout.ABSENT: None})  # a unit that has features has them
    info_attrs = {"saved_at": now, **session_file.checkpoint_marks(session)}
    info = layout.session_info_node(session.completed_steps, session.warnings, info_attrs)
    tx.put(("pipeline", "session_info"), info)
    features = {path[3] for path in outcome.changed if _is_feature(path)}
    listed = set(_listed_features(before, Path(tx.path)))
    tx.set_attributes((), {"features_extracted": json.dumps(sorted(listed | features)), "updated_at": now})
    if outcome.changed:
        _clear_old_mark(name, before, tx)
    return now


def _listed_features(tree: Group, path: Path) -> list[str]:
    """The root's `features_extracted`. Raises `CheckpointError`."""
    with layout.reading_session(path):
        try:
            return load_texts(tree.attrs.get("features_extracted", "[]"))
        except ValueError as error:
            raise ValueError(f"its attribute features_extracted: {error}") from error


def _clear_old_mark(step: str, before: Group, tx: Transaction) -> None:
    """Remove the mark that the first version left in a file while this step wrote to it."""
    pipeline = before.children.get("pipeline")
    try:
        marked = load_texts(pipeline.attrs.get(STEPS_IN_PROGRESS, "[]")) if isinstance(pipeline, Group) else []
    except ValueError:
        marked = []  # what is not a list of steps names none; `hdmea verify` says so
    if step in marked:
        left = [other for other in marked if other != step]
        tx.set_attributes(("pipeline",), {STEPS_IN_PROGRESS: json.dumps(left) if left else None})


def _is_feature(path: layout.SessionPath) -> bool:
    return path[0] == "units" and path[2:3] == ("features",)
