# ext/hdf5/encode/h5structures.pxi — what the C headers give to the writer.
cdef extern from "Python.h":
    int64_t PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1

cdef extern from "h5nodes.h":
    Py_ssize_t h5_slot_offset(object type, const char *name) except -1
    PyObject *h5_slot(object node, Py_ssize_t offset) except NULL
    void h5_prefetch(const void *) nogil

cdef extern from "h5bytes.h" nogil:
    const uint64_t H5_UNDEFINED
    ctypedef struct h5_bytes:
        uint8_t *data
        size_t length
        bint failed
    void h5_free(h5_bytes *)
    void h5_put_bytes(h5_bytes *, const void *, size_t)
    uint32_t h5_lookup3(const uint8_t *, size_t)

cdef extern from "h5checksums.h" nogil:
    ctypedef struct h5_pending_checksum:
        pass
    void h5_write_checksums(int level, uint8_t *data, const h5_pending_checksum *structures, size_t count)

cdef extern from "h5writer.h" nogil:
    ctypedef struct h5_writer:
        pass
    h5_writer *h5_writer_start(int descriptor, int level)
    int h5_writer_wait(h5_writer *)
    int h5_writer_give(h5_writer *, h5_bytes *out, h5_bytes *pending_checksums)
    void h5_writer_end(h5_writer *)

cdef extern from "h5messages.h" nogil:
    const int H5_DATASPACE, H5_DATATYPE, H5_LINK, H5_DATA_LAYOUT, H5_FILTER_PIPELINE, H5_ATTRIBUTE
    const int H5_CONSTANT, H5_NULL_SPACE, H5_MESSAGE_LIMIT
    size_t h5_header_begin(h5_bytes *)
    void h5_header_end(h5_bytes *, size_t start, h5_bytes *pending_checksums)
    void h5_put_message(h5_bytes *, int type, size_t size, int flags)
    size_t h5_dataspace_size(int rank, int limited)
    void h5_put_dataspace(h5_bytes *, int rank, const Py_ssize_t *shape, int limited, const uint64_t *limits)
    void h5_put_fill_value(h5_bytes *, int space_allocation, const void *value, size_t size)
    uint8_t *h5_put_compact_layout(h5_bytes *, size_t size)
    void h5_put_contiguous_layout(h5_bytes *, uint64_t address, uint64_t size)
    void h5_put_group_info(h5_bytes *, size_t compact_links, uint64_t heap, uint64_t tree)
    void h5_put_attribute_info(h5_bytes *, uint64_t heap, uint64_t tree)
    void h5_put_name_count(h5_bytes *, uint32_t count)
    void h5_put_link(h5_bytes *, const char *name, size_t length, uint64_t address)
    const int H5_SOFT_LINK, H5_EXTERNAL_LINK
    void h5_put_link_to(h5_bytes *, int type, const char *name, size_t length, const void *value, size_t size)
    void h5_put_attribute(h5_bytes *, const char *name, size_t length, const void *datatype, size_t datatype_size,
                          int rank, const Py_ssize_t *shape)
    size_t h5_body_begin(h5_bytes *)
    size_t h5_body_end(h5_bytes *, size_t start)
    const uint8_t *h5_next_body(const h5_bytes *, size_t *at, size_t *size)
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
