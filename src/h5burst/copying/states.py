"""Several states of a file copied one after the other, each with what the earlier ones do not have."""

from __future__ import annotations

import time

from h5burst.copying.objects import ObjectCopier
from h5burst.copying.output import Output
from h5burst.format import history as form
from h5burst.format import references, superblock
from h5burst.format.history import Record
from h5burst.read.history import History


def write_states(output: Output, copier: ObjectCopier, history: History, keep: int) -> int | None:
    """The newest state and so many before it, and the records of all commits, as a file from its superblock on.

    Gives the time of change that the file must have, None where any will do.
    """
    start, newest = history.start, history.number
    version = 3 if start.version == 3 else 2
    superblock_at = output.append(bytes(superblock.SIZE))
    copier.keeps_link_counts = True  # each state has links of its own to what they share
    heads: dict[int, bytes] = {}
    root = start.root
    for number in range(max(newest - keep, history.oldest), newest + 1):
        root = copier.copy_all(history.state(number).root)
        heads[number] = superblock.encode(root, output.end, version=version, base=start.base)
    last: Record | None = None
    for record in reversed(list(history.records())):
        address = output.end - start.base
        jumps = () if last is None else last.jumps_of_next()
        last = record._replace(address=address, head=heads.get(record.number - 1, b""), jumps=jumps)
        output.append(form.encode_record(last))
    end = output.end
    changed_ns = max(time.time_ns(), 0 if last is None else last.time_ns)
    output.append(references.encode_mark(root, end - start.base, version=version, changed_ns=changed_ns))
    output.append(form.encode_trailer(None if last is None else last.address, 0))
    output.flush()
    output.patch(superblock_at, superblock.encode(root, end, version=version, base=start.base))
    return changed_ns if version == 2 else None
