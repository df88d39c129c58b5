"""Identity of a file, or a directory, beyond its name: size, time, and a hash of the content.

Files of up to 1 MiB are known by all of their content, larger ones by size, time, and a hash of head and tail.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from h5burst import format_bytes

_WHOLE_BYTES = 1 << 20  # files up to this size are hashed whole, larger ones in head and tail of half of it each
_NOT_DATA = {".log"}  # of a sorter's directory: programs write it when they only look

Identity = dict[str, Any]  # what is told of one input, as JSON; None: it is not there


def differences(
    stored: Mapping[str, Any], now: Mapping[str, Identity | None], ignored: Iterable[str] = ()
) -> list[str]:
    """Differences between the inputs of a result and those of today, for people; what is not there now is not known
    to differ.

    ignored: names that are no inputs.
    """
    said = []
    for name in [*stored, *(name for name in now if name not in stored)]:
        before, after = stored.get(name), now.get(name)
        if name in ignored or (name in now and after is None):
            continue
        if not _same(before, after):
            said.append(f"{name} {_change(name, stored, now)}")
    return said


def identity_of(path: Path) -> Identity | None:
    """Identity of a file, or of all files of a directory; None where there is none."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return _of_directory(path)
        return _of_file(path, status.st_size, status.st_mtime_ns, status.st_ino)
    except (OSError, ValueError):
        return None


def _same(one: Identity | None, other: Identity | None) -> bool:
    if one is None or other is None:
        return one is other
    ignored = {"modified_ns"} if one.get("whole") and other.get("whole") else set()
    return {k: v for k, v in one.items() if k not in ignored} == {k: v for k, v in other.items() if k not in ignored}


def _change(name: str, stored: Mapping[str, Any], now: Mapping[str, Identity | None]) -> str:
    if name not in stored or stored[name] is None:
        return "is new"
    if name not in now:
        return "is not asked for any more"
    before, after = stored[name], now[name]
    if not (isinstance(before, dict) and after is not None and "bytes" in before and "bytes" in after):
        return "is different"
    return f"is different: {_told(after)}, and was {_told(before)}"


def _told(identity: Identity) -> str:
    try:
        written = datetime.fromtimestamp(identity["modified_ns"] / 1e9, tz=timezone.utc)
        return f"{format_bytes(identity['bytes'])} of {written:%Y-%m-%d %H:%M:%S} UTC"
    except (KeyError, TypeError, ValueError, OverflowError):
        return "something else"


def _of_directory(directory: Path) -> Identity:
    digest, size, modified, whole = hashlib.sha256(), 0, 0, True
    for folder, names, files in os.walk(directory):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder) / name
            if name.startswith(".") or path.suffix in _NOT_DATA or (one := identity_of(path)) is None:
                continue
            digest.update(json.dumps([str(path.relative_to(directory)), one["sha256"], one["bytes"]]).encode())
            size += one["bytes"]
            if not one["whole"]:
                whole = False
                digest.update(str(one["modified_ns"]).encode())
            modified = max(modified, one["modified_ns"])
    return {"bytes": size, "modified_ns": modified, "sha256": digest.hexdigest()[:32], "whole": whole}


@functools.lru_cache(maxsize=4096)
def _of_file(path: Path, size: int, modified_ns: int, inode: int) -> Identity:
    """The number of the inode is there for what is cached alone. Only regular files are opened."""
    digest, whole = hashlib.sha256(), size <= _WHOLE_BYTES
    if path.is_file():
        with path.open("rb") as stream:
            digest.update(stream.read(_WHOLE_BYTES if whole else _WHOLE_BYTES // 2))
            if not whole:
                stream.seek(-_WHOLE_BYTES // 2, os.SEEK_END)
                digest.update(stream.read())
    return {"bytes": size, "modified_ns": modified_ns, "sha256": digest.hexdigest()[:32], "whole": whole}
