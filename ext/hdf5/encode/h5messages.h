/* h5messages.h — object headers (version 2) and their messages, by the names of the HDF5 File Format Specification. */
#ifndef H5BURST_MESSAGES_H
#define H5BURST_MESSAGES_H

#include "h5checksums.h"

enum {
    H5_DATASPACE = 0x01,
    H5_LINK_INFO = 0x02,
    H5_DATATYPE = 0x03,
    H5_FILL_VALUE = 0x05,
    H5_LINK = 0x06,
    H5_DATA_LAYOUT = 0x08,
    H5_GROUP_INFO = 0x0A,
    H5_FILTER_PIPELINE = 0x0B,
    H5_ATTRIBUTE = 0x0C,
    H5_ATTRIBUTE_INFO = 0x15,
    H5_REFERENCE_COUNT = 0x16
};

enum { H5_NULL_SPACE = -1 };       /* as a rank: no elements at all, not even one */
enum { H5_CONSTANT = 1, H5_NOT_SHARED = 4 }; /* message flags: it never changes; it is never shared */
enum { H5_MESSAGE_LIMIT = 65535 }; /* bytes in one message: its size field has 16 bits */
enum { H5_DEFAULT_PHASE = 8 };     /* links that a header holds when it names no number itself */

/* Prefix of an object header; the size of its only chunk (4 bytes) is filled in by h5_header_end. It names no phase
 * change for attributes even when there are more than the default number: libhdf5 does not look before the next one
 * is added, and simpler readers do not know those fields. */
static inline size_t h5_header_begin(h5_bytes *b)
{
    size_t start = b->length;
    h5_put_bytes(b, "OHDR", 4);
    h5_put8(b, 2);    /* version */
    h5_put8(b, 0x02); /* flags: 4-byte size of chunk 0; no times, attribute order untracked */
    h5_put32(b, 0);   /* size of chunk 0 */
    return start;
}

/* Leaves room for the checksum, which `h5_write_checksums` fills in, and notes the header in `pending_checksums`. */
static inline void h5_header_end(h5_bytes *b, size_t start, h5_bytes *pending_checksums)
{
    h5_pending_checksum header = {start, b->length - start};
    h5_patch(b, start + 6, b->length - start - 10, 4);
    h5_put32(b, 0);
    h5_put_bytes(pending_checksums, &header, sizeof header);
}

static inline void h5_put_message(h5_bytes *b, int type, size_t size, int flags)
{
    h5_put8(b, (uint8_t)type);
    h5_put16(b, (uint16_t)size);
    h5_put8(b, (uint8_t)flags);
}

/* Of a dataspace with maximum dimensions (`limited`), or without. */
static inline size_t h5_dataspace_size(int rank, int limited)
{
    return rank > 0 ? 4 + (limited ? 16 : 8) * (size_t)rank : 4;
}

/* Dataspace, version 2. limited: with maximum dimensions: `limits`, or the current ones where that is NULL. Datasets
 * need them: where they are absent, libhdf5 lets a dataset be resized beyond what its chunk index has room for. */
static inline void h5_put_dataspace(h5_bytes *b, int rank, const Py_ssize_t *shape, int limited,
                                    const uint64_t *limits)
{
    h5_put8(b, 2);                                               /* version */
    h5_put8(b, (uint8_t)(rank > 0 ? rank : 0));                  /* dimensionality */
    h5_put8(b, (uint8_t)(limited && rank > 0));                  /* flags: maximum dimensions are present */
    h5_put8(b, (uint8_t)(rank == H5_NULL_SPACE ? 2 : rank > 0)); /* type: 0 scalar, 1 simple, 2 null */
    for (int i = 0; i < rank; i++)
        h5_put64(b, (uint64_t)shape[i]);
    for (int i = 0; limited && i < rank; i++)
        h5_put64(b, limits != NULL ? limits[i] : (uint64_t)shape[i]);
}

/* Fill value, version 3: `size` bytes, none for the default value; written if set. space_allocation: 1 early, 2 late,
 * 3 incremental. */
static inline void h5_put_fill_value(h5_bytes *b, int space_allocation, const void *value, size_t size)
{
    h5_put_message(b, H5_FILL_VALUE, size ? 6 + size : 2, H5_CONSTANT);
    h5_put8(b, 3);
    h5_put8(b, (uint8_t)(space_allocation | 2 << 2 | (size ? 0x20 : 0)));
    if (size) {
        h5_put32(b, (uint32_t)size);
        h5_put_bytes(b, value, size);
    }
}

/* Data layout, version 4, compact: room for the data, which the caller copies in; NULL without memory. */
static inline uint8_t *h5_put_compact_layout(h5_bytes *b, size_t size)
{
    h5_put_message(b, H5_DATA_LAYOUT, 4 + size, 0);
    h5_put8(b, 4); /* version */
    h5_put8(b, 0); /* layout class: compact */
    h5_put16(b, (uint16_t)size);
    return h5_extend(b, size);
}

/* Data layout, version 4, contiguous. Of nothing: an undefined address, no size. */
static inline void h5_put_contiguous_layout(h5_bytes *b, uint64_t address, uint64_t size)
{
    h5_put_message(b, H5_DATA_LAYOUT, 18, 0);
    h5_put8(b, 4); /* version */
    h5_put8(b, 1); /* layout class: contiguous */
    h5_put64(b, address);
    h5_put64(b, size);
}

/* Link Info and Group Info: where the links are, and how many the header may hold. */
static inline void h5_put_group_info(h5_bytes *b, size_t compact_links, uint64_t heap, uint64_t tree)
{
    int phase = compact_links > H5_DEFAULT_PHASE;
    h5_put_message(b, H5_LINK_INFO, 18, 0);
    h5_put8(b, 0);      /* version */
    h5_put8(b, 0);      /* flags: creation order neither tracked nor indexed */
    h5_put64(b, heap);  /* fractal heap address */
    h5_put64(b, tree);  /* address of v2 B-tree for name index */
    h5_put_message(b, H5_GROUP_INFO, phase ? 6 : 2, H5_CONSTANT);
    h5_put8(b, 0);              /* version */
    h5_put8(b, (uint8_t)phase); /* flags: link phase change values stored */
    if (phase) {
        h5_put16(b, (uint16_t)compact_links); /* maximum # of compact links */
        h5_put16(b, 6);                       /* minimum # of dense links */
    }
}

static inline void h5_put_attribute_info(h5_bytes *b, uint64_t heap, uint64_t tree)
{
    h5_put_message(b, H5_ATTRIBUTE_INFO, 18, H5_NOT_SHARED);
    h5_put8(b, 0);     /* version */
    h5_put8(b, 0);     /* flags: creation order neither tracked nor indexed */
    h5_put64(b, heap); /* fractal heap address */
    h5_put64(b, tree); /* attribute name v2 B-tree address */
}

/* How many hard links lead to the object; without it there is one. */
static inline void h5_put_name_count(h5_bytes *b, uint32_t count)
{
    h5_put_message(b, H5_REFERENCE_COUNT, 5, H5_NOT_SHARED);
    h5_put8(b, 0); /* version */
    h5_put32(b, count);
}

static inline int h5_is_ascii(const char *name, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)name[i] > 127)
            return 0;
    return 1;
}

/* The body of a link message, version 1, to an object header in this file. */
static inline void h5_put_link(h5_bytes *b, const char *name, size_t length, uint64_t address)
{
    int utf8 = !h5_is_ascii(name, length);
    int wide = length > 255;
    h5_put8(b, 1);                             /* version */
    h5_put8(b, (uint8_t)(wide | utf8 << 4));   /* flags: width of the length field; character set present */
    if (utf8)
        h5_put8(b, 1); /* link name character set: UTF-8 */
    h5_put(b, length, wide ? 2 : 1);
    h5_put_bytes(b, name, length);
    h5_put64(b, address);
}

enum { H5_SOFT_LINK = 1, H5_EXTERNAL_LINK = 64 };

/* The body of a link message of a soft link (value: a path) or an external one (value: a byte of version and
 * flags, the names of file and object, each with a NUL). */
static inline void h5_put_link_to(h5_bytes *b, int type, const char *name, size_t length, const void *value,
                                  size_t size)
{
    int utf8 = !h5_is_ascii(name, length);
    int wide = length > 255;
    h5_put8(b, 1);                                   /* version */
    h5_put8(b, (uint8_t)(wide | 1 << 3 | utf8 << 4)); /* flags: width of the length; link type, character set present */
    h5_put8(b, (uint8_t)type);
    if (utf8)
        h5_put8(b, 1); /* link name character set: UTF-8 */
    h5_put(b, length, wide ? 2 : 1);
    h5_put_bytes(b, name, length);
    h5_put16(b, (uint16_t)size);
    h5_put_bytes(b, value, size);
}

/* The body of an attribute message, version 3, up to its data. rank as for dataspaces. */
static inline void h5_put_attribute(h5_bytes *b, const char *name, size_t length, const void *datatype,
                                    size_t datatype_size, int rank, const Py_ssize_t *shape)
{
    h5_put8(b, 3);                                            /* version */
    h5_put8(b, 0);                                            /* flags: neither datatype nor dataspace shared */
    h5_put16(b, (uint16_t)(length + 1));                      /* name size */
    h5_put16(b, (uint16_t)datatype_size);                     /* datatype size */
    h5_put16(b, (uint16_t)h5_dataspace_size(rank, 0));        /* dataspace size */
    h5_put8(b, (uint8_t)!h5_is_ascii(name, length));          /* name character set encoding: 0 ASCII, 1 UTF-8 */
    h5_put_bytes(b, name, length);
    h5_put8(b, 0);
    h5_put_bytes(b, datatype, datatype_size);
    h5_put_dataspace(b, rank, shape, 0, NULL);
}

/* Where a link's or an attribute's message keeps its name. */
static inline const char *h5_link_name(const uint8_t *message, size_t *length)
{
    int wide = message[1] & 1;
    const uint8_t *field = message + (message[1] & 0x10 ? 3 : 2);
    *length = wide ? field[0] | (size_t)field[1] << 8 : field[0];
    return (const char *)field + 1 + wide;
}

static inline const char *h5_attribute_name(const uint8_t *message, size_t *length)
{
    *length = (message[2] | (size_t)message[3] << 8) - 1;
    return (const char *)message + 9;
}

/* ---- bodies of messages, gathered one after another before their header is written: 8 bytes of size, then a body - */

enum { H5_BODY_PREFIX = 8 };

static inline size_t h5_body_begin(h5_bytes *bodies)
{
    h5_put64(bodies, 0);
    return bodies->length;
}

static inline size_t h5_body_end(h5_bytes *bodies, size_t start)
{
    size_t size = bodies->length - start;
    if (!bodies->failed)
        memcpy(bodies->data + start - H5_BODY_PREFIX, &size, sizeof size);
    return size;
}

/* The body behind the prefix at `at`; moves `at` to the next prefix. */
static inline const uint8_t *h5_next_body(const h5_bytes *bodies, size_t *at, size_t *size)
{
    const uint8_t *body = bodies->data + *at + H5_BODY_PREFIX;
    memcpy(size, bodies->data + *at, sizeof *size);
    *at += H5_BODY_PREFIX + *size;
    return body;
}

/* All bodies from `start` on as messages of one type. */
static inline void h5_put_bodies(h5_bytes *b, int type, const h5_bytes *bodies, size_t start)
{
    size_t size;
    while (start < bodies->length && !bodies->failed) {
        const uint8_t *body = h5_next_body(bodies, &start, &size);
        h5_put_message(b, type, size, 0);
        h5_put_bytes(b, body, size);
    }
}

#endif
