# What the messages of one object header say.

cdef enum:
    DATASPACE = 0x01
    LINK_INFO = 0x02
    DATATYPE = 0x03
    OLD_FILL_VALUE = 0x04
    FILL_VALUE = 0x05
    LINK = 0x06
    EXTERNAL_FILES = 0x07
    DATA_LAYOUT = 0x08
    GROUP_INFO = 0x0A
    FILTER_PIPELINE = 0x0B
    ATTRIBUTE = 0x0C
    SYMBOL_TABLE = 0x11
    ATTRIBUTE_INFO = 0x15
    LAST_KNOWN = 0x17
    SHARED = 0x02  # message flags
    FAIL_IF_UNKNOWN = 0x80


cdef struct Span:
    const uint8_t* data  # NULL: there is no such message
    size_t size


@cython.final
cdef class Dataset:
    """The header of a dataset, for whoever reads or describes its elements.

    shape: of the array, axes of an array datatype included. space: its dataspace, None when null; limits: its maximum
    dimensions, all ones for none. layout, filters,
    fill: bodies of the messages, the last two None where there is none. checked: the header
    carries checksums. external: its data or fill value are where only libhdf5 looks.
    """

    cdef readonly tuple space, limits
    cdef readonly Type type
    cdef readonly bytes layout, filters, fill
    cdef readonly bint checked, external

    @property
    def shape(self):
        """The array's shape; None for a null dataspace."""
        return None if self.space is None else self.space + self.type.subshape

    @property
    def dtype(self):
        return self.type.dtype


@cython.final
cdef class Messages:
    """One object at a time: `read` its header, then look at what it holds."""

    cdef Source source
    cdef Header header
    cdef Heap heap
    cdef object owner  # answers what is rare
    cdef dict types
    cdef Type latest  # the datatype asked for last
    cdef bytes latest_message
    cdef Space space
    cdef bint escaped, left_out, has_space, is_group, external, old_fill, links_ordered, attributes_ordered
    cdef Span type, layout, filters, fill
    cdef Type shared_type
    cdef uint64_t link_heap, link_tree, attribute_heap, attribute_tree, symbol_tree, symbol_heap
    cdef list links  # (name, target, creation order)
    cdef dict attributes
    cdef list orders, unsupported_attributes  # creation order of each attribute; names of those that only libhdf5 reads

    def __cinit__(self, Source source, owner):
        self.source = source
        self.owner = owner
        self.header = Header(source)
        self.heap = Heap(source, owner)
        self.types = {}

    cdef int read(self, uint64_t address, bint only_links=False, bint symbols=True) except -1:
        """Read an object header and sort its messages. Text that attributes refer to is fetched at once.

        symbols: also the links of a group of the older format, which are in many places of the file.
        """
        cdef size_t i
        cdef Message* message
        self.escaped = self.has_space = self.is_group = self.external = self.old_fill = False
        self.links_ordered = self.attributes_ordered = False
        self.type.data = self.layout.data = self.filters.data = self.fill.data = NULL
        self.shared_type = None
        self.link_heap = self.attribute_heap = self.symbol_tree = UNDEFINED
        self.attributes = {}
        if self.links is None or self.links:  # most objects have none: an empty list is not handed out, but used again
            self.links = []
        if self.orders is None or self.orders:
            self.orders = []
        if self.unsupported_attributes is None or self.unsupported_attributes:
            self.unsupported_attributes = []
        self.header.read(address)
        self.attributes_ordered = self.header.ordered
        for i in range(self.header.count):
            message = &self.header.messages[i]
            if only_links and message.type not in (LINK, LINK_INFO, GROUP_INFO, SYMBOL_TABLE):
                continue
            self.take(message, self.header.body + message.start)
        if self.attribute_heap != UNDEFINED:
            self.take_dense_attributes()
        if len(self.attributes) > 1:
            self.sort_attributes()
        self.left_out = self.symbol_tree != UNDEFINED and not symbols
        if self.symbol_tree != UNDEFINED and symbols:
            for name, target in SymbolTable(self.source, self.symbol_tree, self.symbol_heap).links():
                self.links.append((self.name(byte_pointer(name), len(name)), target, 0))
        if self.link_heap != UNDEFINED:
            for body in self.owner.dense_links(self.link_heap, self.link_tree):
                self.take_link(byte_pointer(body), len(body))
        if len(self.links) > 1:
            self.links.sort(key=THIRD if self.links_ordered else FIRST)
        if self.escaped:
            self.links = [(unescape(name), target, order) for name, target, order in self.links]
            self.attributes = {unescape(name): value for name, value in self.attributes.items()}
            self.unsupported_attributes = [unescape(name) for name in self.unsupported_attributes]
        return 0

    cdef int take(self, const Message* message, const uint8_t* p) except -1:
        cdef int kind = message.type
        if kind == ATTRIBUTE:
            if message.flags & SHARED:
                raise UnsupportedFeatureError("shared attributes")
            return self.take_attribute(p, message.size, message.order)
        if kind == LINK:
            self.is_group = True
            return self.take_link(p, message.size)
        if kind == DATASPACE:
            if message.flags & SHARED:
                raise UnsupportedFeatureError("shared dataspaces")
            parse_space(p, message.size, &self.space)
            self.has_space = True
        elif kind == DATATYPE:
            if message.flags & SHARED:
                self.shared_type = self.committed(p, message.size)
            else:
                self.type = Span(p, message.size)
        elif kind == DATA_LAYOUT:
            self.layout = Span(p, message.size)
        elif kind in (FILTER_PIPELINE, FILL_VALUE):
            if message.flags & SHARED:
                raise UnsupportedFeatureError("shared fill values and filters")
            if kind == FILL_VALUE:
                self.fill = Span(p, message.size)
            else:
                self.filters = Span(p, message.size)
        elif kind == LINK_INFO:
            self.take_link_info(p, message.size)
        elif kind == ATTRIBUTE_INFO:
            self.take_attribute_info(p, message.size)
        elif kind == GROUP_INFO:
            self.is_group = True
        elif kind == SYMBOL_TABLE:
            if message.size < 16:
                raise CorruptStructureError("a symbol table message is too short")
            self.is_group = True
            self.symbol_tree, self.symbol_heap = u64(p), u64(p + 8)
        elif kind == EXTERNAL_FILES:
            self.external = True
        elif kind == OLD_FILL_VALUE:
            self.old_fill = message.size > 4 and u32(p) != 0
        elif kind > LAST_KNOWN and message.flags & FAIL_IF_UNKNOWN:
            raise UnsupportedFeatureError(f"messages of type {kind}")
        return 0

    cdef int take_link_info(self, const uint8_t* p, size_t size) except -1:
        cdef size_t at = 10 if size > 1 and p[1] & 1 else 2
        if size < at + 16:
            raise CorruptStructureError("a link info message is too short")
        if p[0] != 0:
            raise UnsupportedFeatureError(f"link info version {p[0]}")
        self.is_group = True
        self.links_ordered = p[1] & 1
        self.link_heap, self.link_tree = u64(p + at), u64(p + at + 8)
        return 0

    cdef int take_attribute_info(self, const uint8_t* p, size_t size) except -1:
        cdef size_t at = 4 if size > 1 and p[1] & 1 else 2
        if size < at + 16:
            raise CorruptStructureError("an attribute info message is too short")
        if p[0] != 0:
            raise UnsupportedFeatureError(f"attribute info version {p[0]}")
        self.attribute_heap, self.attribute_tree = u64(p + at), u64(p + at + 8)
        return 0

    cdef int take_link(self, const uint8_t* p, size_t size) except -1:
        """A link message: (name, address | path of a soft link | (file, path) of an external one, order)."""
        cdef size_t at = 2
        cdef int flags, kind = 0, width
        cdef uint64_t order = 0, length
        if size < 4:
            raise CorruptStructureError("a link message is too short")
        flags = p[1]
        width = 1 << (flags & 3)
        if p[0] != 1:
            raise UnsupportedFeatureError(f"link message version {p[0]}")
        if size < <size_t>(2 + (1 if flags & 8 else 0) + (8 if flags & 4 else 0) + (1 if flags & 16 else 0) + width):
            raise CorruptStructureError("a link message is too short")
        if flags & 8:
            kind = p[at]
            at += 1
        if flags & 4:
            order = u64(p + at)
            at += 8
        at += 1 if flags & 16 else 0  # the character set: names are UTF-8 or its subset ASCII
        length = little(p + at, width)
        at += width
        if length == 0 or length > size - at:
            raise CorruptStructureError("the name of a link is outside its message")
        name = self.name(p + at, length)
        at += length
        if kind == 0:
            if size - at < 8:
                raise CorruptStructureError("a link message is too short for its address")
            self.links.append((name, u64(p + at), order))
        elif kind == 1 or kind == 64:
            target = self.link_value(p + at, size - at)
            self.links.append((name, target if kind == 1 else split_external(target), order))
        return 0

    cdef object name(self, const uint8_t* p, size_t length):
        """A name as it is stored; names are unescaped once they are in their order."""
        if length > 1 and p[0] == c"%" and p[1] == c"~":
            self.escaped = True
        return PyUnicode_DecodeUTF8(<const char*>p, length, b"surrogateescape")

    cdef bytes link_value(self, const uint8_t* p, size_t size):
        if size < 2 or u16(p) > size - 2:
            raise CorruptStructureError("the target of a link is outside its message")
        return PyBytes_FromStringAndSize(<const char*>p + 2, u16(p))

    # ------------------------------------------------------------ attributes

    cdef int take_attribute(self, const uint8_t* p, size_t size, uint64_t order) except -1:
        """An attribute message, versions 1 to 3: name, datatype, dataspace and data, padded to 8 in version 1."""
        cdef uint64_t name_size, type_size, space_size, at, unit
        cdef Space space
        cdef Type type_
        if size < 9:
            raise CorruptStructureError("an attribute message is too short")
        if not 1 <= p[0] <= 3:
            raise UnsupportedFeatureError(f"attribute message version {p[0]}")
        if p[0] > 1 and p[1] & 2:
            raise UnsupportedFeatureError("attributes with a shared dataspace")
        name_size, type_size, space_size = u16(p + 2), u16(p + 4), u16(p + 6)
        at = 9 if p[0] == 3 else 8
        unit = 7 if p[0] == 1 else 0
        if name_size == 0 or at + ((name_size + unit) & ~unit) + ((type_size + unit) & ~unit) + space_size > size:
            raise CorruptStructureError("the parts of an attribute message are longer than it")
        name = self.name(p + at, text_length(p + at, name_size))
        at += (name_size + unit) & ~unit
        try:
            if p[0] > 1 and p[1] & 1:
                type_ = self.committed(p + at, type_size)
            else:
                type_ = self.type_of(p + at, type_size)
            at += (type_size + unit) & ~unit
            parse_space(p + at, space_size, &space)
            at += (space_size + unit) & ~unit
            self.attributes[name] = self.attribute_value(type_, &space, p + min(at, size), size - min(at, size))
        except UnsupportedFeatureError:
            self.attributes[name] = None
            self.unsupported_attributes.append(name)
        self.orders.append(order)
        return 0

    cdef object attribute_value(self, Type type_, const Space* space, const uint8_t* p, size_t size):
        cdef object array
        if space.rank == 0 and type_.numeric and type_.size <= size:
            return PyArray_Scalar(<void*>p, <PyArray_Descr*>type_.dtype, None)
        if space.rank == 0 and size >= 16 and (type_.kind == UTF8 or type_.kind == ASCII):
            return self.heap.text(p, False)
        if space.rank == NULL_SPACE:
            return self.owner.null_value(type_)
        array = self.array(type_, space, p, size)
        return array[()] if space.rank == 0 and not type_.subshape and not type_.is_enum else array

    cdef object array(self, Type type_, const Space* space, const uint8_t* p, size_t size):
        """An array of the elements at `p`; None for a null dataspace. `p` stays valid while text is fetched."""
        cdef uint64_t length
        cdef object array
        if space.rank == NULL_SPACE:
            return None
        length = byte_count(space, type_)
        if length > size:
            raise CorruptStructureError("the elements of an array are cut short")
        if type_.kind == UTF8 or type_.kind == ASCII:
            return self.heap.array(p, space, type_.kind == ASCII)
        array = new_array(type_.dtype, space.rank, space.dims, type_.subshape)
        memcpy(cnp.PyArray_DATA(array), p, length)
        if type_.kind != PLAIN:
            self.owner.normalise(array, type_.kind)
        return array

    cdef int take_dense_attributes(self) except -1:
        for body, order in self.owner.dense_attributes(self.attribute_heap, self.attribute_tree):
            self.take_attribute(byte_pointer(body), len(body), order)
        return 0

    cdef int sort_attributes(self) except -1:
        """By creation order where the object keeps one, else by name, as libhdf5 lists them."""
        if len(self.orders) != len(self.attributes):
            raise CorruptStructureError("two attributes have the same name")
        if self.attributes_ordered:
            pairs = sorted(zip(self.orders, self.attributes.items(), strict=True), key=FIRST)
            self.attributes = {name: value for _, (name, value) in pairs}
            return 0
        names = list(self.attributes)
        ordered = sorted(names)
        if names != ordered:
            self.attributes = {name: self.attributes[name] for name in ordered}
        return 0

    # ------------------------------------------------------------ datatypes and datasets

    cdef Type type_of(self, const uint8_t* p, size_t size):
        cdef Type type_
        if self.latest is not None and size == <size_t>len(self.latest_message) \
                and memcmp(p, byte_pointer(self.latest_message), size) == 0:
            return self.latest
        message = PyBytes_FromStringAndSize(<const char*>p, size)
        type_ = self.types.get(message)
        if type_ is None:
            if len(self.types) > 4096:
                self.types.clear()
            type_ = self.types[message] = Type(self.owner.decode_datatype(message))
        self.latest, self.latest_message = type_, message
        return type_

    cdef Type committed(self, const uint8_t* p, size_t size):
        """The datatype that a shared message refers to: an object header of its own."""
        cdef size_t at = 8 if size and p[0] == 1 else 2
        if size < at + 8:
            raise CorruptStructureError("a shared message is too short")
        if not 1 <= p[0] <= 3 or (p[0] == 3 and p[1] != 2):
            raise UnsupportedFeatureError("messages shared through a table")
        message = self.owner.committed_datatype(u64(p + at))
        return self.type_of(byte_pointer(message), len(message))

    cdef bytes datatype_message(self):
        """The datatype of the object that was read last, for committed datatypes."""
        return None if self.type.data == NULL else span_bytes(self.type)

    cdef Type dataset_type(self):
        if self.shared_type is not None:
            return self.shared_type
        if self.type.data == NULL:
            raise CorruptStructureError("a dataset has no datatype")
        return self.type_of(self.type.data, self.type.size)

    cdef bint says_more(self) except -1:
        """True where a dataset has more than elements and attributes: a larger maximal shape, a fill value, an order of
        its attributes, or a null dataspace."""
        cdef int i
        if self.space.rank == NULL_SPACE or self.attributes_ordered or has_fill_value(self.fill):
            return True
        for i in range(self.space.rank):
            if self.space.limits[i] != self.space.dims[i]:
                return True
        return False

    cdef Dataset dataset(self):
        """The dataset that was read last, as an object of its own."""
        cdef Dataset out = Dataset.__new__(Dataset)
        out.type = self.dataset_type()
        out.space = space_shape(&self.space)
        out.limits = tuple([self.space.limits[i] for i in range(max(0, self.space.rank))])
        out.layout = span_bytes(self.layout)
        out.filters = span_bytes(self.filters)
        out.fill = span_bytes(self.fill)
        out.checked = self.header.checked
        out.external = self.external or (self.old_fill and self.fill.data == NULL)
        return out


cdef bint has_fill_value(Span fill) noexcept:
    """True where a fill value message holds a value: versions 1 and 2 have a byte that says so, version 3 a flag."""
    cdef size_t at = 2 if fill.data != NULL and fill.data[0] == 3 else 4
    cdef uint32_t length
    if fill.data == NULL or fill.size < at + 4:
        return False
    if not (fill.data[1] & 0x20 if at == 2 else fill.data[3]):
        return False
    length = u32(fill.data + at)
    return length != 0 and length != 0xFFFFFFFF


cdef tuple space_shape(const Space* space):
    return None if space.rank == NULL_SPACE else tuple([space.dims[i] for i in range(space.rank)])


cdef const uint8_t* byte_pointer(bytes data) noexcept:
    return <const uint8_t*>PyBytes_AS_STRING(data)


cdef bytes span_bytes(Span span):
    return None if span.data == NULL else PyBytes_FromStringAndSize(<const char*>span.data, span.size)


cdef size_t text_length(const uint8_t* p, size_t room) noexcept:
    cdef const uint8_t* end = <const uint8_t*>memchr(p, 0, room)
    return room if end == NULL else end - p


def split_external(bytes value) -> tuple:
    """File and path of an external link: a byte of version and flags, then two texts that end in NUL."""
    parts = value[1:].split(b"\0")
    if len(parts) < 3:
        raise CorruptStructureError("an external link names no file and object")
    return parts[0], parts[1]


cdef object FIRST = operator.itemgetter(0), THIRD = operator.itemgetter(2)


# ------------------------------------------------------------ links in a heap


def checked_link(bytes body not None, uint32_t name_hash) -> bytes:
    """A link message of a heap whose index lists it under this hash of its name, without a checksum of ours behind it.

    Huge objects carry no checksum of the format; `sealed_link` puts one behind links that this package writes.
    """
    cdef const uint8_t* p = byte_pointer(body)
    cdef size_t size = len(body), name = 0, end
    cdef uint64_t name_length = 0
    end = link_end(p, size, &name, &name_length)
    if h5_lookup3(p + name, name_length) != name_hash:
        raise CorruptStructureError("the name of a link is another one than its group's index lists")
    if end == size:
        return body
    if size - end != 4 or h5_lookup3(p, end) != u32(p + end):
        raise CorruptStructureError("the checksum of a link is wrong")
    return body[:end]


cdef size_t link_end(const uint8_t* p, size_t size, size_t* name, uint64_t* name_length) except 0:
    """Where a link message ends; the place and length of its name."""
    cdef size_t at = 2
    cdef int flags, kind = 0, width
    if size < 4:
        raise CorruptStructureError("a link message is too short")
    flags = p[1]
    width = 1 << (flags & 3)
    if flags & 8:
        kind = p[at]
        at += 1
    at += (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
    if size < at + width:
        raise CorruptStructureError("a link message is too short")
    name_length[0] = little(p + at, width)
    at += width
    name[0] = at
    if name_length[0] == 0 or name_length[0] > size - at:
        raise CorruptStructureError("the name of a link is outside its message")
    at += name_length[0]
    if kind == 0:
        at += 8
    elif size - at >= 2:
        at += 2 + u16(p + at)
    else:
        at += 2
    if at > size:
        raise CorruptStructureError("the target of a link is outside its message")
    return at
