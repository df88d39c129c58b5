# ext/hdf5/encode/h5preflight.pxi — what the writer covers: nodes, names, datatypes, and which arrays are in headers.

cdef enum:
    MAX_WITH_LINKS = 256        # members of a group that has soft or external links: they are kept in its header
    LONGEST_NAME = 4000          # bytes: a dense link has to fit into the smallest block of its heap
    LARGEST_ATTRIBUTE = 4 << 20  # bytes of one attribute: it is in one block of its heap
    LARGEST_HEAP = 1 << 29       # bytes of all names, or all attributes, of one object; a heap has 4 GiB of addresses
    LARGEST_TEXT = 1 << 30       # bytes of one variable-length text
    HIGHEST_RANK = 32            # of HDF5
    REFERENCE_BYTES = 16         # of a variable-length value: length, address of its collection, index


class NeedsLibhdf5Error(Exception):
    """The tree has something that only libhdf5 writes. Raised before the first byte."""


@cython.final
cdef class Datatype:
    """A dtype's datatype message. `text`: the elements are Python text, kept in the global heap."""

    cdef object dtype
    cdef bytes message
    cdef bint text

    def __init__(self, dtype, bytes message, bint text):
        self.dtype = dtype
        self.message = message
        self.text = text


@cython.final
cdef class Nodes:
    """The classes of arrays and groups, and where their objects keep what they consist of."""

    cdef object array_type, group_type
    cdef Py_ssize_t data_slot, array_attrs_slot, storage_slot, children_slot, group_attrs_slot, links_slot
    cdef Py_ssize_t group_order_slot

    def __init__(self, array_type, group_type):
        self.array_type, self.group_type = array_type, group_type
        self.data_slot = h5_slot_offset(array_type, b"data")
        self.array_attrs_slot = h5_slot_offset(array_type, b"attrs")
        self.storage_slot = h5_slot_offset(array_type, b"storage")
        self.children_slot = h5_slot_offset(group_type, b"children")
        self.group_attrs_slot = h5_slot_offset(group_type, b"attrs")
        self.links_slot = h5_slot_offset(group_type, b"links")
        self.group_order_slot = h5_slot_offset(group_type, b"track_order")

    cdef inline bint is_array(self, node):
        return type(node) is self.array_type

    cdef inline object data(self, node):
        return <object>h5_slot(node, self.data_slot)

    cdef inline object array_attrs(self, node):
        return <object>h5_slot(node, self.array_attrs_slot)

    cdef inline object storage(self, node):
        return <object>h5_slot(node, self.storage_slot)

    cdef inline object children(self, group):
        return <object>h5_slot(group, self.children_slot)

    cdef inline object links(self, group):
        return <object>h5_slot(group, self.links_slot)

    cdef inline bint is_ordered(self, group):
        return <object>h5_slot(group, self.group_order_slot) is True

    cdef inline object group_attrs(self, group):
        return <object>h5_slot(group, self.group_attrs_slot)

    cdef int fetch(self, dict children, bint elements) except -1:
        """Let the cache fetch the nodes and what they consist of, with the elements of arrays if they are to be copied.

        A tree is thousands of small objects all over the memory: to wait for each takes longer than to write it.
        """
        cdef PyObject *name
        cdef PyObject *node
        cdef PyObject *data
        cdef Py_ssize_t at = 0
        while PyDict_Next(children, &at, &name, &node):
            h5_prefetch(node)
        at = 0
        while PyDict_Next(children, &at, &name, &node):
            if self.is_array(<object>node):
                h5_prefetch(h5_slot(<object>node, self.data_slot))
                h5_prefetch(h5_slot(<object>node, self.array_attrs_slot))
            elif type(<object>node) is self.group_type:
                h5_prefetch(h5_slot(<object>node, self.children_slot))
        at = 0
        while PyDict_Next(children, &at, &name, &node):
            if self.is_array(<object>node):
                data = h5_slot(<object>node, self.data_slot)
                if type(<object>data) is cnp.ndarray:
                    h5_prefetch(cnp.PyArray_DIMS(<cnp.ndarray>data))
                    if elements:
                        h5_prefetch(cnp.PyArray_DATA(<cnp.ndarray>data))
        return 0


@cython.final
cdef class Vocabulary:
    """What all writers share: the classes of nodes, and the datatypes of Python's own values.

    nodes: the classes of arrays, of groups and of values without elements (which have a `dtype`). describe(dtype): the
    body of its datatype message, that of variable-length text for `str` and `bytes`.
    """

    cdef object null_type, describe
    cdef Nodes nodes
    cdef Datatype utf8, ascii, boolean, integer, real, complex_number

    def __init__(self, nodes, describe):
        array_type, group_type, self.null_type = nodes
        self.nodes, self.describe = Nodes(array_type, group_type), describe
        self.utf8 = Datatype(None, describe(str), True)
        self.ascii = Datatype(None, describe(bytes), True)
        self.boolean = self.described(np.bool_)
        self.integer = self.described(np.int64)
        self.real = self.described(np.float64)
        self.complex_number = self.described(np.complex128)

    cdef Datatype described(self, kind):
        dtype = np.dtype(kind)
        return Datatype(dtype, self.describe(dtype), False)

    cdef dict by_identity(self):
        return {<size_t><void *>one.dtype: one for one in (self.boolean, self.integer, self.real, self.complex_number)}


@cython.final
cdef class Preflight:
    """Rules of what is covered, and the datatypes met. For the arguments see `TreeWriter`."""

    cdef Nodes nodes
    cdef object null_type, escape_link, escape_attribute
    cdef object describe, arrays
    cdef Py_ssize_t scalar_limit, limit
    cdef int max_depth
    cdef object limit_storage  # for which `limit` was asked last
    cdef dict datatypes
    cdef Datatype latest  # the one asked for last
    cdef dict names  # of nodes that are at several places of a tree: the ID of one, and how many names it has
    cdef bint counts_names

    def __init__(self, Vocabulary vocabulary not None, escapes, arrays, scalar_limit, max_depth):
        self.nodes, self.null_type = vocabulary.nodes, vocabulary.null_type
        self.escape_link, self.escape_attribute = escapes
        self.describe, self.arrays = vocabulary.describe, arrays
        self.scalar_limit, self.max_depth = scalar_limit, max_depth
        self.limit_storage, self.limit = None, arrays.compact_limit(None)
        self.datatypes = vocabulary.by_identity()
        self.latest = vocabulary.real
        self.names, self.counts_names = {}, True

    cdef bint is_first_name(self, node) except -1:
        """Count a name of a node; False if it has another, by which it is checked."""
        if Py_REFCNT(node) <= ONE_NAME or not self.counts_names:
            return True
        key = <size_t><PyObject *>node
        count = self.names.get(key, 0) + 1
        self.names[key] = count
        return count == 1

    cdef int preflight_group(self, node, int depth) except -1:
        cdef Py_ssize_t total = 0
        if depth > self.max_depth:
            raise NeedsLibhdf5Error("groups nested too deep")
        if type(node) is not self.nodes.group_type:
            raise NeedsLibhdf5Error(f"a node of type {type(node).__name__}")
        children = self.nodes.children(node)
        if type(children) is not dict:
            raise NeedsLibhdf5Error("children that are not a dict")
        self.nodes.fetch(<dict>children, False)
        for name, child in (<dict>children).items():
            total += preflight_name(name, self.escape_link)
            if self.nodes.is_array(child):
                if self.is_first_name(child):
                    self.preflight_array(child)
            elif self.is_first_name(child):
                self.preflight_group(child, depth + 1)
        if total > LARGEST_HEAP:
            raise NeedsLibhdf5Error("names that fill a heap")
        if self.nodes.links(node):
            self.preflight_links(<dict>children, self.nodes.links(node))
        if self.nodes.is_ordered(node):
            raise NeedsLibhdf5Error("members in the order of their making")
        return self.preflight_attributes(self.nodes.group_attrs(node))

    cdef int preflight_links(self, dict children, links) except -1:
        if type(links) is not dict or len(children) + len(links) > MAX_WITH_LINKS:
            raise NeedsLibhdf5Error("soft and external links in a large group")
        for name, target in (<dict>links).items():
            preflight_name(name, self.escape_link)
            if len(link_value(target)) > LONGEST_NAME:
                raise NeedsLibhdf5Error("a very long link")
            if name in children:
                raise NeedsLibhdf5Error("a link named as a child")
        return 0

    cdef int preflight_array(self, node) except -1:
        cdef Datatype datatype
        data, storage = self.nodes.data(node), self.nodes.storage(node)
        if storage is not None and storage.track_order:
            raise NeedsLibhdf5Error("attributes in the order of their making")
        if isinstance(data, cnp.ndarray):
            datatype = self.datatype(dtype_of(<cnp.ndarray>data))
            if datatype.text:
                preflight_text(<cnp.ndarray>data)
                if grows(storage) or (storage is not None and storage.fillvalue is not None):
                    raise NeedsLibhdf5Error("text that can grow, or has a fill value")
            if cnp.PyArray_NDIM(<cnp.ndarray>data) > HIGHEST_RANK:
                raise NeedsLibhdf5Error("more axes than HDF5 has")
            if not datatype.text and not self.is_compact(<cnp.ndarray>data, datatype, storage):
                self.arrays.plan(data, storage)
        elif isinstance(data, self.null_type):
            self.datatype(data.dtype)
        elif data is None:
            if null_dtype(storage) is not None:
                self.datatype(null_dtype(storage))
        else:
            preflight_source(data)
            self.datatype(data.dtype)
            if not self.fits_header(source_bytes(data), storage):
                self.arrays.plan(data, storage)
        return self.preflight_attributes(self.nodes.array_attrs(node))

    cdef int preflight_attributes(self, attrs) except -1:
        cdef Py_ssize_t total = 0
        if type(attrs) is not dict:
            raise NeedsLibhdf5Error("attributes that are not a dict")
        for name, value in (<dict>attrs).items():
            total += preflight_name(name, self.escape_attribute)
            kind = type(value)
            if kind is str or kind is bytes:
                preflight_string(value)
            elif not (kind is float or kind is bool or kind is complex or value is None):
                total += self.preflight_value(value)
        if total > LARGEST_HEAP:
            raise NeedsLibhdf5Error("attributes that fill a heap")
        return 0

    cdef Py_ssize_t preflight_value(self, value) except -1:
        """The bytes of an attribute of any type but Python's own."""
        cdef Datatype datatype
        cdef cnp.ndarray array
        if isinstance(value, self.null_type):
            self.datatype(value.dtype)
            return 0
        array = as_array(value)
        datatype = self.datatype(dtype_of(array))
        if datatype.text:
            preflight_text(array)
        if stored_bytes(array, datatype) > LARGEST_ATTRIBUTE or cnp.PyArray_NDIM(array) > HIGHEST_RANK:
            raise NeedsLibhdf5Error("a very large attribute")
        return stored_bytes(array, datatype)

    cdef Datatype datatype(self, dtype):
        """The datatype of a dtype, known by identity: equal dtypes may differ in the metadata that h5py goes by."""
        cdef object key, datatype
        if dtype is self.latest.dtype:
            return self.latest
        key = <size_t><void *>dtype
        datatype = self.datatypes.get(key)
        if datatype is None:
            if len(self.datatypes) >= 4096:
                self.datatypes.clear()
            text = dtype.kind == "O"
            if text and holds_references_or_sequences(dtype):
                raise NeedsLibhdf5Error("a dtype of references or sequences")
            datatype = Datatype(dtype, b"" if text else self.describe(dtype), text)
            self.datatypes[key] = datatype
        self.latest = <Datatype>datatype
        return self.latest

    cdef bint is_compact(self, cnp.ndarray array, Datatype datatype, storage) except -1:
        """Whether an array is in its header; no storage option moves a scalar or text out of it."""
        if grows(storage):
            return False
        if datatype.text or cnp.PyArray_NDIM(array) == 0:
            return stored_bytes(array, datatype) <= self.scalar_limit
        return self.fits_header(cnp.PyArray_NBYTES(array), storage)

    cdef bint fits_header(self, Py_ssize_t size, storage) except -1:
        if storage is not self.limit_storage:
            self.limit = self.arrays.compact_limit(storage)
            self.limit_storage = storage
        return (size == 0 or size <= self.limit) and not grows(storage)


cdef inline bint grows(storage) except -1:
    """Whether storage options name a largest shape: such a dataset is chunked, however small it is now."""
    return storage is not None and storage.maxshape is not None


cpdef bint holds_references_or_sequences(dtype) except -1:
    """Whether an object dtype, by what h5py adds to it, holds references or sequences: not text."""
    metadata = dtype.metadata or {}
    return "ref" in metadata or metadata.get("vlen", str) not in (str, bytes)


cdef inline object null_dtype(storage):
    """The dtype that storage options name for an array without elements; None for the usual one."""
    return None if storage is None else storage.null_dtype


cdef bytes link_value(target):
    """What the message of a soft or external link says of where it leads."""
    if isinstance(target, str):
        return target.encode()
    return b"\0" + target.file.encode() + b"\0" + target.path.encode() + b"\0"


cdef object dtype_of(cnp.ndarray array):
    return <object><void *>cnp.PyArray_DESCR(array)


cdef Py_ssize_t stored_bytes(cnp.ndarray array, Datatype datatype):
    return cnp.PyArray_SIZE(array) * REFERENCE_BYTES if datatype.text else cnp.PyArray_NBYTES(array)


cdef int preflight_source(data) except -1:
    if not hasattr(data, "read") or not hasattr(data, "dtype"):
        raise NeedsLibhdf5Error(f"data of type {type(data).__name__}")
    if data.dtype.hasobject or len(data.shape) > HIGHEST_RANK:
        raise NeedsLibhdf5Error("a source of text, or with too many axes")
    if not data.shape and not hasattr(data, "__array__"):
        raise NeedsLibhdf5Error("a source without axes that is not an array")
    return 0


cdef Py_ssize_t source_bytes(source) except -1:
    return math.prod(source.shape) * source.dtype.itemsize


cdef cnp.ndarray whole_source(source):
    cdef cnp.ndarray array = source.read(0, source.shape[0]) if source.shape else np.asarray(source)
    if array.dtype != source.dtype or (<object>array).shape != tuple(source.shape):
        raise ValueError(f"a source of {source.shape} {source.dtype} gave {(<object>array).shape} {array.dtype}")
    return array


cdef cnp.ndarray as_array(value):
    if isinstance(value, (cnp.ndarray, np.generic)) or type(value) is int:
        return np.asarray(value)
    raise NeedsLibhdf5Error(f"an attribute of type {type(value).__name__}")


cdef object stored_name(name, escape):
    """`name`, or the escaped form of one that HDF5 might not hold."""
    cdef Py_ssize_t length
    cdef const char *text
    try:
        text = PyUnicode_AsUTF8AndSize(name, &length)
    except UnicodeEncodeError:
        return escape(name)
    if (
        length == 0
        or text[0] == c"%"
        or text[0] == c"."
        or memchr(text, 0, length) != NULL
        or memchr(text, c"/", length) != NULL
    ):
        return escape(name)
    return name


cdef const char *text_pointer(value, Py_ssize_t *length) except NULL:
    """The UTF-8 bytes of a str, or the bytes of bytes, as long as `value` exists."""
    if isinstance(value, str):
        return PyUnicode_AsUTF8AndSize(value, length)
    length[0] = PyBytes_GET_SIZE(value)
    return PyBytes_AS_STRING(value)


cdef Py_ssize_t preflight_name(name, escape) except -1:
    """The bytes of a name as it is stored."""
    cdef Py_ssize_t length
    if type(name) is not str:
        raise NeedsLibhdf5Error("a name that is not a str")
    stored = stored_name(name, escape)
    PyUnicode_AsUTF8AndSize(stored, &length)
    if length > LONGEST_NAME:
        raise NeedsLibhdf5Error("a very long name")
    return length


cdef int preflight_string(value) except -1:
    cdef Py_ssize_t length
    cdef const char *text
    try:
        text = text_pointer(value, &length)
    except UnicodeEncodeError as error:
        raise NeedsLibhdf5Error("text that is not Unicode") from error
    if length > LARGEST_TEXT or memchr(text, 0, <size_t>length) != NULL:
        raise NeedsLibhdf5Error("text with NUL characters, or very long text")
    return 0


cdef int preflight_text(cnp.ndarray array) except -1:
    kind = None
    for item in array.flat:
        if kind is None:
            kind = str if isinstance(item, str) else bytes
        if not isinstance(item, kind):
            raise NeedsLibhdf5Error("an object array of more than str, or more than bytes")
        preflight_string(item)
    return 0
