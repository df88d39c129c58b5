# ext/hdf5/encode/h5emit.pyx — a tree of groups, arrays and attributes as the metadata and compact data of an HDF5 file.
#
# Bytes are gathered in one buffer and written sequentially. Objects come before the groups that
# link to them, so that every address is known by the time it is written.
cimport cython
cimport numpy as cnp
from cpython.buffer cimport PyBUF_READ
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.object cimport PyObject
from cpython.ref cimport Py_REFCNT
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcpy, memset

import math
import os

import numpy as np

include "h5structures.pxi"
include "h5preflight.pxi"
include "h5records.pxi"

cnp.import_array()

cdef enum:
    FLUSH_BYTES = 1 << 20
    CHECKSUMMED_BYTES = 1 << 18       # checksums are computed while what they are of is in the cache
    COPIED_BYTES = 1 << 18       # fewer are faster copied than written by themselves
    COMPACT_LINKS = 512          # more of them are slow to edit in a header
    COMPACT_ATTRIBUTES = 256
    SPACE_EARLY = 1              # space allocation times of the fill value message
    SPACE_LATE = 2
    SPACE_INCREMENTAL = 3
    ONE_NAME = 2                 # references to a node that is at one place: its parent's, and a loop's variable's


def lookup3(bytes data) -> int:
    """The checksum of metadata."""
    return h5_lookup3(<const uint8_t *>PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data))


@cython.final
cdef class TreeWriter:
    """Writes a tree's bytes, from the start of the file, through `sink`.

    sink: `write(view)` takes the whole of a view. `descriptor()` is asked once, when the file turns out to be large:
    the descriptor of a file that a thread may write to at its position, or -1; `expect(size)` says how many bytes that
    thread will write next.

    escapes: the functions that make a link or attribute name one that HDF5 holds. max_depth: of groups in groups.
    fill_bytes(value, dtype): one element. level: of the instruction set, as `h5burst.runtime.simd` counts them.

    arrays: how they are stored. `compact_limit(storage)`: bytes up to which one is in its header, `scalar_limit` for
    one of rank 0. `plan(data, storage)`: raises for a larger one that `store` cannot take. `store(writer, data,
    storage)`: writes it by the writer's `payload` and `append`, and returns the bodies of its data layout and filter
    pipeline messages.
    """

    cdef Preflight rules
    cdef Nodes nodes
    cdef object null_type, escape_link, escape_attribute, arrays, fill_bytes, sink
    cdef Datatype utf8, ascii, boolean, integer, real, complex_number
    cdef h5_bytes out         # bytes of the file not yet handed over
    cdef h5_bytes pending_checksums    # headers in `out` whose checksums are not computed yet
    cdef h5_bytes links       # link messages of the groups that are being written, one after another
    cdef h5_bytes attributes  # attribute messages of the next object
    cdef h5_bytes references  # to the text of the next dataset
    cdef size_t attribute_count
    cdef uint64_t attribute_heap, attribute_tree
    cdef h5_heap heap
    cdef size_t checksummed        # bytes of `out` in which no checksum is missing
    cdef uint64_t base        # address of the first byte in `out`
    cdef int level            # instruction set, see simd.h
    cdef h5_writer *writer    # computes checksums and writes, from the second buffer on
    cdef bint no_writer_thread           # there is no such thread
    cdef dict written         # nodes with several names: the ID of one, its address and how many names are to come
    cdef uint32_t name_count  # of the node that is about to be written

    def __init__(
        self, Vocabulary vocabulary not None, escapes, arrays, *, scalar_limit, max_depth, fill_bytes, sink, int level
    ):
        self.level = level
        self.rules = Preflight(vocabulary, escapes, arrays, scalar_limit, max_depth)
        self.nodes, self.null_type = vocabulary.nodes, vocabulary.null_type
        self.escape_link, self.escape_attribute = escapes
        self.arrays, self.fill_bytes, self.sink = arrays, fill_bytes, sink
        self.written, self.name_count = {}, 1
        self.utf8, self.ascii, self.boolean = vocabulary.utf8, vocabulary.ascii, vocabulary.boolean
        self.integer, self.real = vocabulary.integer, vocabulary.real
        self.complex_number = vocabulary.complex_number

    def __dealloc__(self):
        h5_writer_end(self.writer)
        h5_free(&self.out)
        h5_free(&self.pending_checksums)
        h5_free(&self.links)
        h5_free(&self.attributes)
        h5_free(&self.references)

    # ---- the bytes of the file ----------------------------------------------------------------------------------

    def start_at(self, uint64_t address):
        """Go on behind what the file holds already; before anything else."""
        self.base = address

    def write(self, tree) -> int:
        """Write a tree, or an array alone. Returns the address of its header. Raises as `preflight`."""
        self.preflight(tree)
        self.name_count = 1
        return self.dataset(tree) if self.nodes.is_array(tree) else self.group(tree)

    def share_names(self, TreeWriter checked) -> None:
        """Take how many names nodes have from a check of all that will be written, in place of one for each."""
        self.rules.names, self.rules.counts_names = checked.rules.names, False

    def preflight(self, tree) -> None:
        """Raise `NeedsLibhdf5Error` for a tree, or an array, that only libhdf5 writes."""
        if self.nodes.is_array(tree):
            self.rules.preflight_array(tree)
        else:
            self.rules.preflight_group(tree, 0)

    def preflight_attributes(self, dict attrs) -> None:
        """As `preflight`, for attributes."""
        self.rules.preflight_attributes(attrs)

    def attribute_messages(self, dict attrs) -> list:
        """The bodies of the messages of attributes that are checked, in order; text goes to the global heap."""
        cdef size_t at = 0, size
        cdef const uint8_t *body
        cdef list bodies = []
        self.attributes.length = 0
        for name, value in attrs.items():
            at = h5_body_begin(&self.attributes)
            self.put_attribute(name, value)
            h5_body_end(&self.attributes, at)
        if self.attributes.failed:
            raise MemoryError()
        at = 0
        while at < self.attributes.length:
            body = h5_next_body(&self.attributes, &at, &size)
            bodies.append(PyBytes_FromStringAndSize(<const char *>body, <Py_ssize_t>size))
        self.attributes.length = 0
        return bodies

    def dense_attributes(self, list bodies) -> tuple:
        """Keep the bodies of attribute messages (version 3) in dense storage: addresses of its heap and its index."""
        cdef uint64_t heap = H5_UNDEFINED, tree = H5_UNDEFINED
        cdef size_t start
        cdef bytes body
        self.attributes.length = 0
        for body in bodies:
            start = h5_body_begin(&self.attributes)
            h5_put_bytes(&self.attributes, PyBytes_AS_STRING(body), <size_t>PyBytes_GET_SIZE(body))
            h5_body_end(&self.attributes, start)
        h5_put_dense_attributes(&self.out, self.base, &self.attributes, 0, <size_t>len(bodies), &heap, &tree)
        self.attributes.length = 0
        self.flush_if_full()
        return heap, tree

    def finish(self) -> int:
        """Write what is gathered, and wait until it is written. Returns the address of the next byte."""
        self.flush()
        self.wait()
        return self.base

    def close(self):
        """End the thread that writes; nothing may be written any more."""
        with nogil:
            h5_writer_end(self.writer)
        self.writer = NULL
        self.no_writer_thread = True

    def payload(self, const uint8_t[::1] view) -> int:
        """Write raw bytes. Returns their address."""
        cdef uint64_t address
        if view.shape[0] <= COPIED_BYTES:
            address = self.base + self.out.length
            h5_put_bytes(&self.out, &view[0] if view.shape[0] else NULL, <size_t>view.shape[0])
            self.flush_if_full()
            return address
        self.flush()
        self.wait()
        address = self.base
        self.sink.write(memoryview(view))
        self.base += <uint64_t>view.shape[0]
        return address

    def append(self, bytes metadata) -> int:
        """Gather bytes of metadata. Returns their address."""
        cdef uint64_t address = self.base + self.out.length
        h5_put_bytes(&self.out, PyBytes_AS_STRING(metadata), <size_t>PyBytes_GET_SIZE(metadata))
        return address

    cdef int flush(self) except -1:
        """Hand over what is gathered: to the thread, if there is one and it is worth the while."""
        h5_heap_close(&self.heap, &self.out)
        if self.out.failed or self.links.failed or self.attributes.failed or self.references.failed:
            raise MemoryError()
        if self.pending_checksums.failed:
            raise MemoryError()
        if not self.out.length:
            return 0
        cdef uint64_t length = self.out.length
        if self.out.length >= FLUSH_BYTES and self.base and not self.no_writer_thread and self.writer == NULL:
            self.writer = h5_writer_start(self.sink.descriptor(), self.level)
            self.no_writer_thread = self.writer == NULL
        self.wait()
        if self.out.length >= FLUSH_BYTES and self.writer != NULL:
            self.sink.expect(length)
            with nogil:
                h5_writer_give(self.writer, &self.out, &self.pending_checksums)
        else:
            self.write_checksums()
            self.sink.write(PyMemoryView_FromMemory(<char *>self.out.data, <Py_ssize_t>length, PyBUF_READ))
        self.base += length
        self.out.length = self.checksummed = 0
        return 0

    cdef int wait(self) except -1:
        """Until the thread has written what it was given."""
        cdef int error = 0
        if self.writer != NULL:
            with nogil:
                error = h5_writer_wait(self.writer)
        if error:
            raise OSError(error, os.strerror(error))
        return 0

    cdef void write_checksums(self):
        h5_write_checksums(
            self.level,
            self.out.data,
            <h5_pending_checksum *>self.pending_checksums.data,
            self.pending_checksums.length // sizeof(h5_pending_checksum),
        )
        self.pending_checksums.length = 0
        self.checksummed = self.out.length

    cdef int flush_if_full(self) except -1:
        if self.out.length >= FLUSH_BYTES or self.out.failed:
            self.flush()
        elif (
            self.writer == NULL
            and self.out.length >= self.checksummed + CHECKSUMMED_BYTES
            and not self.pending_checksums.failed
        ):
            self.write_checksums()
        return 0

    # ---- groups and datasets ------------------------------------------------------------------------------------

    cdef uint64_t group(self, node) except 0:
        cdef size_t mark = self.links.length, start, count = 0
        cdef uint32_t name_count = self.name_count
        cdef uint64_t address, heap = H5_UNDEFINED, tree = H5_UNDEFINED
        cdef dict children = self.nodes.children(node)
        self.nodes.fetch(children, True)
        for name, child in children.items():
            self.link(name, self.child(child))
            count += 1
        if self.nodes.links(node):
            for name, target in (<dict>self.nodes.links(node)).items():
                self.link_to(name, target)
                count += 1
        self.gather_attributes(<dict>self.nodes.group_attrs(node))
        if count > COMPACT_LINKS:
            h5_put_dense_links(&self.out, self.base, &self.links, mark, count, &heap, &tree)
            count = 0
        start = h5_header_begin(&self.out)
        h5_put_group_info(&self.out, count, heap, tree)
        if count:
            h5_put_bodies(&self.out, H5_LINK, &self.links, mark)
        self.links.length = mark
        self.name_count = name_count
        return self.end_object(start)

    cdef uint64_t child(self, node) except 0:
        """Write a node, unless it is written: what is at several places of a tree is one object with several names."""
        cdef uint64_t address
        cdef Py_ssize_t to_come
        self.name_count = 1
        if Py_REFCNT(node) <= ONE_NAME:
            return self.dataset(node) if self.nodes.is_array(node) else self.group(node)
        key = <size_t><PyObject *>node
        address, to_come = self.written.get(key, (0, 0))
        if not to_come:
            to_come = self.rules.names.get(key, 1)
            self.name_count = <uint32_t>to_come
            address = self.dataset(node) if self.nodes.is_array(node) else self.group(node)
        if to_come > 1:
            self.written[key] = address, to_come - 1
        else:
            self.written.pop(key, None)
        return address

    cdef int link_to(self, name, target) except -1:
        cdef Py_ssize_t length
        cdef object stored = stored_name(name, self.escape_link)
        cdef const char *text = PyUnicode_AsUTF8AndSize(stored, &length)
        cdef bytes value = link_value(target)
        cdef size_t start = h5_body_begin(&self.links)
        h5_put_link_to(&self.links, H5_SOFT_LINK if isinstance(target, str) else H5_EXTERNAL_LINK, text, <size_t>length,
                       PyBytes_AS_STRING(value), <size_t>PyBytes_GET_SIZE(value))
        h5_body_end(&self.links, start)
        return 0

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
        data, storage = self.nodes.data(node), self.nodes.storage(node)
        if isinstance(data, cnp.ndarray):
            datatype = self.rules.datatype(dtype_of(<cnp.ndarray>data))
            if self.rules.is_compact(<cnp.ndarray>data, datatype, storage):
                return self.compact_dataset(<cnp.ndarray>data, datatype, node)
            if datatype.text:
                return self.text_dataset(<cnp.ndarray>data, node)
            return self.chunked_dataset(data, datatype, node)
        if data is None:
            return self.null_dataset(self.null_datatype(null_dtype(storage)), node)
        if isinstance(data, self.null_type):
            return self.null_dataset(self.null_datatype(data.dtype), node)
        datatype = self.rules.datatype(data.dtype)
        if self.rules.fits_header(source_bytes(data), storage):
            return self.compact_dataset(whole_source(data), datatype, node)
        return self.chunked_dataset(data, datatype, node)

    cdef Datatype null_datatype(self, dtype):
        """Of what has no elements: text is told by what h5py says of its dtype."""
        if dtype is None:
            return self.real
        if dtype.kind == "O":
            return self.ascii if (dtype.metadata or {}).get("vlen") is bytes else self.utf8
        return self.rules.datatype(dtype)

    cdef uint64_t null_dataset(self, Datatype datatype, node) except 0:
        cdef size_t start
        self.gather_attributes(<dict>self.nodes.array_attrs(node))
        start = self.begin_dataset(datatype, H5_NULL_SPACE, NULL, NULL, SPACE_LATE, None)
        h5_put_contiguous_layout(&self.out, H5_UNDEFINED, 0)
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
        self.gather_attributes(<dict>self.nodes.array_attrs(node))
        start = self.begin_dataset(datatype, cnp.PyArray_NDIM(array), <const Py_ssize_t *>cnp.PyArray_DIMS(array),
                                   NULL, SPACE_EARLY if size else SPACE_LATE, self.nodes.storage(node))
        if size:
            place = h5_put_compact_layout(&self.out, <size_t>size)
            if place != NULL:
                memcpy(place, elements, <size_t>size)
        else:
            h5_put_contiguous_layout(&self.out, H5_UNDEFINED, 0)
        return self.end_object(start)

    cdef uint64_t text_dataset(self, cnp.ndarray array, node) except 0:
        """References in one contiguous run: HDF5 has no filters for them."""
        cdef Datatype datatype = self.gather_references(array)
        cdef uint64_t size = self.references.length, address
        cdef size_t start
        address = self.payload(PyMemoryView_FromMemory(<char *>self.references.data, <Py_ssize_t>size, PyBUF_READ))
        self.gather_attributes(<dict>self.nodes.array_attrs(node))
        start = self.begin_dataset(datatype, cnp.PyArray_NDIM(array), <const Py_ssize_t *>cnp.PyArray_DIMS(array),
                                   NULL, SPACE_LATE, None)
        h5_put_contiguous_layout(&self.out, address, size)
        return self.end_object(start)

    cdef uint64_t chunked_dataset(self, data, Datatype datatype, node) except 0:
        """The data first, by way of `arrays`; then a header that knows where they are."""
        cdef bytes layout, pipeline
        cdef size_t start
        cdef Py_ssize_t shape[HIGHEST_RANK]
        cdef uint64_t limits[HIGHEST_RANK]
        cdef int rank = len(data.shape), axis
        storage = self.nodes.storage(node)
        layout, pipeline = self.arrays.store(self, data, storage)
        for axis in range(rank):
            shape[axis] = data.shape[axis]
            limits[axis] = data.shape[axis]
            if grows(storage):
                limits[axis] = H5_UNDEFINED if storage.maxshape[axis] is None else storage.maxshape[axis]
        self.gather_attributes(<dict>self.nodes.array_attrs(node))
        start = self.begin_dataset(datatype, rank, shape, limits, SPACE_INCREMENTAL, storage)
        self.put_message(H5_FILTER_PIPELINE, pipeline, H5_CONSTANT)
        self.put_message(H5_DATA_LAYOUT, layout, 0)
        return self.end_object(start)

    cdef size_t begin_dataset(self, Datatype datatype, int rank, const Py_ssize_t *shape, const uint64_t *limits,
                              int space_allocation, storage):
        """A header that says the maximum dimensions always: without them libhdf5 resizes what it should not."""
        cdef size_t start = h5_header_begin(&self.out)
        cdef bytes fill = b""
        if storage is not None and storage.fillvalue is not None:
            fill = self.fill_bytes(storage.fillvalue, datatype.dtype)
        h5_put_message(&self.out, H5_DATASPACE, h5_dataspace_size(rank, True), 0)
        h5_put_dataspace(&self.out, rank, shape, True, limits)
        self.put_message(H5_DATATYPE, datatype.message, H5_CONSTANT)
        h5_put_fill_value(&self.out, space_allocation, PyBytes_AS_STRING(fill), <size_t>PyBytes_GET_SIZE(fill))
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
        if self.name_count > 1:
            h5_put_name_count(&self.out, self.name_count)
        h5_header_end(&self.out, start, &self.pending_checksums)
        self.flush_if_full()
        return address

    # ---- attributes and text ------------------------------------------------------------------------------------

    cdef int gather_attributes(self, dict attrs) except -1:
        """Encode the attributes of the object that is about to be written. What is outside its header goes out."""
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
        cdef double number[2]
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
            number[0], number[1] = value.real, value.imag  # C's own complex type makes a NaN of 0 + inf j
            self.put_scalar(name, self.complex_number, number, 16)
        elif value is None:
            self.begin_attribute(name, self.real, H5_NULL_SPACE, NULL)
        elif isinstance(value, self.null_type):
            self.begin_attribute(name, self.null_datatype(value.dtype), H5_NULL_SPACE, NULL)
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
        cdef Datatype datatype = self.rules.datatype(dtype_of(array))
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
        """ASCII if the first element is `bytes`; the preflight saw that all are alike."""
        if not array.size:
            return self.null_datatype(dtype_of(array))
        return self.ascii if isinstance(array.flat[0], bytes) else self.utf8

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
