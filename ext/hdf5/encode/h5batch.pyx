# ext/h5batch.pyx — many small objects into an open HDF5 file, through the C functions of the library that h5py uses.
#
# h5py.defs exports its HDF5 functions as capsules named by their C signature. They are fetched at run time, so that no
# second HDF5 is linked; each raises h5py's own exceptions. Whoever calls holds h5py's lock (h5py._objects.phil).
import h5py
import h5py.defs
import numpy as np

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t

from h5burst.model.tree import Array, Group

cimport cython

ctypedef int64_t hid_t
ctypedef int herr_t

# Not "except -1": the compiler then tests for an error flag that only h5py's own wrappers set together with -1.
ctypedef hid_t (*create4_t)(hid_t, char *, hid_t, hid_t, hid_t) except? -1
ctypedef hid_t (*create6_t)(hid_t, char *, hid_t, hid_t, hid_t, hid_t) except? -1
ctypedef hid_t (*create7_t)(hid_t, char *, hid_t, hid_t, hid_t, hid_t, hid_t) except? -1
ctypedef herr_t (*close_t)(hid_t) except? -1
ctypedef herr_t (*awrite_t)(hid_t, hid_t, void *) except? -1
ctypedef herr_t (*phase_t)(hid_t, unsigned int, unsigned int) except? -1
ctypedef herr_t (*dwrite_t)(hid_t, hid_t, hid_t, hid_t, hid_t, void *) except? -1

# Links that a group's own header may hold. libhdf5 takes 4 ms to move 64 of them into its index when one more comes,
# 1.4 s for 256; and past some hundreds, each further one costs more than in the index.
COMPACT_LINKS = 32

cdef create4_t H5Gcreate
cdef create6_t H5Acreate
cdef create7_t H5Dcreate
cdef close_t H5Gclose, H5Aclose, H5Dclose
cdef awrite_t H5Awrite
cdef dwrite_t H5Dwrite
cdef phase_t H5Pset_link_phase_change

SIGNATURES = {
    "H5Gcreate": "hid_t (hid_t, char *, hid_t, hid_t, hid_t)",
    "H5Acreate": "hid_t (hid_t, char *, hid_t, hid_t, hid_t, hid_t)",
    "H5Dcreate": "hid_t (hid_t, char *, hid_t, hid_t, hid_t, hid_t, hid_t)",
    "H5Gclose": "herr_t (hid_t)",
    "H5Aclose": "herr_t (hid_t)",
    "H5Dclose": "herr_t (hid_t)",
    "H5Awrite": "herr_t (hid_t, hid_t, void *)",
    "H5Dwrite": "herr_t (hid_t, hid_t, hid_t, hid_t, hid_t, void *)",
    "H5Pset_link_phase_change": "herr_t (hid_t, unsigned int, unsigned int)",
}


cdef void *pointer(dict capsules, str name) except NULL:
    """The C function behind a capsule, if its signature is the one this file was written for."""
    capsule = capsules[name]
    cdef const char *found = PyCapsule_GetName(capsule)
    if found == NULL or found.decode().replace("const ", "") != SIGNATURES[name]:
        raise LookupError(f"h5py.defs.{name} has another signature")
    return PyCapsule_GetPointer(capsule, found)


def load(dict capsules) -> bool:
    """Fetch the functions; False when this h5py does not export all of them as expected."""
    global H5Gcreate, H5Acreate, H5Dcreate, H5Gclose, H5Aclose, H5Dclose, H5Awrite, H5Dwrite, H5Pset_link_phase_change
    if sizeof(void *) != 8:
        return False
    try:
        H5Gcreate = <create4_t>pointer(capsules, "H5Gcreate")
        H5Acreate = <create6_t>pointer(capsules, "H5Acreate")
        H5Dcreate = <create7_t>pointer(capsules, "H5Dcreate")
        H5Gclose = <close_t>pointer(capsules, "H5Gclose")
        H5Aclose = <close_t>pointer(capsules, "H5Aclose")
        H5Dclose = <close_t>pointer(capsules, "H5Dclose")
        H5Awrite = <awrite_t>pointer(capsules, "H5Awrite")
        H5Dwrite = <dwrite_t>pointer(capsules, "H5Dwrite")
        H5Pset_link_phase_change = <phase_t>pointer(capsules, "H5Pset_link_phase_change")
    except LookupError:
        return False
    return True


def set_link_phase_change(hid_t creation_list, unsigned int most_compact, unsigned int least_dense) -> None:
    """How many links of a group lie in its header before libhdf5 indexes them, and the other way round."""
    H5Pset_link_phase_change(creation_list, most_compact, least_dense)


@cython.final
cdef class Batch:
    """Creates the plain children and attributes of groups; what is not plain is left in a list for others.

    compact_limit: bytes of the largest array written here, in compact layout; group_lists: for groups of at most
    `COMPACT_LINKS` links, and for larger ones. The property lists and types are h5py's low-level objects, kept alive by this one.
    """

    cdef dict types, spaces, link_names, attribute_names  # bounded: the same few come again and again, or once
    cdef hid_t text_type, bytes_type, scalar_space, null_space, float_type
    cdef hid_t dataset_list, small_group, large_group, link_list, utf8_link_list
    cdef object keep, escape_link, escape_attribute
    cdef Py_ssize_t compact_limit
    cdef list left_nodes, left_attributes

    def __init__(self, Py_ssize_t compact_limit, dataset_list, tuple group_lists, escape_link, escape_attribute) -> None:
        h5p, h5s, h5t = h5py.h5p, h5py.h5s, h5py.h5t
        links, utf8_links = h5p.create(h5p.LINK_CREATE), h5p.create(h5p.LINK_CREATE)
        utf8_links.set_char_encoding(h5t.CSET_UTF8)
        text = h5t.py_create(h5py.string_dtype("utf-8"), logical=True)
        ascii_text = h5t.py_create(h5py.string_dtype("ascii"), logical=True)
        scalar, null, double = h5s.create(h5s.SCALAR), h5s.create(h5s.NULL), h5t.py_create(np.dtype("f8"))
        self.keep = (dataset_list, group_lists, links, utf8_links, text, ascii_text, scalar, null, double)
        self.dataset_list = dataset_list.id
        self.small_group, self.large_group = (group_list.id for group_list in group_lists)
        self.link_list, self.utf8_link_list = links.id, utf8_links.id
        self.text_type, self.bytes_type = text.id, ascii_text.id
        self.scalar_space, self.null_space, self.float_type = scalar.id, null.id, double.id
        self.types, self.spaces, self.link_names, self.attribute_names = {}, {}, {}, {}
        self.escape_link, self.escape_attribute = escape_link, escape_attribute
        self.compact_limit = compact_limit
        self.left_nodes, self.left_attributes = [], []

    def fill(self, hid_t target, node, tuple path) -> None:
        """Create the children of `node` and its attributes in the open group `target`, which stands at `path`."""
        self._attributes(target, node.attrs, path)
        for name, child in node.children.items():
            self._child(target, name, child, path)

    cdef int _child(self, hid_t parent, str name, child, tuple path) except -1:
        cdef bytes link = self._link_name(name)
        cdef hid_t made, group_list
        cdef hid_t links = self.link_list if name.isascii() else self.utf8_link_list
        if type(child) is Group:
            group_list = self.small_group if len(child.children) <= COMPACT_LINKS else self.large_group
            made = H5Gcreate(parent, link, links, group_list, 0)
            try:
                self.fill(made, child, (*path, name))
            finally:
                H5Gclose(made)
            return 0
        data = child.data
        if (
            child.storage is not None
            or type(data) is not np.ndarray
            or data.dtype.hasobject
            or data.nbytes > self.compact_limit
            or data.dtype.metadata is not None
        ):
            self.left_nodes.append(((*path, name), child))
            return 0
        return self._array(parent, link, links, data, child.attrs, (*path, name) if child.attrs else ())

    cdef int _array(self, hid_t parent, bytes link, hid_t links, data, dict attrs, tuple path) except -1:
        cdef hid_t dtype = self._type(data.dtype)
        cdef hid_t made = H5Dcreate(parent, link, dtype, self._space(data.shape), links, self.dataset_list, 0)
        cdef const unsigned char[::1] raw
        try:
            if data.size:
                raw = as_bytes(data)
                H5Dwrite(made, dtype, 0, 0, 0, <void *>&raw[0])
            if attrs:
                self._attributes(made, attrs, path)
        finally:
            H5Dclose(made)
        return 0

    def take_left(self) -> tuple[list, list]:
        """Nodes (path and node) and attributes (path of the object, name, value) left to others since last asked."""
        left = self.left_nodes, self.left_attributes
        self.left_nodes, self.left_attributes = [], []
        return left

    def attributes(self, hid_t target, dict attrs, tuple path) -> None:
        """Create plain attributes on an open object, which stands at `path`."""
        self._attributes(target, attrs, path)

    cdef int _attributes(self, hid_t target, dict attrs, tuple path) except -1:
        cdef const char *text
        cdef Py_ssize_t size
        for name, value in attrs.items():
            if type(value) is str:
                text = PyUnicode_AsUTF8AndSize(value, &size)
                self._attribute(target, name, self.text_type, self.scalar_space, &text)
            elif type(value) is bytes:
                text = PyBytes_AS_STRING(value)
                self._attribute(target, name, self.bytes_type, self.scalar_space, &text)
            elif value is None:
                self._attribute(target, name, self.float_type, self.null_space, NULL)
            elif type(value) is not np.ndarray and not isinstance(value, (int, float, complex, np.generic)):
                self.left_attributes.append((path, name, value))
            else:
                data = np.asarray(value)
                if data.dtype.kind in "OU" or data.nbytes > self.compact_limit or data.dtype.metadata is not None:
                    self.left_attributes.append((path, name, value))
                else:
                    self._array_attribute(target, name, data)
        return 0

    cdef int _array_attribute(self, hid_t target, name, data) except -1:
        cdef const unsigned char[::1] raw
        cdef void *start = NULL
        if data.size:
            raw = as_bytes(data)
            start = <void *>&raw[0]
        return self._attribute(target, name, self._type(data.dtype), self._space(data.shape), start)

    cdef int _attribute(self, hid_t target, str name, hid_t dtype, hid_t space, void *value) except -1:
        cdef bytes stored = self.attribute_names.get(name)
        if stored is None:
            if len(self.attribute_names) >= 4096:
                self.attribute_names.clear()
            stored = self.attribute_names[name] = self.escape_attribute(name).encode()
        cdef hid_t made = H5Acreate(target, stored, dtype, space, 0, 0)
        try:
            if value != NULL:
                H5Awrite(made, dtype, value)
        finally:
            H5Aclose(made)
        return 0

    cdef bytes _link_name(self, str name):
        cdef bytes stored = self.link_names.get(name)
        if stored is None:
            stored = self.escape_link(name).encode()
            if len(self.link_names) < 4096:
                self.link_names[name] = stored
        return stored

    cdef hid_t _type(self, dtype) except? -1:
        found = self.types.get(dtype)
        if found is None:
            found = self.types[dtype] = h5py.h5t.py_create(dtype, logical=True)
        return found.id

    cdef hid_t _space(self, tuple shape) except? -1:
        if not shape:
            return self.scalar_space
        found = self.spaces.get(shape)
        if found is None:
            if len(self.spaces) >= 4096:
                self.spaces.clear()
            found = self.spaces[shape] = h5py.h5s.create_simple(shape)
        return found.id


cdef as_bytes(data):
    """The bytes of a small array in C order, whatever its strides."""
    return np.ascontiguousarray(data).reshape(-1).view(np.uint8)
