"""Content of the record of a commit."""

from __future__ import annotations

import os
from dataclasses import dataclass

from h5burst.format import history, references, superblock
from h5burst.format.history import Record
from h5burst.write.edited_file import EditedFile

VARIABLE = "H5BURST_HISTORY"  # 0: no edit leaves a record


@dataclass(frozen=True)
class EditNote:
    """message: of the edit; restored_from: the state that it restores, -1 for none."""

    message: str | None = None
    restored_from: int = -1


def note_of(message: str | None, keeps_history: bool) -> EditNote | None:
    """The note that an edit leaves; None for nothing. Raises `TypeError` and `ValueError` for what is no message."""
    if message is not None:
        if not isinstance(message, str):
            raise TypeError(f"the message of an edit is text, not {type(message).__name__}")
        if len(message.encode("utf-8", "surrogatepass")) > history.LONGEST_MESSAGE:
            raise ValueError(f"the message of an edit has at most {history.LONGEST_MESSAGE} bytes: shorten it")
    return EditNote(message) if keeps_history and os.environ.get(VARIABLE, "") != "0" else None


def record_of(file: EditedFile, note: EditNote, address: int, time_ns: int, appends_at: int) -> Record:
    """The record of a commit at `address`, which is the last thing before the new end of the file."""
    from h5burst import __version__

    assert file.history is not None
    newest = file.history.newest
    texts = (note.message, "h5burst", __version__, "" if newest is not None else file.history.note)
    end = file.start.base + address + history.record_length(*texts)
    return Record(
        file.history.number + 1,
        address,
        time_ns,
        min(file.changed_ns, time_ns) if newest is None else newest.time_ns,
        end + references.MARK_BYTES + history.trailer_length() - appends_at,
        note.restored_from,
        file.start.data[: superblock.SIZE],
        history.NO_JUMPS if newest is None else newest.jumps_of_next(),
        note.message,
        "h5burst",
        __version__,
        texts[3],
    )
