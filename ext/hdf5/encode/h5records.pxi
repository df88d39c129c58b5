# ext/hdf5/encode/h5records.pxi — structures that edits write anew, from parts that stay the bytes that they are.

cdef enum:
    MESSAGE_BYTES = 65535  # of one message of a header
    HEADER_FLAGS = 0x3C    # of an object header: times, phase change, order of attributes tracked and indexed
    HAS_ORDER = 0x04
    SIZE_OF_FOUR = 2       # header flag: the size of its first part has 4 bytes


cdef inline uint8_t *put_number(uint8_t *place, uint64_t value, int width) noexcept:
    """Little-endian. Returns the place behind it."""
    cdef int i
    for i in range(width):
        place[i] = <uint8_t>(value >> 8 * i)
    return place + width


cdef inline uint8_t *put_all(uint8_t *place, bytes data) noexcept:
    memcpy(place, PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data))
    return place + PyBytes_GET_SIZE(data)


def object_header(int flags, bytes times not None, bytes phase not None, list messages not None) -> bytes:
    """A version 2 header in one part, its checksum at the end.

    messages: type, flags, body, and the order of their making, which is written where `flags` says so.
    """
    cdef bint tracked = (flags & HAS_ORDER) != 0
    cdef Py_ssize_t size = 0, before = 10 + PyBytes_GET_SIZE(times) + PyBytes_GET_SIZE(phase)
    cdef Py_ssize_t framed = 6 if tracked else 4
    cdef bytes body, out
    cdef uint8_t *place
    cdef uint8_t *start
    for message in messages:
        body = message[2]
        if PyBytes_GET_SIZE(body) > MESSAGE_BYTES:
            raise ValueError(f"a message of {len(body)} bytes: a header holds at most {MESSAGE_BYTES}")
        size += framed + PyBytes_GET_SIZE(body)
    out = PyBytes_FromStringAndSize(NULL, before + size + 4)
    start = place = <uint8_t *>PyBytes_AS_STRING(out)
    place = put_all(place, b"OHDR\x02")
    place = put_number(place, <uint64_t>((flags & HEADER_FLAGS) | SIZE_OF_FOUR), 1)
    place = put_all(put_all(place, times), phase)
    place = put_number(place, <uint64_t>size, 4)
    for message in messages:
        body = message[2]
        place = put_number(place, <uint64_t>message[0], 1)
        place = put_number(place, <uint64_t>PyBytes_GET_SIZE(body), 2)
        place = put_number(place, <uint64_t>message[1], 1)
        if tracked:
            place = put_number(place, <uint64_t>message[3], 2)
        place = put_all(place, body)
    put_number(place, h5_lookup3(start, <size_t>(place - start)), 4)
    return out


def tree_node(int kind, list records not None, list children not None, int own_width, int total_width,
              Py_ssize_t node_bytes) -> bytes:
    """A node of a version 2 B-tree, its checksum behind its content, and zeros up to its size.

    children: address, number of own records and of all of the nodes below; none for a leaf. The widths are the bytes
    of both numbers; there may be none of the second.
    """
    cdef Py_ssize_t size = 6
    cdef bytes record, out
    cdef uint8_t *place
    cdef uint8_t *start
    for record in records:
        size += PyBytes_GET_SIZE(record)
    size += len(children) * (8 + own_width + total_width)
    if size + 4 > node_bytes:
        raise ValueError(f"a node of {size + 4} bytes: it holds at most {node_bytes}")
    out = PyBytes_FromStringAndSize(NULL, node_bytes)
    start = place = <uint8_t *>PyBytes_AS_STRING(out)
    place = put_all(place, b"BTIN\0" if children else b"BTLF\0")
    place = put_number(place, <uint64_t>kind, 1)
    for record in records:
        place = put_all(place, record)
    for child in children:
        place = put_number(place, <uint64_t>child[0], 8)
        place = put_number(place, <uint64_t>child[1], own_width)
        place = put_number(place, <uint64_t>child[2], total_width)
    place = put_number(place, h5_lookup3(start, <size_t>(place - start)), 4)
    memset(place, 0, <size_t>(node_bytes - (place - start)))
    return out
