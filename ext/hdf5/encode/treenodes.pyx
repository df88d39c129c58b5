# ext/hdf5/encode/treenodes.pyx — many nodes of a tree at once: made, and looked over before anything is written.
cimport cython
cimport numpy as cnp
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

import numpy as np

cdef extern from "Python.h":
    int64_t PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1

cdef extern from "h5nodes.h":
    Py_ssize_t h5_slot_offset(object type, const char *name) except -1
    PyObject *h5_slot(object node, Py_ssize_t offset) except NULL
    object h5_new_object(object type)
    void h5_set_slot(object node, Py_ssize_t offset, object value)

cnp.import_array()


@cython.final
cdef class ArrayMaker:
    """Makes the nodes of many arrays. array_type: the class of nodes, whose attributes are slots."""

    cdef object array_type
    cdef Py_ssize_t data_slot, attrs_slot, storage_slot

    def __init__(self, array_type):
        self.array_type = array_type
        self.data_slot = h5_slot_offset(array_type, b"data")
        self.attrs_slot = h5_slot_offset(array_type, b"attrs")
        self.storage_slot = h5_slot_offset(array_type, b"storage")

    def by_number(self, arrays, dtype):
        """Nodes without attributes by the decimal form of their keys.

        None unless `arrays` is a dict whose keys are all int, and its values plain arrays of just this dtype object.
        """
        cdef dict nodes = {}
        if type(arrays) is not dict:
            return None
        for key, data in (<dict>arrays).items():
            if type(key) is not int or type(data) is not cnp.ndarray or dtype_of(<cnp.ndarray>data) is not dtype:
                return None
            node = h5_new_object(self.array_type)
            h5_set_slot(node, self.data_slot, data)
            h5_set_slot(node, self.attrs_slot, {})
            h5_set_slot(node, self.storage_slot, None)
            nodes[str(key)] = node
        return nodes


@cython.final
cdef class TreeScanner:
    """Tells which nodes of a tree need a closer look than "plain numbers, text and short names".

    array_type, group_type: the classes of nodes. plain_types: of attribute values that HDF5 holds whatever they are.
    longest_name: characters that a name has at most. max_axes: of an array.
    """

    cdef object array_type, group_type
    cdef frozenset plain_types
    cdef Py_ssize_t data_slot, array_attrs_slot, storage_slot, children_slot, group_attrs_slot, links_slot
    cdef Py_ssize_t longest_name
    cdef int max_axes
    cdef object latest  # dtype that was found to be plain

    def __init__(self, array_type, group_type, frozenset plain_types, Py_ssize_t longest_name, int max_axes):
        self.array_type, self.group_type, self.plain_types = array_type, group_type, plain_types
        self.longest_name, self.max_axes = longest_name, max_axes
        self.data_slot = h5_slot_offset(array_type, b"data")
        self.array_attrs_slot = h5_slot_offset(array_type, b"attrs")
        self.storage_slot = h5_slot_offset(array_type, b"storage")
        self.children_slot = h5_slot_offset(group_type, b"children")
        self.group_attrs_slot = h5_slot_offset(group_type, b"attrs")
        self.links_slot = h5_slot_offset(group_type, b"links")

    def nodes_to_check(self, root, tuple path, Py_ssize_t max_names, bint any_array):
        """(path, node) of what is below `root` and not plain, parents first.

        max_names: of a path. any_array: arrays with elements that take axes are not plain, however simple they are.
        None for a tree of more than the two classes and dicts, or one that is too deep, as one that holds itself is.
        """
        cdef list to_check = []
        return to_check if self.look(root, path, max_names, any_array, to_check) else None

    cdef bint look(self, node, tuple path, Py_ssize_t max_names, bint any_array, list to_check) except -1:
        cdef bint plain
        children = <object>h5_slot(node, self.children_slot)
        if type(children) is not dict:
            return False
        for name, child in (<dict>children).items():
            if type(child) is self.array_type:
                plain = (not any_array and <object>h5_slot(child, self.storage_slot) is None
                         and self.is_plain_array(<object>h5_slot(child, self.data_slot))
                         and self.are_plain(<object>h5_slot(child, self.array_attrs_slot)))
            elif type(child) is self.group_type:
                plain = (self.are_plain(<object>h5_slot(child, self.group_attrs_slot))
                         and not <object>h5_slot(child, self.links_slot))
            else:
                return False
            if not plain or not self.is_plain_name(name):
                to_check.append(((*path, name), child))
            if type(child) is self.group_type:
                if len(path) + 1 > max_names:
                    return False
                if not self.look(child, (*path, name), max_names, any_array, to_check):
                    return False
        return True

    cdef inline bint is_plain_name(self, name):
        return type(name) is str and len(<str>name) < self.longest_name

    cdef bint is_plain_array(self, data) except -1:
        if type(data) is not cnp.ndarray or cnp.PyArray_NDIM(<cnp.ndarray>data) > self.max_axes:
            return False
        dtype = dtype_of(<cnp.ndarray>data)
        if dtype is not self.latest:
            if dtype not in PLAIN_DTYPES or dtype.metadata is not None:
                return False
            self.latest = dtype
        return True

    cdef bint are_plain(self, attrs) except -1:
        cdef int overflow
        if type(attrs) is not dict:
            return False
        for name, value in (<dict>attrs).items():
            kind = type(value)
            if not self.is_plain_name(name):
                return False
            if kind is str:
                if not (<str>value).isascii() or "\0" in <str>value:
                    return False
            elif kind is int:
                overflow = 0
                PyLong_AsLongLongAndOverflow(value, &overflow)
                if overflow:
                    return False
            elif kind not in self.plain_types and not (kind is cnp.ndarray and self.is_plain_array(value)):
                return False
        return True


cdef object dtype_of(cnp.ndarray array):
    return <object><void *>cnp.PyArray_DESCR(array)


cdef set PLAIN_DTYPES = set(map(np.dtype, "?bBhHiIlLqQefd"))
