# Datatypes, dataspaces, values, and the text that they refer to in the global heap.

cdef extern from "numpy/arrayobject.h":
    ctypedef struct PyArray_Descr
    PyTypeObject PyArray_Type
    object PyArray_NewFromDescr(PyTypeObject* subtype, PyArray_Descr* descr, int nd, const cnp.npy_intp* dims,
                                const cnp.npy_intp* strides, void* data, int flags, object obj)
    object PyArray_Scalar(void* data, PyArray_Descr* descr, object base)

cdef extern from "h5heap.h":
    const char* H5_HEAP_MARK
    int H5_HEAP_MARK_AT, H5_HEAP_SUM_AT
    uint32_t h5_heap_sum(const uint8_t* data, size_t length) nogil

cdef enum:
    MAX_RANK = 32
    NULL_SPACE = -1

cdef uint64_t MAX_BYTES = <uint64_t>1 << 62  # of one array: far beyond any memory, and safe to add to


cdef struct Space:
    int rank  # NULL_SPACE: no elements at all
    uint64_t count
    uint64_t[32] dims
    uint64_t[32] limits  # the maximum dimensions; all ones for no limit


@cython.final
cdef class Type:
    """A datatype, decoded once however many objects have it."""

    cdef readonly object dtype
    cdef readonly uint64_t size  # bytes of an element in the file
    cdef readonly int kind
    cdef readonly tuple subshape
    cdef bint numeric  # numpy makes its scalars from the bytes as they are
    cdef bint is_enum  # whose names are in the dtype: scalars have none

    def __cinit__(self, decoded):
        self.dtype, self.size, self.kind, self.subshape = decoded
        self.is_enum = self.dtype.metadata is not None and "enum" in self.dtype.metadata
        self.numeric = self.kind == PLAIN and self.dtype.kind in "biufc" and not self.subshape and not self.is_enum


cdef object new_array(object dtype, int rank, const uint64_t* dims, tuple subshape=()):
    """An array with undefined content (objects: None)."""
    cdef cnp.npy_intp[64] shape
    cdef int i, nd = rank + len(subshape)
    if nd > 64:
        raise CorruptStructureError("an array has more than 64 axes")
    for i in range(rank):
        shape[i] = <cnp.npy_intp>dims[i]
    for i in range(rank, nd):
        shape[i] = subshape[i - rank]
    Py_INCREF(dtype)
    try:
        return PyArray_NewFromDescr(&PyArray_Type, <PyArray_Descr*>dtype, nd, shape, NULL, NULL, 0, None)
    except (ValueError, MemoryError) as error:
        raise CorruptStructureError(
            f"an array claims the shape {tuple(shape[i] for i in range(nd))}, which no memory holds"
        ) from error


cdef int parse_space(const uint8_t* p, size_t size, Space* space) except -1:
    """The dataspace message, versions 1 and 2."""
    cdef int version, rank, at, i
    cdef const uint8_t* limits
    if size < 4:
        raise CorruptStructureError("a dataspace message is too short")
    version, rank = p[0], p[1]
    at = 8 if version == 1 else 4
    if version not in (1, 2):
        raise UnsupportedFeatureError(f"dataspace version {version}")
    if rank > MAX_RANK or size < <size_t>(at + 8 * rank):
        raise CorruptStructureError("a dataspace message is too short for its rank")
    space.rank = rank
    space.count = 1
    if version == 2:
        if p[3] == 2:
            space.rank = NULL_SPACE
            space.count = 0
            return 0
        if p[3] > 2 or (p[3] == 0) != (rank == 0):
            raise CorruptStructureError("a dataspace is neither scalar nor simple nor null")
    limits = p + at
    if p[2] & 1:
        limits += 8 * rank
        if size < <size_t>(at + 16 * rank):
            raise CorruptStructureError("a dataspace message is too short for its maximum dimensions")
    for i in range(rank):
        space.dims[i] = u64(p + at + 8 * i)
        space.limits[i] = u64(limits + 8 * i)
        if space.dims[i] == 0:
            space.count = 0
    for i in range(rank):
        if space.count and space.dims[i] > MAX_BYTES // space.count:
            raise CorruptStructureError("a dataspace claims more elements than any memory holds")
        if space.dims[i] > MAX_BYTES:
            raise CorruptStructureError("a dataspace claims more elements than any memory holds")
        space.count *= space.dims[i]
    return 0


cdef uint64_t byte_count(const Space* space, Type type_) except? 0:
    if space.count > MAX_BYTES // type_.size:
        raise CorruptStructureError("an array claims more bytes than any memory holds")
    return space.count * type_.size


@cython.final
cdef class Collection:
    """A global heap collection: objects by index."""

    cdef uint8_t* data
    cdef size_t size
    cdef uint32_t* places  # where the object of each index begins, a multiple of 8; 0: none; + CHECKED, or TWICE alone
    cdef uint32_t indices
    cdef bint summed  # its objects carry checksums, but for those that another program wrote
    cdef bint fits  # the note of its free space, or its last object, ends where it does or before
    cdef uint32_t* used  # of each index of a summed one, the `Heap.turn` in which it was referred to last

    def __dealloc__(self):
        PyMem_Free(self.data)
        PyMem_Free(self.places)
        PyMem_Free(self.used)

    cdef int fill(self, Source source, uint64_t address) except -1:
        cdef const uint8_t* p = source.view(address, 16)
        cdef uint64_t size = u64(p + 8)
        if memcmp(p, b"GCOL", 4) or p[4] != 1:
            raise CorruptStructureError(f"there is no collection of the global heap at address {address}")
        if size < 16 or size >= <uint64_t>1 << 32:
            raise CorruptStructureError(f"the collection of the global heap at address {address} claims {size} bytes")
        source.check(address, size)
        self.size = size
        self.data = <uint8_t*>PyMem_Malloc(size)
        if self.data == NULL:
            raise MemoryError
        source.fetch(self.data, address, size)
        self.summed = memcmp(self.data + H5_HEAP_MARK_AT, H5_HEAP_MARK, 3) == 0
        self.indices = 0
        self.fits = True
        self.scan(address)  # counts
        self.places = <uint32_t*>PyMem_Malloc((self.indices + 1) * sizeof(uint32_t))
        if self.places == NULL:
            raise MemoryError
        memset(self.places, 0, (self.indices + 1) * sizeof(uint32_t))
        self.scan(address)
        if self.summed:
            self.used = <uint32_t*>PyMem_Calloc(self.indices + 1, sizeof(uint32_t))
            if self.used == NULL:
                raise MemoryError
        return 0

    cdef int scan(self, uint64_t address) except -1:
        cdef size_t at = 16
        cdef uint64_t length
        cdef uint32_t index
        while self.size - at >= 16:
            index = u16(self.data + at)
            length = u64(self.data + at + 8)
            if index == 0:  # the free space, always last
                self.fits = length == self.size - at
                break
            if length > self.size - at - 16:
                if self.summed:  # each object before tells by itself whether it is whole; those behind are not found
                    self.fits = False
                    break
                raise CorruptStructureError(
                    f"an object of the global heap is longer than its collection, at address {address}"
                )
            if self.places != NULL:
                self.places[index] = TWICE if self.places[index] else at
            elif index > self.indices:
                self.indices = index
            at += 16 + ((length + 7) & ~<uint64_t>7)
            if at > self.size:
                break
        return 0

    cdef const uint8_t* find(self, uint32_t index, uint64_t address) except NULL:
        """The object of an index, checked when it is first asked for: one that is damaged costs no other."""
        cdef uint32_t place = self.places[index] if index <= self.indices else 0
        cdef uint32_t expected
        cdef const uint8_t* object_
        if place == 0 or place == TWICE:
            raise CorruptStructureError(
                f"text refers to object {index} of the global heap at address {address}, "
                f"which has {'two' if place else 'none'}")
        object_ = self.data + (place & ~<uint32_t>CHECKED)
        if self.summed and not place & CHECKED:
            expected = u32(object_ + H5_HEAP_SUM_AT)
            if expected and h5_heap_sum(object_ + 16, u64(object_ + 8)) != expected:
                raise CorruptStructureError("the checksum of a text in the global heap is wrong")
            self.places[index] = place | CHECKED
        return object_

    cdef int check_reference(self, uint32_t index, uint64_t length, uint32_t turn) except -1:
        """Of an object that `find` gave. References may be where nothing has a checksum; so one that was turned into
        that to another text is known by this: a text with a checksum is referred to once, and in its whole length."""
        cdef const uint8_t* object_ = self.data + (self.places[index] & ~<uint32_t>CHECKED)
        if not self.summed or u32(object_ + H5_HEAP_SUM_AT) == 0:
            return 0
        if u64(object_ + 8) != length:
            raise CorruptStructureError("a reference to a text in the global heap has another length than the text")
        if length and self.used[index] == turn:
            raise CorruptStructureError("two references lead to one text in the global heap")
        self.used[index] = turn
        return 0


cdef enum:
    CHECKED = 1  # of an object of a collection: it fits its checksum
    TWICE = 2  # two objects claim one index


@cython.final
cdef class Heap:
    """The text that references of 16 bytes (length, collection, index) stand for."""

    cdef Source source
    cdef object owner  # is told of collections whose texts are whole, and which yet are not
    cdef dict collections
    cdef uint64_t held, given  # bytes of collections in memory, and of text handed out
    cdef uint32_t turn  # counts arrays: in each, no text is referred to twice

    def __cinit__(self, Source source, owner):
        self.source = source
        self.owner = owner
        self.collections = {}

    cdef Collection collection(self, uint64_t address):
        cdef Collection collection = self.collections.get(address)
        if collection is None:
            collection = Collection.__new__(Collection)
            collection.fill(self.source, address)
            self.held += collection.size
            if self.held > self.source.size:
                raise CorruptStructureError("the collections of the global heap overlap")
            self.collections[address] = collection
            if not collection.fits:
                self.owner.note_free_space(address)
        return collection

    cdef bint is_ours(self, uint64_t address) except -1:
        """True where an empty text is an object of the heap, as in files that this package writes: others keep none."""
        if address == 0 or address == UNDEFINED:
            return False
        try:
            return self.collection(address).summed
        except CorruptStructureError:
            return False

    cdef object text(self, const uint8_t* reference, bint as_bytes):
        """A text by itself."""
        self.turn += 1
        return self.referred(reference, as_bytes)

    cdef object referred(self, const uint8_t* reference, bint as_bytes):
        cdef uint64_t length = u32(reference), address = u64(reference + 4)
        cdef uint32_t index = u32(reference + 12)
        cdef Collection collection
        cdef const uint8_t* object_
        cdef const uint8_t* end
        if length == 0 and (index == 0 or not self.is_ours(address)):
            return b"" if as_bytes else ""
        collection = self.collection(address)
        object_ = collection.find(index, address)
        collection.check_reference(index, length, self.turn)
        if u64(object_ + 8) < length:
            raise CorruptStructureError("text is longer than what the global heap holds of it")
        # No two elements share an object in an honest file: a small file cannot stand for endless text.
        self.given += length
        if self.given > 16 * self.source.size:
            raise CorruptStructureError("its texts are longer together than the file can hold")
        object_ += 16
        end = <const uint8_t*>memchr(object_, 0, length)
        if end != NULL:
            length = end - object_
        if as_bytes:
            return PyBytes_FromStringAndSize(<const char*>object_, length)
        return PyUnicode_DecodeUTF8(<const char*>object_, length, b"surrogateescape")

    cdef object array(self, const uint8_t* references, const Space* space, bint as_bytes):
        cdef object out = new_array(NO_BYTES if as_bytes and not space.count else OBJECT, space.rank, space.dims)
        cdef PyObject** items = <PyObject**>cnp.PyArray_DATA(out)
        cdef uint64_t i
        cdef object item
        self.turn += 1
        for i in range(space.count):
            item = self.referred(references + 16 * i, as_bytes)
            Py_INCREF(item)
            items[i] = <PyObject*>item  # a new object array holds no references yet
        return out


cdef object OBJECT = cnp.dtype("O")
cdef object NO_BYTES = cnp.dtype("O", metadata={"vlen": bytes})  # ASCII text where no element tells: as h5py says it
