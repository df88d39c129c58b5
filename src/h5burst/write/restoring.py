"""Going back to an earlier state: a commit whose root is that state's, so that nothing is lost."""

from __future__ import annotations

import os

from h5burst.model.errors import naming_file
from h5burst.read.history import At, Commit, History, commit_of
from h5burst.write.commit import commit
from h5burst.write.edit_writer import EditWriter
from h5burst.write.edited_file import EditedFile
from h5burst.write.notes import EditNote, note_of


def restore(path: str | os.PathLike[str], at: At, message: str | None = None, *, wait: float = 0) -> Commit:
    """Make an earlier state of a file the newest one, by a commit: all states stay, and it can be undone.

    Parameters
    ----------
    path
        Of a file that was edited (see `log`).
    at
        The state, as of `file_at`.
    message
        As of `edit`; None: one that names the state.
    wait
        As of `edit`.

    Returns
    -------
    Commit
        The new one; its `restored_from` is the state's number.

    Raises
    ------
    LookupError
        There is no such state; the message says why. The file is as it was.
    BlockingIOError, OSError
        As `edit`.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("edited.h5", {"a": np.arange(3)}, overwrite=True)
    >>> with h5burst.edit("edited.h5") as tx:
    ...     tx.remove("a")
    True
    >>> h5burst.restore("edited.h5", 0).number
    2
    >>> sorted(h5burst.load("edited.h5"))
    ['a']
    """
    with EditedFile(path, wait=wait) as file:
        history = _history(file)
        number = history.state(at).number
        if history.newest is None:
            why = history.note or "it was never edited"
            raise LookupError(f"{os.fspath(path)}: state {number} is what it shows, there is no earlier one: {why}")
        return _restored(file, number, message)


def undo(path: str | os.PathLike[str], message: str | None = None, *, wait: float = 0) -> Commit:
    """Restore the state before the one that now shows. Twice goes back two states.

    Parameters
    ----------
    path, message, wait
        As of `restore`.

    Returns
    -------
    Commit
        The new one.

    Raises
    ------
    LookupError
        The state that shows is the first that there is, or those before it were dropped by `compact`: then this takes
        back no restore either, which `restore` does.
    BlockingIOError, OSError
        As `edit`.

    Examples
    --------
    >>> import h5burst
    >>> h5burst.save("undone.h5", {"a": 1}, overwrite=True)
    >>> with h5burst.edit("undone.h5") as tx:
    ...     tx.set_attributes((), {"by mistake": True})
    >>> h5burst.undo("undone.h5").restored_from
    0
    """
    with EditedFile(path, wait=wait) as file:
        history = _history(file)
        shown, oldest = history.shown, history.oldest
        if shown <= oldest:
            why = history.reason or history.note or "it shows the first state that there is"
            if shown < oldest:
                why = f"it shows state {shown} again, and those before that were dropped by compacting"
                if oldest < history.number:
                    why += f" (`restore` reaches state {oldest} and later ones)"
            raise LookupError(f"{os.fspath(path)}: nothing to undo: {why}")
        return _restored(file, shown - 1, message)


def _history(file: EditedFile) -> History:
    if file.history is None or file.copy_reason is not None:
        raise LookupError(f"{file.path}: it has no earlier states: {file.copy_reason}")
    return file.history


def _restored(file: EditedFile, number: int, message: str | None) -> Commit:
    history = _history(file)
    said = note_of(f"restored state {number}" if message is None else message, True)
    note = None if said is None else EditNote(said.message, number)
    with naming_file(file.path):
        commit(file, history.state(number), EditWriter(None, None), note)
    now = History(file.descriptor, str(file.path))
    return next(now.commits()) if now.newest is None else commit_of(now.newest)
