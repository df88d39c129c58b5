"""Files whose objects share their messages through a table: h5py does not offer it, its libhdf5 has it."""

from __future__ import annotations

import ctypes
from pathlib import Path

import h5py
import pytest
from h5py import h5f, h5p

_ALL_KINDS = 0x182A  # H5O_SHMESG_ALL_FLAG of libhdf5
_MIN_BYTES = 16  # of a message that is shared


def share_messages(path: Path) -> h5py.File:
    """A new file, open for writing, in which all kinds of messages are shared and links are kept in their order."""
    library = ctypes.CDLL(h5p.__file__)  # by h5py's own module: PyTables and netCDF4 bring libraries of the same name
    if not hasattr(library, "H5Pset_shared_mesg_nindexes"):
        pytest.skip("libhdf5 is not a library of its own here")
    creation = h5p.create(h5p.FILE_CREATE)
    creation.set_link_creation_order(h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED)
    number = ctypes.c_int64(creation.id)
    assert library.H5Pset_shared_mesg_nindexes(number, 1) >= 0
    assert library.H5Pset_shared_mesg_index(number, 0, _ALL_KINDS, _MIN_BYTES) >= 0
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_libver_bounds(h5f.LIBVER_V18, h5f.LIBVER_LATEST)
    return h5py.File(h5f.create(bytes(path), fcpl=creation, fapl=access))
