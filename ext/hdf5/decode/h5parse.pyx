# ext/hdf5/decode/h5parse.pyx — trees from the metadata of an HDF5 file: object headers, links, attributes, small data.
#
# Everything here works on bytes that were checked to be inside the file, and every structure that carries a checksum
# is checked before it is believed. What is rare (dense storage, chunk indices, odd datatypes) is asked of
# the Python object that owns the parser; what nobody here covers raises `UnsupportedFeatureError` (see `set_errors`).
import enum
import operator
import os
import threading

import numpy

cimport cython
cimport numpy as cnp
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.errno cimport ENOMEM
from libc.stddef cimport size_t
from libc.stdint cimport UINT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcmp, memcpy, memset

cnp.import_array()

cdef object NUMPY_INTEGER = numpy.integer

cdef extern from "h5nodes.h":
    Py_ssize_t h5_slot_offset(object type, const char* name) except -1
    object h5_new_object(object type)
    void h5_set_slot(object node, Py_ssize_t offset, object value)

# The tree that is made of a file: classes of its nodes, and what turns a stored name into a logical one.
cdef object Array = None, Group = None, unescape = None
cdef Py_ssize_t data_slot, array_attrs_slot, storage_slot, children_slot, group_attrs_slot, links_slot, group_order_slot


def set_model(array, group, unescape_name) -> None:
    """Say what trees are made of. array, group: the classes of nodes, whose attributes are slots."""
    global Array, Group, unescape
    global data_slot, array_attrs_slot, storage_slot, children_slot
    global group_attrs_slot, links_slot, group_order_slot
    data_slot, array_attrs_slot = h5_slot_offset(array, b"data"), h5_slot_offset(array, b"attrs")
    storage_slot, children_slot = h5_slot_offset(array, b"storage"), h5_slot_offset(group, b"children")
    group_attrs_slot, links_slot = h5_slot_offset(group, b"attrs"), h5_slot_offset(group, b"links")
    group_order_slot = h5_slot_offset(group, b"track_order")
    Array, Group, unescape = array, group, unescape_name


cdef object new_array_node(data, attrs, storage):
    """An `Array`, made without a call of Python code: a file has thousands."""
    node = h5_new_object(Array)
    h5_set_slot(node, data_slot, data)
    h5_set_slot(node, array_attrs_slot, attrs)
    h5_set_slot(node, storage_slot, storage)
    return node


cdef object new_group_node(children, attrs, links, track_order):
    node = h5_new_object(Group)
    h5_set_slot(node, children_slot, children)
    h5_set_slot(node, group_attrs_slot, attrs)
    h5_set_slot(node, links_slot, links)
    h5_set_slot(node, group_order_slot, track_order)
    return node


# What is raised: bytes that cannot be what they should be; a sound structure that only libhdf5 reads.
cdef object CorruptStructureError = None, UnsupportedFeatureError = None


def set_errors(corrupt_structure, unsupported_feature) -> None:
    """Say what is raised: two classes of exceptions."""
    global CorruptStructureError, UnsupportedFeatureError
    CorruptStructureError, UnsupportedFeatureError = corrupt_structure, unsupported_feature


class Kind(enum.IntEnum):
    """A datatype: it turns the bytes of an element in the file into those in memory."""

    PLAIN = 0  # nothing: they are the same
    UTF8 = 1  # variable-length text: a reference into the global heap
    ASCII = 2  # variable-length bytes, likewise
    NULL_TERMINATED = 3  # text of fixed length that ends at its first NUL
    SPACE_PADDED = 4  # text of fixed length, padded with spaces


cdef enum:
    PLAIN = 0
    UTF8 = 1
    ASCII = 2
    NULL_TERMINATED = 3
    SPACE_PADDED = 4

cdef uint64_t UNDEFINED = UINT64_MAX


cdef inline uint64_t little(const uint8_t* p, int width) noexcept nogil:
    """An unsigned little-endian number of `width` bytes."""
    cdef uint64_t value = 0
    cdef int i
    for i in range(width):
        value |= (<uint64_t>p[i]) << (8 * i)
    return value


cdef inline uint32_t u16(const uint8_t* p) noexcept nogil:
    return p[0] | (<uint32_t>p[1] << 8)


cdef inline uint32_t u32(const uint8_t* p) noexcept nogil:
    return <uint32_t>little(p, 4)


cdef inline uint64_t u64(const uint8_t* p) noexcept nogil:
    return little(p, 8)


include "source.pxi"
include "values.pxi"
include "header.pxi"
include "symbol_table.pxi"
include "messages.pxi"
include "tree.pxi"
include "kept.pxi"
include "commits.pxi"
