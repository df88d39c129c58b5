# Objects to nodes: the whole tree at once, or the members of one group.

cdef enum:
    COMPACT = 0  # layout classes
    CONTIGUOUS = 1
    CHUNKED = 2
    SINGLE_CHUNK = 1  # a chunk index type
    SINGLE_CHUNK_FILTERED = 2  # a flag of the chunked layout
    FLETCHER32 = 3  # a filter

cdef uint64_t SHORT_TEXT = 1 << 16  # elements that are read at once even in a lazy tree
cdef uint64_t SMALL = 1 << 15  # bytes that are read at once; more is left to the threads


cdef struct Read:
    uint8_t* out
    uint64_t address
    uint64_t length
    bint checked  # a fletcher32 checksum of 4 bytes follows


@cython.final
cdef class Frame:
    """A group that is being filled."""

    cdef object group
    cdef dict children
    cdef list links
    cdef Py_ssize_t done
    cdef object address

    def __cinit__(self, group, list links, address):
        self.group = group
        self.children = group.children
        self.links = links
        self.address = address


@cython.final
cdef class Parser:
    """Reads nodes from one open file.

    owner: the reader of the file, which answers what is rare. lazy: arrays and the members of groups are made by
    `owner.lazy_array` and `owner.lazy_members`, and read later. ahead: of a lazy tree, all groups are read with it, and
    the arrays that are no larger than a 512th of so many bytes, as long as they are no more together; 1: groups alone.
    """

    cdef Messages messages
    cdef Source source
    cdef object owner
    cdef bint lazy
    cdef bint lazy_groups
    cdef uint64_t ahead  # bytes of arrays that may still be read with a lazy tree
    cdef uint64_t ahead_each  # of one of them at most
    cdef Py_ssize_t max_depth  # of groups in groups
    cdef list names  # of the object at hand, from the root
    cdef dict seen  # address to node: an object with two names is read once
    cdef dict damaged  # address to what is wrong with an object
    cdef Read* reads
    cdef size_t read_count, read_room
    cdef list read_arrays, read_names
    cdef bint only_checks  # long arrays are read, but not into the arrays of the tree
    cdef uint64_t claimed  # bytes of the file that are some dataset's elements

    def __cinit__(self, Source source, owner, bint lazy=False, Py_ssize_t max_depth=0, uint64_t ahead=0,
                  bint only_checks=False):
        self.source = source
        self.owner = owner
        self.lazy, self.max_depth = lazy, max_depth
        self.lazy_groups = lazy and not ahead
        self.ahead, self.ahead_each = ahead, ahead // 512
        self.only_checks = only_checks
        self.messages = Messages(source, owner)
        self.names = []
        self.seen, self.damaged = {}, {}
        self.read_arrays, self.read_names = [], []

    def __dealloc__(self):
        PyMem_Free(self.reads)

    @property
    def where(self) -> tuple:
        """The names that lead to the object at hand."""
        return tuple(self.names)

    # ------------------------------------------------------------ one object

    def come_to(self, tuple names) -> None:
        """The names that lead to the object that is read next, where that is not the root."""
        self.names = list(names)

    def inspect(self, address, bint symbols=True) -> tuple:
        """Attributes, names of those that only libhdf5 reads, links (None: no group), `Dataset` (None: no dataset).

        Also whether the links are all: those of a group of the older format are read only with `symbols`.
        """
        cdef Messages m = self.messages
        m.read(address, False, symbols)
        dataset = m.dataset() if m.layout.data != NULL and m.has_space else None
        links = list(m.links) if m.is_group else None
        return m.attributes, list(m.unsupported_attributes), links, dataset, not m.left_out

    def dataset(self, address) -> Dataset:
        """The header of a dataset."""
        self.messages.read(address)
        if self.messages.layout.data == NULL or not self.messages.has_space:
            raise CorruptStructureError(f"the object at address {address} is not a dataset")
        return self.messages.dataset()

    def links(self, address) -> list:
        """(name, target, order) of a group's links; empty for another object. What else it holds is not looked at."""
        try:
            self.messages.read(address, only_links=True)
        except UnsupportedFeatureError as error:
            raise CorruptStructureError(f"its links cannot be read: {error}") from error
        return list(self.messages.links)

    def datatype_message(self, address) -> bytes:
        """The datatype of a committed datatype's own object header."""
        self.messages.read(address)
        return self.messages.datatype_message()

    def text(self, bytes references, tuple shape, bint as_bytes):
        """The text that references of 16 bytes stand for, as an object array of that shape."""
        cdef Space space
        cdef int i
        space.rank = len(shape)
        space.count = 1
        for i in range(space.rank):
            space.dims[i] = shape[i]
            space.count *= space.dims[i]
        if space.count * 16 != <uint64_t>len(references):
            raise ValueError(f"{len(references)} bytes of references for the shape {shape}")
        return self.messages.heap.array(byte_pointer(references), &space, as_bytes)

    # ------------------------------------------------------------ trees

    def load(self, address):
        """The tree below a group, large arrays still unread: `run_reads` fills those."""
        cdef list frames = [], links
        cdef Frame frame
        cdef set above = {address}
        tree = self.node(address)
        if not self.messages.is_group:
            raise CorruptStructureError("the root is not a group")
        frames.append(Frame(tree, self.messages.links, address))
        self.names.append(None)
        while frames:
            frame = frames[len(frames) - 1]
            if frame.done == len(frame.links):
                frames.pop()
                self.names.pop()
                above.discard(frame.address)
                continue
            name, target, _ = frame.links[frame.done]
            frame.done += 1
            self.names[len(self.names) - 1] = name
            try:
                self.load_member(frames, frame, name, target, above)
            except (CorruptStructureError, OSError) as error:
                self.owner.note_problem(tuple(self.names), error)
        return tree

    cdef int load_member(self, list frames, Frame frame, name, link, set above) except -1:
        """What one link leads to; a group is put on `frames` to be filled."""
        target = link
        if type(link) is not int:
            target = self.owner.follow(link, frame.address)
            if type(target) is not int:
                if target is not None:
                    frame.children[name] = target
                self.note_link(frame, name, link, target)
                return 0
        if target in above:
            raise CorruptStructureError("links back to a group that holds it: a cycle is not a tree")
        node = self.seen.get(target)
        if node is None:
            if target in self.damaged:
                raise CorruptStructureError(self.damaged[target])
            try:
                node = self.node_or_fallback(target)
            except CorruptStructureError as error:
                self.damaged[target] = error.args[0]
                raise
            if node is None:
                frame.group.links[name] = self.owner.committed_type(self.messages.datatype_message())
                return 0
            self.seen[target] = node
            if self.messages.is_group and self.messages.links:
                frames.append(Frame(node, self.messages.links, target))
                self.names.append(None)
                above.add(target)
        elif type(node) is Array and isinstance(node.data, cnp.ndarray):
            node.data.flags.writeable = False  # to change it by one of its names would change it by all
        frame.children[name] = node
        if target is not link:
            self.note_link(frame, name, link, node)
        return 0

    cdef int note_link(self, Frame frame, name, link, node) except -1:
        """Keep what a member is besides a node: a soft or external link."""
        frame.group.links[name] = self.owner.link(link, node)
        return 0

    def children(self, address, tuple names, above, max_links=None):
        """The members of one group, themselves lazy, and its links; None if there are more than `max_links`.

        names: of the group; above: addresses of it and what holds it.
        """
        cdef dict children = {}, links = {}
        self.names = list(names)
        self.messages.read(address)
        if max_links is not None and len(self.messages.links) > max_links:
            return None
        for name, link, _ in self.messages.links:
            self.names = [*names, name]
            is_committed = False
            try:
                target = self.owner.follow(link, address) if type(link) is not int else link
                node = self.child(target, above) if type(target) is int else target
                is_committed = node is None and target is not None
            except (CorruptStructureError, OSError) as error:
                node = self.owner.damaged_node(tuple(self.names), error)
            if node is not None:
                children[name] = node
            if is_committed:
                links[name] = self.owner.committed_type(self.messages.datatype_message())
            elif type(link) is not int:
                links[name] = self.owner.link(link, node)
        self.names = list(names)
        return children, links

    cdef object child(self, target, above):
        """The lazy node at an address, None for a committed datatype."""
        if target in above:
            raise CorruptStructureError("links back to a group that holds it: a cycle is not a tree")
        return self.node_or_fallback(target)

    cdef object node_or_fallback(self, address):
        try:
            return self.node(address)
        except UnsupportedFeatureError:
            self.messages.is_group = False
            return self.owner.uncovered(self.names, address)

    cpdef object node(self, address):
        """The node of one object, a group's without its members; None for a committed datatype."""
        cdef Messages m = self.messages
        m.read(address)
        if m.is_group:
            if len(self.names) > self.max_depth:
                raise CorruptStructureError(f"more than {self.max_depth} groups inside each other")
            children, links = self.owner.lazy_members(address, self.names) if self.lazy_groups else ({}, {})
            node = new_group_node(children, m.attributes, links, bool(m.links_ordered))
        elif m.layout.data != NULL and m.has_space:
            storage = self.owner.kept_storage(m.dataset(), bool(m.attributes_ordered)) if m.says_more() else None
            data = self.lazy_data(address) if self.lazy else self.data()
            node = new_array_node(data, m.attributes, storage)
        elif m.type.data != NULL or m.shared_type is not None:
            return None
        else:
            raise CorruptStructureError(f"the object at address {address} is neither a group nor a dataset")
        if m.unsupported_attributes:
            for name in m.unsupported_attributes:
                m.attributes[name] = self.owner.uncovered_attribute(self.names, name, address)
        return node

    cdef object lazy_data(self, address):
        cdef uint64_t length
        if self.messages.space.rank == NULL_SPACE:
            return None
        type_ = self.messages.dataset_type()
        if (type_.kind == UTF8 or type_.kind == ASCII) and self.messages.space.count <= SHORT_TEXT:
            return self.data()  # names and labels, which every writer wants whole
        if self.ahead_each:
            length = byte_count(&self.messages.space, type_)
            if length <= self.ahead_each and length <= self.ahead:
                self.ahead -= length
                return self.data()
        return self.owner.lazy_array(address, self.names, space_shape(&self.messages.space) + type_.subshape, type_)

    # ------------------------------------------------------------ elements

    cdef object data(self):
        """The elements of the dataset at hand; long ones are read later."""
        cdef Messages m = self.messages
        cdef const uint8_t* p = m.layout.data
        cdef Type type_
        cdef uint64_t length
        if m.space.rank == NULL_SPACE:
            return None
        type_ = m.dataset_type()
        if m.layout.size < 4 or not 3 <= p[0] <= 5 or m.external:
            return self.owner.read_dataset(m.dataset())
        if p[1] == COMPACT:
            if u16(p + 2) > m.layout.size - 4:
                raise CorruptStructureError("compact data are cut short")
            return m.array(type_, &m.space, p + 4, u16(p + 2))
        if type_.kind == PLAIN:
            length = byte_count(&m.space, type_)
            if p[1] == CONTIGUOUS and m.layout.size >= 18 and u64(p + 2) == UNDEFINED and length == 0:
                return new_array(type_.dtype, m.space.rank, m.space.dims, type_.subshape)
            if p[1] == CONTIGUOUS and m.layout.size >= 18 and u64(p + 2) != UNDEFINED:
                if length > u64(p + 10):
                    raise CorruptStructureError("a dataset is longer than its storage")
                return self.run_of_bytes(type_, u64(p + 2), length, False)
            if p[0] >= 4 and p[1] == CHUNKED and self.is_one_plain_chunk(type_, length):
                return self.run_of_bytes(type_, u64(p + m.layout.size - 8), length, m.filters.data != NULL)
        return self.owner.read_dataset(m.dataset())

    cdef bint is_one_plain_chunk(self, Type type_, uint64_t length):
        """Whether the elements are in one allocated chunk of just their shape, unfiltered but for a checksum.

        Layout version 4, chunked: flags, dimensionality, width of the dimensions, dimensions, index type; with
        filters: size of the filtered chunk, filter mask; the chunk's address.
        """
        cdef Messages m = self.messages
        cdef const uint8_t* p = m.layout.data
        cdef int rank = m.space.rank, width, i
        cdef size_t at
        cdef bint filtered
        if m.layout.size < 6:
            return False
        width = p[4]
        at = 5 + (rank + 1) * width
        filtered = (p[2] & SINGLE_CHUNK_FILTERED) != 0
        if filtered != (m.filters.data != NULL):
            return False
        if m.layout.size != at + 1 + (12 if filtered else 0) + 8 or p[3] != rank + 1 or not 1 <= width <= 8:
            return False
        if p[at] != SINGLE_CHUNK or u64(p + m.layout.size - 8) == UNDEFINED or length == 0:
            return False
        for i in range(rank):
            if little(p + 5 + i * width, width) != m.space.dims[i]:
                return False
        if little(p + 5 + rank * width, width) != type_.size:
            return False
        if not filtered:
            return True
        # Filter pipeline version 2: one filter of a reserved ID, without values, and so without a name.
        return (m.filters.size >= 8 and m.filters.data[0] == 2 and m.filters.data[1] == 1
                and u16(m.filters.data + 2) == FLETCHER32 and u16(m.filters.data + 6) == 0
                and u64(p + at + 1) == length + 4 and u32(p + at + 9) == 0)

    cdef object run_of_bytes(self, Type type_, uint64_t address, uint64_t length, bint checked):
        """An array whose elements are in one run in the file."""
        cdef Messages m = self.messages
        cdef uint64_t stored = length + (4 if checked else 0)
        cdef const uint8_t* p
        self.source.check(address, stored)
        self.claim(stored)
        array = new_array(type_.dtype, m.space.rank, m.space.dims, type_.subshape)
        if stored > SMALL:
            self.read_later(array, address, length, checked)
        elif length:
            p = self.source.view(address, stored)
            if checked and fletcher32_bytes(p, length) != u32(p + length):
                raise CorruptStructureError("the checksum of a chunk is wrong")
            memcpy(cnp.PyArray_DATA(array), p, length)
        return array

    cpdef int claim(self, uint64_t length) except -1:
        """Count bytes of the file as elements. No two datasets share storage: together they fit into the file."""
        self.claimed += length
        if self.claimed > self.source.size:
            raise CorruptStructureError("the datasets claim more storage than the file has: they overlap")
        return 0

    cdef int read_later(self, array, uint64_t address, uint64_t length, bint checked) except -1:
        cdef Read* room
        if self.read_count == self.read_room:
            room = <Read*>PyMem_Realloc(self.reads, (2 * self.read_count + 64) * sizeof(Read))
            if room == NULL:
                raise MemoryError
            self.reads = room
            self.read_room = 2 * self.read_count + 64
        self.reads[self.read_count] = Read(<uint8_t*>cnp.PyArray_DATA(array), address, length, checked)
        self.read_count += 1
        self.read_arrays.append(array)
        self.read_names.append(tuple(self.names))
        return 0

    @property
    def reads_left(self) -> int:
        """How many arrays `load` left to `run_reads`."""
        return self.read_count

    def run_reads(self, size_t start, size_t stop) -> list:
        """Fill the arrays [start, stop) that `load` left; several threads may share them.

        Returns the names of each array that is damaged, and what is wrong with it.
        """
        cdef int status
        cdef list problems = []
        cdef bint is_called = self.source.reader is not None
        cdef uint8_t* room = self.room_of_reads(start, stop) if self.only_checks else NULL
        try:
            while start < stop:
                status = 0
                if is_called:
                    status = call_read(self.source, &self.reads[start], room)
                    start += 1
                else:
                    with nogil:
                        while start < stop and not status:
                            status = run_read(self.source, &self.reads[start], room)
                            start += 1
                if status == WRONG_CHECKSUM:
                    problems.append((self.read_names[start - 1], "the checksum of a chunk is wrong"))
                elif status == READ_AT_END:
                    problems.append((self.read_names[start - 1], "the file became shorter while it was read"))
                elif status:
                    raise OSError(status, "reading the file failed")
        finally:
            PyMem_Free(room)
        return problems

    cdef uint8_t* room_of_reads(self, size_t start, size_t stop) except NULL:
        """Memory for the longest of some reads, one after the other."""
        cdef uint64_t longest = 1
        cdef size_t i
        for i in range(start, stop):
            longest = max(longest, self.reads[i].length)
        room = <uint8_t*>PyMem_Malloc(longest)
        if room == NULL:
            raise MemoryError
        return room


cdef enum:
    WRONG_CHECKSUM = -2


cdef int call_read(Source source, const Read* read, uint8_t* room) except? -3:
    """As `run_read`, for a source with a reader."""
    cdef uint8_t[4] stored
    cdef uint8_t* out = read.out if room == NULL else room
    source.fetch(out, read.address, read.length)
    if not read.checked:
        return 0
    source.fetch(stored, read.address + read.length, 4)
    return WRONG_CHECKSUM if fletcher32_bytes(out, read.length) != u32(stored) else 0


cdef int run_read(Source source, const Read* read, uint8_t* room) noexcept nogil:
    """Read an array, into `room` if that is not NULL, and check it."""
    cdef uint8_t[4] stored
    cdef uint8_t* out = read.out if room == NULL else room
    cdef int status = read_at(source.descriptor, out, read.length, source.base + read.address)
    if status or not read.checked:
        return status
    status = read_at(source.descriptor, stored, 4, source.base + read.address + read.length)
    if status:
        return status
    return WRONG_CHECKSUM if fletcher32_bytes(out, read.length) != u32(stored) else 0
