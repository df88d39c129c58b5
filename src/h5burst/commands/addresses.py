"""Arguments of commands: files, and objects in them as FILE::/path."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from h5burst import console

_PART = re.compile(r"(-?\d+)?(?:(:)(-?\d+)?(?::(-?\d+))?)?")


class Address(NamedTuple):
    """A file and the path of an object in it."""

    file: Path
    inner: str


def parse(text: str) -> Address:
    """FILE or FILE::/path. Raises `OSError` for a file that is not there."""
    file, separator, inner = text.partition("::")
    if not separator or Path(text).exists():
        return Address(console.existing_file(Path(text)), "/")
    return Address(console.existing_file(Path(file)), "/" + inner.strip("/"))


def parse_slices(text: str, rank: int) -> tuple[int | slice, ...]:
    """A selection as numpy writes it, such as "0:10,:,3". Raises ValueError for what is not one, or has more axes."""
    if not text.strip():
        return ()
    parts: list[int | slice] = []
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None or not part.strip():
            raise ValueError(f"{text!r} is not a selection: write it as numpy does, such as 0:10 or 5,:,::2")
        start, colon, stop, step = match.groups()
        if colon is None:
            parts.append(int(start))
        else:
            parts.append(slice(*(None if number is None else int(number) for number in (start, stop, step))))
    if len(parts) > rank:
        raise ValueError(f"{text!r} has {len(parts)} axes; the dataset has {rank}")
    return tuple(parts)
