# The bytes of an open file: bounds first, then a small cache of blocks.

cdef extern from "positioned_read.h":
    int READ_AT_END
    int read_at(int descriptor, uint8_t* out, size_t length, uint64_t offset) nogil

cdef extern from "h5bytes.h":
    uint32_t h5_lookup3(const uint8_t* k, size_t length) nogil

cdef extern from "shuffle.h":
    uint32_t fletcher32_bytes(const uint8_t* data, size_t size) nogil


cdef enum:
    MAX_PARSED = 16  # bytes of structures read, for each byte of the file
    MIN_PARSED = 1 << 20
    TOGETHER_BYTES = 1 << 17  # of pieces of elements, and of what is between them, in one call of the system


def lookup3(const uint8_t[::1] data) -> int:
    """The checksum of HDF5's metadata."""
    return h5_lookup3(&data[0], data.shape[0]) if data.shape[0] else h5_lookup3(NULL, 0)


@cython.final
cdef class Source:
    """A file's bytes by address: counted from `base`, never beyond the end.

    descriptor: of a file open for reading, which the caller closes. block_bytes: a power of two; `slots` of them are
    kept, so that parsing neighbours costs no system call. reader: called with an offset and a buffer to fill, in place
    of the descriptor. Not for several threads at once, but for `read_into`.
    """

    cdef readonly int descriptor
    cdef readonly uint64_t size, base
    cdef uint64_t block_bytes
    cdef int shift, slots
    cdef uint8_t* blocks
    cdef uint64_t* held  # number of the block in each slot
    cdef uint64_t parsed, max_parsed  # bytes looked at as structures; more than a file can need is not an honest file
    cdef uint8_t* spill  # a run that crosses blocks
    cdef size_t spill_room
    cdef readonly object reader

    def __cinit__(self, int descriptor, uint64_t file_size, uint64_t base=0, uint64_t block_bytes=1 << 16,
                  int slots=16, reader=None):
        self.descriptor = descriptor
        self.reader = reader
        self.base = base
        self.size = file_size - base if file_size > base else 0
        self.max_parsed = MAX_PARSED * self.size + MIN_PARSED
        self.block_bytes = block_bytes
        self.shift = 0
        while (<uint64_t>1 << self.shift) < block_bytes:
            self.shift += 1
        self.slots = slots

    def __dealloc__(self):
        PyMem_Free(self.blocks)
        PyMem_Free(self.held)
        PyMem_Free(self.spill)

    cdef int check(self, uint64_t address, uint64_t length) except -1:
        if address > self.size or length > self.size - address:
            raise CorruptStructureError(f"{length} bytes at address {address} are beyond the end of the file")
        return 0

    cdef int count(self, uint64_t length) except -1:
        """Bound the time that a file can take: no two structures of an honest one overlap, and few are read twice."""
        self.parsed += length
        if self.parsed > self.max_parsed:
            raise CorruptStructureError("its structures overlap: together they are many times as long as the file")
        return 0

    def look_through(self, int descriptor, uint64_t file_size) -> None:
        """Go on with the same file through another descriptor, after bytes were appended to it.

        What was read stays known, but for the first bytes and those around the end.
        """
        cdef uint64_t ended = self.size >> self.shift
        cdef int i
        self.descriptor = descriptor
        self.size = file_size - self.base if file_size > self.base else 0
        self.max_parsed = MAX_PARSED * self.size + MIN_PARSED
        self.parsed = 0
        if self.blocks != NULL:
            for i in range(self.slots):
                if self.held[i] == 0 or self.held[i] >= ended:
                    self.held[i] = UNDEFINED

    def check_range(self, uint64_t address, uint64_t length) -> None:
        """Raises `CorruptStructureError` unless the file has all these bytes."""
        self.check(address, length)

    cdef int fetch(self, uint8_t* out, uint64_t address, size_t length) except -1:
        cdef int status
        if self.reader is not None:
            if length:
                self.reader(self.base + address, <uint8_t[:length]>out)
            return 0
        with nogil:
            status = read_at(self.descriptor, out, length, self.base + address)
        if status == READ_AT_END:
            raise CorruptStructureError("the file became shorter while it was read")
        if status:
            raise OSError(status, "reading the file failed")
        return 0

    cdef int make_blocks(self) except -1:
        """Room for structures: elements alone need none."""
        cdef int i
        if self.held == NULL:
            self.held = <uint64_t*>PyMem_Malloc(self.slots * sizeof(uint64_t))
        if self.held != NULL:
            self.blocks = <uint8_t*>PyMem_Malloc(self.slots * self.block_bytes)
        if self.blocks == NULL:
            raise MemoryError
        for i in range(self.slots):
            self.held[i] = UNDEFINED
        return 0

    cdef const uint8_t* block(self, uint64_t number) except NULL:
        cdef int slot = <int>(number % <uint64_t>self.slots)
        cdef uint8_t* place = self.blocks + slot * self.block_bytes
        cdef uint64_t start = number << self.shift
        if self.held[slot] != number:
            self.held[slot] = UNDEFINED
            self.fetch(place, start, <size_t>min(self.block_bytes, self.size - start))
            self.held[slot] = number
        return place

    cdef const uint8_t* view(self, uint64_t address, uint64_t length) except NULL:
        """`length` bytes at `address`, valid until the next call."""
        cdef uint64_t first, last, done = 0, part, offset
        cdef const uint8_t* block
        self.check(address, length)
        self.count(length)
        if self.blocks == NULL:
            self.make_blocks()
        if length == 0:
            return self.blocks
        first = address >> self.shift
        last = (address + length - 1) >> self.shift
        offset = address & (self.block_bytes - 1)
        if first == last:
            return self.block(first) + offset
        self.grow(length)
        if last - first >= <uint64_t>self.slots:
            self.fetch(self.spill, address, length)
            return self.spill
        while done < length:
            block = self.block(first)
            part = min(self.block_bytes - offset, length - done)
            memcpy(self.spill + done, block + offset, part)
            done += part
            first += 1
            offset = 0
        return self.spill

    cdef int grow(self, size_t length) except -1:
        cdef uint8_t* room
        if length > self.spill_room:
            room = <uint8_t*>PyMem_Realloc(self.spill, length + (length >> 1))
            if room == NULL:
                raise MemoryError
            self.spill = room
            self.spill_room = length + (length >> 1)
        return 0

    cpdef bytes read(self, uint64_t address, uint64_t length):
        """A copy of `length` bytes. Raises `CorruptStructureError` where the file has none."""
        cdef bytes out
        self.check(address, length)
        if length <= self.block_bytes:
            return PyBytes_FromStringAndSize(<const char*>self.view(address, length), length)
        self.count(length)
        out = PyBytes_FromStringAndSize(NULL, length)
        self.fetch(<uint8_t*>PyBytes_AS_STRING(out), address, length)
        return out

    def read_checked(self, uint64_t address, uint64_t length, str what) -> bytes:
        """`length` bytes that end in the checksum of those before it; `what` names the structure for the error."""
        if length < 4:
            raise CorruptStructureError(f"{what} is too short")
        cdef bytes data = self.read(address, length)
        cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(data)
        if h5_lookup3(p, length - 4) != u32(p + length - 4):
            raise CorruptStructureError(f"the checksum of {what} at address {address} is wrong")
        return data

    def read_into(self, uint64_t address, uint8_t[::1] out) -> None:
        """Fill `out`; any number of threads may do so at once."""
        self.check(address, out.shape[0])
        if out.shape[0]:
            self.fetch(&out[0], address, out.shape[0])

    def read_pieces(
        self, const uint64_t[::1] addresses, const uint64_t[::1] sizes, uint8_t[::1] out, uint64_t gap_bytes
    ) -> None:
        """Fill `out` with pieces of the file, one after the other; any number of threads may do so at once.

        Pieces that follow each other in the file are one call of the system, and so are those with no more than
        `gap_bytes` between them, if they are short. Of a file that is read by its descriptor.
        """
        cdef Py_ssize_t first = 0, last, number, count = addresses.shape[0]
        cdef uint64_t start, end, done = 0
        cdef uint8_t* room = NULL
        cdef bint is_run
        cdef int status = 0
        if sizes.shape[0] != count or self.reader is not None:
            raise ValueError(f"{sizes.shape[0]} sizes of {count} pieces")
        for number in range(count):
            self.check(addresses[number], sizes[number])
            if sizes[number] > <uint64_t>out.shape[0] - done:
                raise ValueError(f"{out.shape[0]} bytes do not hold the pieces")
            done += sizes[number]
        done = 0
        with nogil:
            while first < count and status == 0:
                start, end = addresses[first], addresses[first] + sizes[first]
                last, is_run = first + 1, True
                while last < count and addresses[last] >= end and addresses[last] - end <= gap_bytes:
                    if addresses[last] != end or not is_run:
                        if addresses[last] + sizes[last] - start > TOGETHER_BYTES:
                            break
                        is_run = False
                    end = addresses[last] + sizes[last]
                    last += 1
                if is_run:
                    status = read_at(self.descriptor, &out[0] + done, end - start, self.base + start)
                    done += end - start
                else:
                    if room == NULL:
                        room = <uint8_t*>malloc(TOGETHER_BYTES)
                    status = ENOMEM if room == NULL else read_at(self.descriptor, room, end - start, self.base + start)
                    for number in range(first, last if status == 0 else first):
                        memcpy(&out[0] + done, room + (addresses[number] - start), sizes[number])
                        done += sizes[number]
                first = last
            free(room)
        if status == READ_AT_END:
            raise CorruptStructureError("the file became shorter while it was read")
        if status:
            raise OSError(status, "reading the file failed")

    def holds(self, uint64_t address, const uint8_t[::1] data) -> bool:
        """Whether the file has these bytes at an address, asked anew; False where it is too short."""
        cdef uint64_t length = data.shape[0]
        if address > self.size or length > self.size - address:
            return False
        if length == 0:
            return True
        self.grow(length)
        try:
            self.fetch(self.spill, address, length)
        except CorruptStructureError:
            return False
        return memcmp(self.spill, &data[0], length) == 0


@cython.final
cdef class HeadedStream:
    """The bytes of a file from its beginning, for reading, with others in the place of those from `place` on.

    The methods are those of a raw stream. name: for errors.
    """

    cdef Source source
    cdef int64_t at, size
    cdef uint64_t place
    cdef bytes head
    cdef object name

    def __init__(self, Source source not None, bytes head not None, uint64_t place, name):
        self.source, self.head, self.place, self.name = source, head, place, name
        self.size = <int64_t>source.size

    cdef Source opened(self):
        if self.source is None:
            raise ValueError(f"{self.name} was closed")
        return self.source

    def seek(self, int64_t offset, int whence=0) -> int:
        cdef int64_t at = offset + (0 if whence == 0 else self.at if whence == 1 else self.size)
        if at < 0:
            raise ValueError(f"a negative place in {self.name}: {at}")
        self.at = at
        return at

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer) -> int:
        cdef uint8_t[::1] out = memoryview(buffer).cast("B")
        cdef Py_ssize_t count = out.shape[0]
        if count > self.size - self.at:
            count = max(0, self.size - self.at)
        self.fill(&out[0] if count else NULL, <uint64_t>self.at, count)
        self.at += count
        return count

    def read_into(self, uint64_t offset, uint8_t[::1] out) -> None:
        """Fill a buffer with the bytes from `offset` on; any number of threads may do so at once."""
        self.fill(&out[0] if out.shape[0] else NULL, offset, out.shape[0])

    cdef int fill(self, uint8_t* out, uint64_t offset, size_t length) except -1:
        cdef uint64_t first, last, end = self.place + <uint64_t>PyBytes_GET_SIZE(self.head)
        cdef Source source = self.opened()
        if not length:
            return 0
        source.check(offset, length)
        source.fetch(out, offset, length)
        if offset < end and offset + length > self.place:
            first, last = max(offset, self.place), min(offset + length, end)
            memcpy(out + (first - offset), PyBytes_AS_STRING(self.head) + (first - self.place), last - first)
        return 0

    def close(self) -> None:
        self.source = None
