# Object headers: the chunks of one header, gathered into its list of messages.

cdef enum:
    MESSAGES_LIMIT = 1 << 26  # bytes of messages in one header: far beyond any that a program writes
    TIMES = 0x20  # flags of a version 2 header
    PHASE_CHANGE = 0x10
    ATTRIBUTE_ORDER = 0x04  # messages carry a creation order
    CONTINUATION = 0x10  # a message type
    VERSION_1 = 8  # bytes before a message, which differ enough to tell the kinds of headers apart
    VERSION_2 = 4
    VERSION_2_ORDERED = 6


cdef struct Message:
    uint16_t type
    uint8_t flags
    uint32_t order
    size_t start  # in the body
    size_t size


@cython.final
cdef class Header:
    """The messages of one object header; their bytes stay where they are until the next `read`."""

    cdef Source source
    cdef uint8_t* body
    cdef size_t length, room
    cdef Message* messages
    cdef size_t count, messages_room
    cdef bint ordered  # attributes carry their creation order
    cdef bint checked  # the header carries checksums

    def __cinit__(self, Source source):
        self.source = source

    def __dealloc__(self):
        PyMem_Free(self.body)
        PyMem_Free(self.messages)

    cdef int read(self, uint64_t address) except -1:
        cdef const uint8_t* p
        self.length = 0
        self.count = 0
        self.ordered = False
        p = self.source.view(address, 8)
        if memcmp(p, b"OHDR", 4) == 0:
            self.read_version_2(address)
        elif p[0] == 1 and p[1] == 0:
            self.read_version_1(address)
        else:
            raise CorruptStructureError(f"there is no object header at address {address}")
        return 0

    cdef int read_version_2(self, uint64_t address) except -1:
        cdef const uint8_t* p = self.source.view(address, 6)
        cdef uint8_t flags = p[5]
        cdef int prefix = 6, width = 1 << (flags & 3)
        cdef uint64_t size
        self.checked = True
        if p[4] != 2 or flags & 0xC0:
            raise CorruptStructureError(f"the object header at address {address} is of an unknown version")
        prefix += 16 if flags & TIMES else 0
        prefix += 4 if flags & PHASE_CHANGE else 0
        p = self.source.view(address, prefix + width)
        size = little(p + prefix, width)
        self.ordered = flags & ATTRIBUTE_ORDER
        self.take_chunk(address, prefix + width, size)
        self.split(VERSION_2_ORDERED if self.ordered else VERSION_2)
        return 0

    cdef int take_chunk(self, uint64_t address, size_t prefix, uint64_t size) except -1:
        """Check a chunk of a version 2 header and append its messages to the body."""
        cdef const uint8_t* p
        if size > MESSAGES_LIMIT - self.length:
            raise CorruptStructureError(
                f"the object header at address {address} is too long, or its parts run in a cycle"
            )
        p = self.source.view(address, prefix + size + 4)
        if h5_lookup3(p, prefix + size) != u32(p + prefix + size):
            raise CorruptStructureError(f"the checksum of the object header at address {address} is wrong")
        self.append(p + prefix, size)
        return 0

    cdef int read_version_1(self, uint64_t address) except -1:
        cdef const uint8_t* p = self.source.view(address, 16)
        cdef uint64_t size = u32(p + 8)
        self.checked = False
        if size > MESSAGES_LIMIT:
            raise CorruptStructureError(f"the object header at address {address} is too long")
        self.append(self.source.view(address + 16, size), size)
        self.split(VERSION_1)
        return 0

    cdef int append(self, const uint8_t* p, size_t size) except -1:
        cdef uint8_t* room
        if self.length + size > self.room:
            room = <uint8_t*>PyMem_Realloc(self.body, 2 * (self.length + size))
            if room == NULL:
                raise MemoryError
            self.body = room
            self.room = 2 * (self.length + size)
        if size:  # there may be no body yet
            memcpy(self.body + self.length, p, size)
        self.length += size
        return 0

    cdef int split(self, int prefix) except -1:
        """List all messages; a chunk that continues the header is appended to the body when its turn comes."""
        cdef size_t start = 0, done = 0
        self.list_messages(start, prefix)
        while done < self.count:
            if self.messages[done].type == CONTINUATION:
                start = self.length
                self.take_continuation(self.messages[done], prefix)
                self.list_messages(start, prefix)
            done += 1
        return 0

    cdef int list_messages(self, size_t at, int prefix) except -1:
        """List the messages from `at` to the end of the body."""
        cdef const uint8_t* p
        cdef Message message
        while self.length - at >= <size_t>prefix:  # less is a gap
            p = self.body + at
            if prefix == VERSION_1:
                message.type, message.size, message.flags = u16(p), u16(p + 2), p[4]
            else:
                message.type, message.size, message.flags = p[0], u16(p + 1), p[3]
            message.order = u16(p + 4) if prefix == VERSION_2_ORDERED else 0
            message.start = at + prefix
            if message.size > self.length - message.start:
                raise CorruptStructureError("a message is outside its object header")
            at = message.start + message.size
            self.add(message)
        return 0

    cdef int take_continuation(self, Message message, int prefix) except -1:
        cdef uint64_t address, size
        if message.size < 16:
            raise CorruptStructureError("a continuation message is too short")
        address = u64(self.body + message.start)
        size = u64(self.body + message.start + 8)
        if size > MESSAGES_LIMIT - self.length or self.length + size > self.source.size:
            raise CorruptStructureError("the parts of an object header are too long, or run in a cycle")
        if prefix == VERSION_1:
            self.append(self.source.view(address, size), size)
            return 0
        if size < 8 or memcmp(self.source.view(address, 4), b"OCHK", 4):
            raise CorruptStructureError(f"no object header goes on at address {address}")
        self.take_chunk(address, 4, size - 8)
        return 0

    cdef int add(self, Message message) except -1:
        cdef Message* room
        if self.count == self.messages_room:
            room = <Message*>PyMem_Realloc(self.messages, (2 * self.count + 16) * sizeof(Message))
            if room == NULL:
                raise MemoryError
            self.messages = room
            self.messages_room = 2 * self.count + 16
        self.messages[self.count] = message
        self.count += 1
        return 0
