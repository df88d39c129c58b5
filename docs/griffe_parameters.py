"""What griffe reads of parameters that share one entry of a docstring: a row each, each with its own default."""

from __future__ import annotations

import re
from typing import Any

import griffe

_SECTION = re.compile(r"^(Parameters|Attributes)\n-+\n(.*?)(?=^\S[^\n]*\n-+$|\Z)", re.M | re.S)
_SHARED = re.compile(r"^(\w+(?:, \w+)+)\n((?:[ \t]+\S[^\n]*(?:\n|\Z)|\n(?=[ \t]))+)", re.M)


def parted(text: str) -> str:
    """A docstring in which every parameter has an entry of its own; griffe gives those of one entry one default."""

    def entries(found: re.Match[str]) -> str:
        return "\n".join(f"{name}\n{found[2].rstrip()}" for name in found[1].split(", ")) + "\n"

    return _SECTION.sub(lambda section: _SHARED.sub(entries, section[0]), text)


class SharedParameters(griffe.Extension):
    """Parts the entries when griffe has read a function or a class."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = parted(obj.docstring.value)
