# The records of commits (see `h5burst.format.history`): from one to an earlier one, by the jumps that each holds.

cdef enum:  # places in a record of version 1
    RECORD_VERSION = 8
    RECORD_LENGTH = 12
    RECORD_NUMBER = 16
    RECORD_ADDRESS = 24
    RECORD_JUMPS = 112
    RECORD_TEXTS = 200  # from here on; the checksum is behind them
    JUMPS = 5


cdef const uint8_t* sound_record(Source source, uint64_t address) except? NULL:
    """The bytes of the record of a commit; NULL where there is none, or it is damaged."""
    cdef uint64_t length
    cdef const uint8_t* p
    if address > source.size or source.size - address < RECORD_TEXTS + 4:
        return NULL
    p = source.view(address, RECORD_TEXTS)
    length = u32(p + RECORD_LENGTH)
    if memcmp(p, b"H5B\0comt", 8) or u16(p + RECORD_VERSION) != 1 or u64(p + RECORD_ADDRESS) != address:
        return NULL
    if length < RECORD_TEXTS + 4 or length > source.size - address:
        return NULL
    p = source.view(address, length)
    return p if h5_lookup3(p, length - 4) == u32(p + length - 4) else NULL


def nearest_record(Source source, uint64_t address, uint64_t wanted) -> tuple[int, int]:
    """Number and address of the record of commit `wanted`, or of the last sound one on the shortest way to it.

    address: of a later record, or the same. The number is 0 where that is not sound.
    """
    cdef uint64_t found_number = 0, found_address = address, number = 0, each, place
    cdef const uint8_t* p = sound_record(source, address)
    cdef int i
    while p != NULL and (not number or u64(p + RECORD_NUMBER) == number):
        found_number, found_address = u64(p + RECORD_NUMBER), address
        number = found_number
        for i in range(JUMPS):
            each, place = u64(p + RECORD_JUMPS + 16 * i), u64(p + RECORD_JUMPS + 16 * i + 8)
            if wanted <= each < number and place < found_address:
                number, address = each, place
        if number == found_number:
            break
        p = sound_record(source, address)
    return found_number, found_address
