"""Files that this process has edited, as they were when it had done so: the next edit of one need not look again.

What is kept is used only where the file's status and its superblock are those that the last edit left. Nothing of a
file is overwritten but its superblock, so that objects which were there are there.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from h5burst._ext.h5parse import Source
from h5burst.format import history, superblock
from h5burst.read.open_file import Stamp

_MAX_FILES = 4
_MAX_OBJECTS = 256  # of one file


@dataclass(slots=True)
class KeptState:
    """One file after an edit.

    source: looks through no descriptor until the next edit. mark_ns, trailer, newest: as of `History`. objects,
    growing: each `StoredObject` and each `AppendableDataset` that is known, by address.
    """

    stamp: Stamp
    start: superblock.Whole
    source: Source
    mark_ns: int
    trailer: history.Trailer
    newest: history.Record | None
    objects: dict[int, Any] = field(default_factory=dict)
    growing: dict[int, Any] = field(default_factory=dict)


_kept: OrderedDict[tuple[int, int], KeptState] = OrderedDict()


def keep(state: KeptState) -> None:
    """Keep a state, in the place of what is kept of the file."""
    for cache in (state.objects, state.growing):
        while len(cache) > _MAX_OBJECTS:
            del cache[next(iter(cache))]
    _kept[state.stamp[:2]] = state
    with contextlib.suppress(KeyError):  # another thread was faster
        while len(_kept) > _MAX_FILES:
            _kept.popitem(last=False)


def take(stamp: Stamp) -> KeptState | None:
    """Give out the state that is kept of a file of this stamp; it belongs to the caller from here on."""
    state = _kept.pop(stamp[:2], None)
    return state if state is not None and state.stamp == stamp else None
