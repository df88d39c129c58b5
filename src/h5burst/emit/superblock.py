"""The superblock: the first bytes of a file, which say what it is, how long it is, and where the root group lies."""

from __future__ import annotations

import struct

from h5burst._ext.h5emit import lookup3

SIGNATURE = b"\x89HDF\r\n\x1a\n"
UNDEFINED = 2**64 - 1
SIZE = 48


def encode(root: int, end_of_file: int) -> bytes:
    """Superblock version 3. root: address of the root group's object header; end_of_file: length of the file."""
    fields = struct.pack(
        "<8sBBBBQQQQ",
        SIGNATURE,
        3,  # version
        8,  # size of offsets
        8,  # size of lengths
        0,  # file consistency flags: nobody has it open for writing
        0,  # base address
        UNDEFINED,  # superblock extension address
        end_of_file,
        root,
    )
    return fields + lookup3(fields).to_bytes(4, "little")
