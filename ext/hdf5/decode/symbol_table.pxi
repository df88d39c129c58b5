# Groups of the older format: links in the leaves of a B-tree of version 1, their names in a local heap.

cdef enum:
    HEAP_HEADER = 32
    NODE_HEADER = 24
    CHILD = 16  # bytes of an address and of the place of the last name below it
    SYMBOL = 40  # place of the name, target, cache type, place of a soft link's path, unused bytes
    SOFT_LINK = 2  # a cache type
    MAX_LEVELS = 256


@cython.final
cdef class SymbolTable:
    """The links of one group, by the addresses of its tree and of its heap."""

    cdef Source source
    cdef uint64_t tree, taken  # bytes of names that were cut out
    cdef bytes texts
    cdef list entries

    def __cinit__(self, Source source not None, uint64_t tree, uint64_t heap):
        cdef const uint8_t* p = source.view(heap, HEAP_HEADER)
        if memcmp(p, b"HEAP\0", 5) != 0:
            raise CorruptStructureError(f"there is no local heap at address {heap}")
        self.source, self.tree, self.taken = source, tree, 0
        self.texts = source.read(u64(p + 24), u64(p + 8))
        self.entries = []

    def links(self) -> list:
        """Stored name and target (an address, or the path of a soft link) of every link, in order."""
        cdef set seen = set()
        cdef list waiting = [(self.tree, None)]
        while waiting:
            place, expected = waiting.pop()
            level, children = self.node(place)
            if place in seen or expected not in (None, level):
                raise CorruptStructureError(f"there is no B-tree node where one should be, at address {place}")
            seen.add(place)
            if <uint64_t>(len(seen) + len(waiting) + len(children)) * CHILD > self.source.size:
                raise CorruptStructureError("the nodes of a B-tree overlap")
            for child, _ in children if level == 0 else ():
                self.take(child)
            waiting += [(child, level - 1) for child, _ in reversed(children)] if level else []
        return self.entries

    def find(self, bytes name not None):
        """The target of one link: a node of each level is read. None where the order of names leads nowhere."""
        cdef size_t low, high, middle
        above, place = MAX_LEVELS, self.tree
        while above:
            level, children = self.node(place)
            low, high = 0, len(children)
            while low < high:
                middle = (low + high) // 2
                if self.is_before(children[middle][1], name):
                    low = middle + 1
                else:
                    high = middle
            if level >= above or low == <size_t>len(children):
                return None
            above, place = level, children[low][0]
        self.take(place)
        return dict(self.entries).get(name)

    cdef tuple node(self, uint64_t place):
        """Level of a node of the tree, and address and last name of each of its children."""
        cdef const uint8_t* p = self.source.view(place, NODE_HEADER)
        cdef int level = p[5], count = u16(p + 6), i
        if memcmp(p, b"TREE\0", 5) != 0:
            raise CorruptStructureError(f"there is no B-tree node where one should be, at address {place}")
        p = self.source.view(place + NODE_HEADER + 8, count * CHILD)  # behind the first name
        return level, [(u64(p + i * CHILD), u64(p + i * CHILD + 8)) for i in range(count)]

    cdef int take(self, uint64_t address) except -1:
        """Add the links of one leaf."""
        cdef const uint8_t* p = self.source.view(address, 8)
        cdef int count = u16(p + 6)
        if memcmp(p, b"SNOD\1", 5) != 0:
            raise CorruptStructureError(f"there is no symbol table node at address {address}")
        if <uint64_t>(len(self.entries) + count) * SYMBOL > self.source.size:
            raise CorruptStructureError("the nodes of a group overlap")
        p = self.source.view(address + 8, count * SYMBOL)
        for _ in range(count):
            name = self.text(u64(p))
            self.entries.append((name, self.text(u32(p + 24)) if u32(p + 16) == SOFT_LINK else u64(p + 8)))
            p += SYMBOL
        return 0

    cdef size_t length(self, uint64_t at) except? 0:
        """Of the text at a place of the heap."""
        cdef const uint8_t* p = byte_pointer(self.texts)
        cdef size_t size = len(self.texts)
        cdef const void* end = memchr(p + at, 0, size - at) if at < size else NULL
        if end == NULL:
            raise CorruptStructureError("a name is outside the local heap")
        return <const uint8_t*>end - (p + at)

    cdef bytes text(self, uint64_t at):
        cdef size_t length = self.length(at)
        self.taken += length
        if self.taken > <uint64_t>len(self.texts):  # before so much is copied
            raise CorruptStructureError("the names in a local heap overlap")
        return PyBytes_FromStringAndSize(<const char*>byte_pointer(self.texts) + at, length)

    cdef bint is_before(self, uint64_t at, bytes name) except -1:
        """Whether the text at a place comes before a name. It is not cut out: it may be as long as the heap."""
        cdef size_t length = self.length(at), size = len(name)
        cdef int order = memcmp(byte_pointer(self.texts) + at, byte_pointer(name), min(length, size))
        return order < 0 or (order == 0 and length < size)
