# ext/h5emit.pyx — a tree of groups, arrays and attributes as the metadata and compact data of an HDF5 file.
#
# Bytes are gathered in one buffer and given to `write` in the order of the file. Objects come before the groups that
# link to them, so that every address is known by the time it is written.
cimport cython
cimport numpy as cnp
from cpython.buffer cimport PyBUF_READ
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcpy

import math

import numpy as np

cdef extern from "Python.h":
    int64_t PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1

cdef extern from "h5bytes.h" nogil:
    const uint64_t H5_UNDEFINED
    ctypedef struct h5_bytes:
        uint8_t *data
        size_t length
        bint failed
    void h5_free(h5_bytes *)
    void h5_put_bytes(h5_bytes *, const void *, size_t)
    uint32_t h5_lookup3(const uint8_t *, size_t)

cdef extern from "h5messages.h" nogil:
    const int H5_DATASPACE, H5_DATATYPE, H5_LINK, H5_DATA_LAYOUT, H5_FILTER_PIPELINE, H5_ATTRIBUTE
    const int H5_CONSTANT, H5_NULL_SPACE, H5_MESSAGE_LIMIT
    size_t h5_header_begin(h5_bytes *)
    void h5_header_end(h5_bytes *, size_t start)
    void h5_put_message(h5_bytes *, int type, size_t size, int flags)
    size_t h5_dataspace_size(int rank)
    void h5_put_dataspace(h5_bytes *, int rank, const Py_ssize_t *shape)
    void h5_put_fill_value(h5_bytes *, int space_allocation)
    uint8_t *h5_put_compact_layout(h5_bytes *, size_t size)
    void h5_put_empty_layout(h5_bytes *)
    void h5_put_group_info(h5_bytes *, size_t compact_links, uint64_t heap, uint64_t tree)
    void h5_put_attribute_info(h5_bytes *, uint64_t heap, uint64_t tree)
    void h5_put_link(h5_bytes *, const char *name, size_t length, uint64_t address)
    void h5_put_attribute(h5_bytes *, const char *name, size_t length, const void *datatype, size_t datatype_size,
                          int rank, const Py_ssize_t *shape)
    size_t h5_body_begin(h5_bytes *)
    size_t h5_body_end(h5_bytes *, size_t start)
    void h5_put_bodies(h5_bytes *, int type, const h5_bytes *bodies, size_t start)

cdef extern from "h5heap.h" nogil:
    ctypedef struct h5_heap:
        pass
    void h5_heap_close(h5_heap *, h5_bytes *)
    void h5_heap_keep(h5_heap *, h5_bytes *, uint64_t base, const void *bytes, size_t length, size_t expected,
                      h5_bytes *references)

cdef extern from "h5dense.h" nogil:
    void h5_put_dense_links(h5_bytes *, uint64_t base, const h5_bytes *bodies, size_t start, size_t count,
                            uint64_t *heap, uint64_t *tree)
    void h5_put_dense_attributes(h5_bytes *, uint64_t base, const h5_bytes *bodies, size_t start, size_t count,
                                 uint64_t *heap, uint64_t *tree)

cnp.import_array()

cdef enum:
    FLUSH_BYTES = 1 << 20
    COMPACT_LINKS = 512          # more of them are slow to edit in a header
    COMPACT_ATTRIBUTES = 256
    LONGEST_NAME = 4000          # bytes: a dense link has to fit into the smallest block of its heap
    LARGEST_ATTRIBUTE = 4 << 20  # bytes of one attribute: it lies in one block of its heap
    LARGEST_TEXT = 1 << 30       # bytes of one variable-length text
    DEEPEST = 1000               # groups in groups
    HIGHEST_RANK = 32            # of HDF5
    REFERENCE_BYTES = 16         # of a variable-length value: length, address of its collection, index
    SPACE_EARLY = 1              # space allocation times of the fill value message
    SPACE_LATE = 2
    SPACE_INCREMENTAL = 3


def lookup3(bytes data) -> int:
    """The checksum of metadata."""
    return h5_lookup3(<const uint8_t *>PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data))


class NotCovered(Exception):
    """The tree has something that only libhdf5 writes. Raised before the first byte."""


@cython.final
cdef class Datatype:
    """A dtype's datatype message. `text`: the elements are Python text, kept in the global heap."""

    cdef object dtype
    cdef bytes message
    cdef bint text

    def __init__(self, dtype, bytes message, bint text):
        self.dtype = dtype
        self.message = message
        self.text = text


@cython.final
cdef class Emitter:
    """Writes a tree's bytes, from address `base` of the file, through `write(view)`, which takes the whole of a view.

    nodes: the classes of arrays, of groups and of values without elements (which have a `dtype`). escapes: the
    functions that make a link or attribute name one that HDF5 holds. describe(dtype): the body of its datatype
    message, that of variable-length text for `str` and `bytes`. compact_limit(storage): bytes up to which an array
    lies in its header, `scalar_limit` for one of rank 0. check(data, storage): raises for a larger array that `store`
    cannot take. store(data, storage): writes a larger array by `payload` and `append`, and returns the bodies of its
    data layout and filter pipeline messages.
    """

    cdef object array_type, group_type, null_type, escape_link, escape_attribute
    cdef object describe, compact_limit, check, store, write
    cdef Py_ssize_t scalar_limit, limit
    cdef object limit_storage  # for which `limit` was asked last
    cdef dict datatypes
    cdef Datatype utf8, ascii, boolean, integer, real, complex_number
    cdef h5_bytes out         # bytes of the file from address `base` on, not yet handed over
    cdef h5_bytes links       # link messages of the groups that are being written, one after another
    cdef h5_bytes attributes  # attribute messages of the next object
    cdef h5_bytes references  # to the text of the next dataset
    cdef size_t attribute_count
    cdef uint64_t attribute_heap, attribute_tree
    cdef h5_heap heap
    cdef uint64_t base

    def __init__(self, nodes, escapes, *, describe, compact_limit, scalar_limit, check, store, write, base):
        self.array_type, self.group_type, self.null_type = nodes
        self.escape_link, self.escape_attribute = escapes
        self.describe, self.check, self.store, self.write = describe, check, store, write
        self.compact_limit, self.scalar_limit, self.base = compact_limit, scalar_limit, base
        self.limit_storage, self.limit = None, compact_limit(None)
        self.datatypes = {}
        self.utf8 = Datatype(None, describe(str), True)
        self.ascii = Datatype(None, describe(bytes), True)
        self.boolean = self.datatype(np.dtype(np.bool_))
        self.integer = self.datatype(np.dtype(np.int64))
        self.real = self.datatype(np.dtype(np.float64))
        self.complex_number = self.datatype(np.dtype(np.complex128))

    def __dealloc__(self):
        h5_free(&self.out)
        h5_free(&self.links)
        h5_free(&self.attributes)
        h5_free(&self.references)

    # ---- what is covered ----------------------------------------------------------------------------------------

    def survey(self, tree) -> None:
        """Raise `NotCovered` unless `emit` can write the whole tree."""
        self.survey_group(tree, 0)

    cdef int survey_group(self, node, int depth) except -1:
        if depth > DEEPEST:
            raise NotCovered("groups nested too deep")
        if type(node.children) is not dict:
            raise NotCovered("children that are not a dict")
        for name, child in (<dict>node.children).items():
            survey_name(name, self.escape_link)
            if isinstance(child, self.group_type):
                self.survey_group(child, depth + 1)
            elif isinstance(child, self.array_type):
                self.survey_array(child)
            else:
                raise NotCovered(f"a node of type {type(child).__name__}")
        return self.survey_attributes(node.attrs)

    cdef int survey_array(self, node) except -1:
        cdef Datatype datatype
        data = node.data
        if isinstance(data, cnp.ndarray):
            datatype = self.datatype(dtype_of(<cnp.ndarray>data))
            if datatype.text:
                survey_text(<cnp.ndarray>data)
            if cnp.PyArray_NDIM(<cnp.ndarray>data) > HIGHEST_RANK:
                raise NotCovered("more axes than HDF5 has")
            if not self.is_compact(stored_bytes(<cnp.ndarray>data, datatype), cnp.PyArray_NDIM(<cnp.ndarray>data),
                                   node.storage):
                self.check(data, node.storage)
        elif isinstance(data, self.null_type):
            self.datatype(data.dtype)
        elif data is not None:
            survey_source(data, self.datatype(data.dtype))
            if not self.is_compact(source_bytes(data), len(data.shape), node.storage):
                self.check(data, node.storage)
        return self.survey_attributes(node.attrs)

    cdef int survey_attributes(self, attrs) except -1:
        if type(attrs) is not dict:
            raise NotCovered("attributes that are not a dict")
        for name, value in (<dict>attrs).items():
            survey_name(name, self.escape_attribute)
            kind = type(value)
            if kind is str or kind is bytes:
                survey_string(value)
            elif not (kind is float or kind is bool or kind is complex or value is None):
                self.survey_value(value)
        return 0

    cdef int survey_value(self, value) except -1:
        cdef Datatype datatype
        cdef cnp.ndarray array
        if isinstance(value, self.null_type):
            self.datatype(value.dtype)
            return 0
        array = as_array(value)
        datatype = self.datatype(dtype_of(array))
        if datatype.text:
            survey_text(array)
        if stored_bytes(array, datatype) > LARGEST_ATTRIBUTE or cnp.PyArray_NDIM(array) > HIGHEST_RANK:
            raise NotCovered("a very large attribute")
        return 0

    # ---- datatypes and storage ----------------------------------------------------------------------------------

    cdef Datatype datatype(self, dtype):
        """The datatype of a dtype, known by identity: equal dtypes may differ in the metadata that h5py goes by."""
        cdef object key = <size_t><void *>dtype
        cdef object found = self.datatypes.get(key)
        if found is None:
            if len(self.datatypes) >= 4096:
                self.datatypes.clear()
            if dtype.kind == "O":
                found = Datatype(dtype, b"", True)
            else:
                found = Datatype(dtype, self.describe(dtype), False)
            self.datatypes[key] = found
        return <Datatype>found

    cdef bint is_compact(self, Py_ssize_t size, int rank, storage) except -1:
        if storage is not self.limit_storage:
            self.limit = self.compact_limit(storage)
            self.limit_storage = storage
        return size <= self.limit or (rank == 0 and size <= self.scalar_limit)

    # ---- the bytes of the file ----------------------------------------------------------------------------------

    def emit(self, tree) -> int:
        """Write a surveyed tree. Returns the address of the root group."""
        return self.group(tree)

    def flush(self) -> int:
        """Hand over what is gathered. Returns the address of the next byte."""
        h5_heap_close(&self.heap, &self.out)
        if self.out.failed or self.links.failed or self.attributes.failed or self.references.failed:
            raise MemoryError()
        if self.out.length:
            self.write(PyMemoryView_FromMemory(<char *>self.out.data, <Py_ssize_t>self.out.length, PyBUF_READ))
            self.base += self.out.length
            self.out.length = 0
        return self.base

    def payload(self, view) -> int:
        """Write raw bytes from where they lie. Returns their address."""
        cdef uint64_t address = self.flush()
        self.write(view)
        self.base += <uint64_t>view.nbytes
        return address

    def append(self, bytes metadata) -> int:
        """Gather bytes of metadata. Returns their address."""
        cdef uint64_t address = self.base + self.out.length
        h5_put_bytes(&self.out, PyBytes_AS_STRING(metadata), <size_t>PyBytes_GET_SIZE(metadata))
        return address

    cdef int flush_if_full(self) except -1:
        if self.out.length >= FLUSH_BYTES or self.out.failed:
            self.flush()
        return 0

    # ---- groups and datasets ------------------------------------------------------------------------------------

    cdef uint64_t group(self, node) except 0:
        cdef size_t mark = self.links.length, start, count = 0
        cdef uint64_t address, heap = H5_UNDEFINED, tree = H5_UNDEFINED
        for name, child in (<dict>node.children).items():
            address = self.group(child) if isinstance(child, self.group_type) else self.dataset(child)
            self.link(name, address)
            count += 1
        self.gather_attributes(<dict>node.attrs)
        if count > COMPACT_LINKS:
            h5_put_dense_links(&self.out, self.base, &self.links, mark, count, &heap, &tree)
            count = 0
        start = h5_header_begin(&self.out)
        h5_put_group_info(&self.out, count, heap, tree)
        if count:
            h5_put_bodies(&self.out, H5_LINK, &self.links, mark)
        self.links.length = mark
        return self.end_object(start)

    cdef int link(self, name, uint64_t address) except -1:
        cdef Py_ssize_t length
        cdef object stored = stored_name(name, self.escape_link)
        cdef const char *text = PyUnicode_AsUTF8AndSize(stored, &length)
        cdef size_t start = h5_body_begin(&self.links)
        h5_put_link(&self.links, text, <size_t>length, address)
        h5_body_end(&self.links, start)
        return 0

    cdef uint64_t dataset(self, node) except 0:
        cdef Datatype datatype
        data = node.data
        if isinstance(data, cnp.ndarray):
            datatype = self.datatype(dtype_of(<cnp.ndarray>data))
            if self.is_compact(stored_bytes(<cnp.ndarray>data, datatype), cnp.PyArray_NDIM(<cnp.ndarray>data),
                               node.storage):
                return self.compact_dataset(<cnp.ndarray>data, datatype, node)
            return self.stored_dataset(data, datatype, node)
        if data is None:
            return self.null_dataset(self.real, node)
        if isinstance(data, self.null_type):
            return self.null_dataset(self.datatype(data.dtype), node)
        datatype = self.datatype(data.dtype)
        if self.is_compact(source_bytes(data), len(data.shape), node.storage):
            return self.compact_dataset(whole_source(data), datatype, node)
        return self.stored_dataset(data, datatype, node)

    cdef uint64_t null_dataset(self, Datatype datatype, node) except 0:
        cdef size_t start
        self.gather_attributes(<dict>node.attrs)
        start = self.begin_dataset(datatype, H5_NULL_SPACE, NULL, SPACE_LATE)
        h5_put_empty_layout(&self.out)
        return self.end_object(start)

    cdef uint64_t compact_dataset(self, cnp.ndarray array, Datatype datatype, node) except 0:
        cdef Py_ssize_t size = stored_bytes(array, datatype)
        cdef const void *elements
        cdef uint8_t *place
        cdef size_t start
        if datatype.text:
            datatype = self.gather_references(array)
            elements = self.references.data
        else:
            array = cnp.PyArray_GETCONTIGUOUS(array)
            elements = cnp.PyArray_DATA(array)
        self.gather_attributes(<dict>node.attrs)
        start = self.begin_dataset(datatype, cnp.PyArray_NDIM(array), <const Py_ssize_t *>cnp.PyArray_DIMS(array),
                                   SPACE_EARLY if size else SPACE_LATE)
        if size:
            place = h5_put_compact_layout(&self.out, <size_t>size)
            if place != NULL:
                memcpy(place, elements, <size_t>size)
        else:
            h5_put_empty_layout(&self.out)
        return self.end_object(start)

    cdef uint64_t stored_dataset(self, data, Datatype datatype, node) except 0:
        """The data first, by way of `store`; then a header that knows where they are."""
        cdef bytes layout, pipeline
        cdef size_t start
        cdef Py_ssize_t shape[HIGHEST_RANK]
        cdef int rank = len(data.shape), axis
        for axis in range(rank):
            shape[axis] = data.shape[axis]
        if datatype.text:
            datatype = self.gather_references(<cnp.ndarray>data)
            raw = (<char *>self.references.data)[:self.references.length]
            data = np.frombuffer(raw, f"V{REFERENCE_BYTES}").reshape(data.shape)
        layout, pipeline = self.store(data, node.storage)
        self.gather_attributes(<dict>node.attrs)
        start = self.begin_dataset(datatype, rank, shape, SPACE_INCREMENTAL)
        self.put_message(H5_FILTER_PIPELINE, pipeline, H5_CONSTANT)
        self.put_message(H5_DATA_LAYOUT, layout, 0)
        return self.end_object(start)

    cdef size_t begin_dataset(self, Datatype datatype, int rank, const Py_ssize_t *shape, int space_allocation):
        cdef size_t start = h5_header_begin(&self.out)
        h5_put_message(&self.out, H5_DATASPACE, h5_dataspace_size(rank), 0)
        h5_put_dataspace(&self.out, rank, shape)
        self.put_message(H5_DATATYPE, datatype.message, H5_CONSTANT)
        h5_put_fill_value(&self.out, space_allocation)
        return start

    cdef void put_message(self, int type, bytes body, int flags):
        cdef size_t size = <size_t>PyBytes_GET_SIZE(body)
        h5_put_message(&self.out, type, size, flags)
        h5_put_bytes(&self.out, PyBytes_AS_STRING(body), size)

    cdef uint64_t end_object(self, size_t start) except 0:
        """Close the header that began at `start` with the gathered attributes. Returns its address."""
        cdef uint64_t address = self.base + start
        if self.attributes.length:
            h5_put_attribute_info(&self.out, self.attribute_heap, self.attribute_tree)
            if self.attribute_count:
                h5_put_bodies(&self.out, H5_ATTRIBUTE, &self.attributes, 0)
        h5_header_end(&self.out, start)
        self.flush_if_full()
        return address

    # ---- attributes and text ------------------------------------------------------------------------------------

    cdef int gather_attributes(self, dict attrs) except -1:
        """Encode the attributes of the object that is about to be written. What lies outside its header goes out."""
        cdef size_t start, largest = 0, count = 0
        self.attributes.length = self.attribute_count = 0
        self.attribute_heap = self.attribute_tree = H5_UNDEFINED
        if not attrs:
            return 0
        for name, value in attrs.items():
            start = h5_body_begin(&self.attributes)
            self.put_attribute(name, value)
            largest = max(largest, h5_body_end(&self.attributes, start))
            count += 1
        if count > COMPACT_ATTRIBUTES or largest > <size_t>H5_MESSAGE_LIMIT:
            h5_put_dense_attributes(&self.out, self.base, &self.attributes, 0, count,
                                    &self.attribute_heap, &self.attribute_tree)
        else:
            self.attribute_count = count
        return 0

    cdef int put_attribute(self, name, value) except -1:
        cdef int64_t integer
        cdef int overflow = 0
        cdef double real
        cdef double complex number
        cdef uint8_t boolean
        kind = type(value)
        if kind is str or kind is bytes:
            self.begin_attribute(name, self.utf8 if kind is str else self.ascii, 0, NULL)
            self.put_reference(value, 1, &self.attributes)
        elif kind is float:
            real = value
            self.put_scalar(name, self.real, &real, 8)
        elif kind is bool:
            boolean = value
            self.put_scalar(name, self.boolean, &boolean, 1)
        elif kind is complex:
            number = value
            self.put_scalar(name, self.complex_number, &number, 16)
        elif value is None:
            self.begin_attribute(name, self.real, H5_NULL_SPACE, NULL)
        elif isinstance(value, self.null_type):
            self.begin_attribute(name, self.datatype(value.dtype), H5_NULL_SPACE, NULL)
        else:
            if kind is int:
                integer = PyLong_AsLongLongAndOverflow(value, &overflow)
                if not overflow:
                    self.put_scalar(name, self.integer, &integer, 8)
                    return 0
            self.put_array(name, as_array(value))
        return 0

    cdef int begin_attribute(self, name, Datatype datatype, int rank, const Py_ssize_t *shape) except -1:
        cdef Py_ssize_t length
        cdef object stored = stored_name(name, self.escape_attribute)
        cdef const char *text = PyUnicode_AsUTF8AndSize(stored, &length)
        h5_put_attribute(&self.attributes, text, <size_t>length, PyBytes_AS_STRING(datatype.message),
                         <size_t>PyBytes_GET_SIZE(datatype.message), rank, shape)
        return 0

    cdef int put_scalar(self, name, Datatype datatype, const void *value, size_t size) except -1:
        self.begin_attribute(name, datatype, 0, NULL)
        h5_put_bytes(&self.attributes, value, size)
        return 0

    cdef int put_array(self, name, cnp.ndarray array) except -1:
        cdef Datatype datatype = self.datatype(dtype_of(array))
        if datatype.text:
            datatype = self.text_datatype(array)
        else:
            array = cnp.PyArray_GETCONTIGUOUS(array)
        self.begin_attribute(name, datatype, cnp.PyArray_NDIM(array), <const Py_ssize_t *>cnp.PyArray_DIMS(array))
        if datatype.text:
            self.put_references(array, &self.attributes)
        else:
            h5_put_bytes(&self.attributes, cnp.PyArray_DATA(array), <size_t>cnp.PyArray_NBYTES(array))
        return 0

    cdef Datatype gather_references(self, cnp.ndarray array):
        """Keep a text array in the global heap, the references to it in `references`. Returns its datatype."""
        self.references.length = 0
        self.put_references(array, &self.references)
        return self.text_datatype(array)

    cdef Datatype text_datatype(self, cnp.ndarray array):
        """ASCII if the first element is `bytes`; the survey saw that all are alike."""
        return self.ascii if array.size and isinstance(array.flat[0], bytes) else self.utf8

    cdef int put_references(self, cnp.ndarray array, h5_bytes *references) except -1:
        cdef Py_ssize_t left = cnp.PyArray_SIZE(array)
        for item in array.flat:
            self.put_reference(item, left, references)
            left -= 1
        return 0

    cdef int put_reference(self, value, Py_ssize_t left, h5_bytes *references) except -1:
        """Keep one text, the first of `left`, in the global heap; its objects are about as long as this one."""
        cdef Py_ssize_t length
        cdef const char *text = text_pointer(value, &length)
        cdef size_t expected = <size_t>left * <size_t>(length + 24)
        h5_heap_keep(&self.heap, &self.out, self.base, text, <size_t>length, expected, references)
        return self.flush_if_full()


cdef object dtype_of(cnp.ndarray array):
    return <object><void *>cnp.PyArray_DESCR(array)


cdef Py_ssize_t stored_bytes(cnp.ndarray array, Datatype datatype):
    return cnp.PyArray_SIZE(array) * REFERENCE_BYTES if datatype.text else cnp.PyArray_NBYTES(array)


cdef int survey_source(source, Datatype datatype) except -1:
    if datatype.text or not 0 < len(source.shape) <= HIGHEST_RANK:
        raise NotCovered("a source of text, or without a first axis")
    return 0


cdef Py_ssize_t source_bytes(source) except -1:
    return math.prod(source.shape) * source.dtype.itemsize


cdef cnp.ndarray whole_source(source):
    cdef cnp.ndarray array = source.read(0, source.shape[0])
    if array.dtype != source.dtype or (<object>array).shape != tuple(source.shape):
        raise ValueError(f"a source of {source.shape} {source.dtype} gave {(<object>array).shape} {array.dtype}")
    return array


cdef cnp.ndarray as_array(value):
    if isinstance(value, (cnp.ndarray, np.generic)) or type(value) is int:
        return np.asarray(value)
    raise NotCovered(f"an attribute of type {type(value).__name__}")


cdef object stored_name(name, escape):
    """`name`, or the escaped form of one that HDF5 might not hold."""
    cdef Py_ssize_t length
    cdef const char *text
    try:
        text = PyUnicode_AsUTF8AndSize(name, &length)
    except UnicodeEncodeError:
        return escape(name)
    if length == 0 or text[0] == c"%" or text[0] == c"." or memchr(text, 0, length) != NULL or memchr(text, c"/", length) != NULL:
        return escape(name)
    return name


cdef const char *text_pointer(value, Py_ssize_t *length) except NULL:
    """The UTF-8 bytes of a str, or the bytes of bytes, as long as `value` lives."""
    if isinstance(value, str):
        return PyUnicode_AsUTF8AndSize(value, length)
    length[0] = PyBytes_GET_SIZE(value)
    return PyBytes_AS_STRING(value)


cdef int survey_name(name, escape) except -1:
    cdef Py_ssize_t length
    if type(name) is not str:
        raise NotCovered("a name that is not a str")
    stored = stored_name(name, escape)
    PyUnicode_AsUTF8AndSize(stored, &length)
    if length > LONGEST_NAME:
        raise NotCovered("a very long name")
    return 0


cdef int survey_string(value) except -1:
    cdef Py_ssize_t length
    cdef const char *text
    try:
        text = text_pointer(value, &length)
    except UnicodeEncodeError as error:
        raise NotCovered("text that is not Unicode") from error
    if length > LARGEST_TEXT or memchr(text, 0, <size_t>length) != NULL:
        raise NotCovered("text with NUL characters, or very long text")
    return 0


cdef int survey_text(cnp.ndarray array) except -1:
    kind = None
    for item in array.flat:
        if kind is None:
            kind = str if isinstance(item, str) else bytes
        if not isinstance(item, kind):
            raise NotCovered("an object array of more than str, or more than bytes")
        survey_string(item)
    return 0
