"""The message of a group of the older format, whose links `h5burst._ext.h5parse.SymbolTable` reads."""

from __future__ import annotations

import struct

from h5burst.format.total import total


@total("a symbol table message")
def decode_message(body: bytes) -> tuple[int, int]:
    """Addresses of the tree of a group and of the heap with its names."""
    tree, heap = struct.unpack_from("<QQ", body)
    return tree, heap
