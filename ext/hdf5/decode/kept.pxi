# A file that is kept open between reads: one row of it costs a few system calls, and no more.

cdef extern from "kept_file.h":
    ctypedef struct file_stamp:
        uint64_t device, inode, size
        int64_t written, changed
    bint is_at_path(const char* path, const file_stamp* stamp) nogil
    bint take_lock(int descriptor) nogil
    void take_lock_off(int descriptor) nogil


cdef int forks = 0  # that led to this process: tells it from its parents without asking the system


def _note_fork() -> None:
    global forks
    forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


@cython.final
cdef class ProcessLock:
    """A reentrant lock of one process. A fork leaves it behind: in the child, where a thread of the parent may seem to
    hold it for ever, it is a new one.
    """

    cdef object lock
    cdef int process

    def __cinit__(self):
        self.lock, self.process = threading.RLock(), forks

    def of_this_process(self):
        """The lock itself, to be held in a `with` block.

        An `__enter__` of Python's could be interrupted when it has acquired the lock and not yet returned.
        """
        if self.process != forks:
            self.lock, self.process = threading.RLock(), forks
        return self.lock


@cython.final
cdef class KeptFile:
    """A descriptor that somebody keeps: who reads it now, so that it is locked no longer than that.

    owner: what holds the descriptor, and closes it when nobody holds it any more; it is closed after `forget`, too,
    when nobody reads. path, stamp: where the file is, and what tells it from others. is_locking: files are locked here
    at all.
    """

    cdef readonly int descriptor
    cdef object owner
    cdef file_stamp stamp
    cdef bytes path
    cdef int readers, process
    cdef bint is_locking, is_forgotten

    def __cinit__(self, owner, bytes path not None, stamp, bint is_locking):
        self.owner, self.descriptor, self.path, self.is_locking = owner, owner.fileno(), path, is_locking
        self.stamp.device, self.stamp.inode, self.stamp.size, self.stamp.written, self.stamp.changed = stamp
        self.readers, self.process, self.is_forgotten = 0, forks, False

    @property
    def is_here(self) -> bool:
        """True in the process that opened it: the locks of another would end with those of this one."""
        return self.process == forks

    @property
    def is_at_path(self) -> bool:
        """True while it is the file at the path, unchanged. Windows cannot say it here."""
        cdef const char* path = PyBytes_AS_STRING(self.path)
        cdef bint is_same
        with nogil:
            is_same = is_at_path(path, &self.stamp)
        return is_same

    # The global lock of Python is held from each test to what follows from it.

    cdef bint begin(self) noexcept:
        """Read it; False where somebody has it open for writing."""
        if self.is_forgotten or (self.readers == 0 and self.is_locking and not take_lock(self.descriptor)):
            return False
        self.readers += 1
        return True

    cdef int end(self) except -1:
        """Read it no longer."""
        return self.leave() if self.process == forks else 0

    cdef int leave(self) except -1:
        self.readers -= 1
        if self.readers == 0 and not self.is_forgotten and self.is_locking:
            take_lock_off(self.descriptor)
        return self.close_unread()

    cdef int close_unread(self) except -1:
        if self.readers == 0 and self.is_forgotten and self.owner is not None:
            owner, self.owner = self.owner, None
            owner.close()
        return 0

    def read(self, handle) -> Reading | None:
        """Read it, for the handle of its file, until what is given here is closed; None where somebody has it open for
        writing.
        """
        cdef Reading reading = Reading.__new__(Reading)
        if not self.begin():
            return None
        reading.kept, reading.descriptor, reading.stamp = self, self.descriptor, handle.stamp
        reading.path, reading.location = handle.path, handle.location
        return reading

    def forget(self) -> None:
        """Keep it no longer."""
        self.is_forgotten = True
        self.close_unread()

    cdef bint fill(self, uint64_t offset, uint8_t* out, size_t size) except -1:
        """Read bytes from a place in the file, which has them; False where it has to be opened anew for that: it is
        another file now, or somebody writes it.
        """
        cdef const char* path = PyBytes_AS_STRING(self.path)
        cdef bint is_same
        cdef int status
        if self.process != forks:
            return False
        with nogil:
            is_same = is_at_path(path, &self.stamp)
        if not is_same or not self.begin():
            return False
        with nogil:
            status = read_at(self.descriptor, out, size, offset)
        self.leave()
        if status > 0:
            raise OSError(status, "reading the file failed")
        return status == 0


cdef extern from "Python.h":
    int PySlice_Unpack(object part, Py_ssize_t* start, Py_ssize_t* stop, Py_ssize_t* step) except -1
    Py_ssize_t PySlice_AdjustIndices(Py_ssize_t length, Py_ssize_t* start, Py_ssize_t* stop, Py_ssize_t step)


@cython.final
cdef class RowsInFile:
    """An array whose elements are end to end in the file, as they are in memory.

    start: where in the file; shape, dtype: of the array.
    """

    cdef uint64_t start
    cdef uint64_t[32] lengths
    cdef uint64_t row_bytes
    cdef int rank
    cdef cnp.dtype dtype

    def __cinit__(self, uint64_t start, tuple shape not None, cnp.dtype dtype not None):
        cdef int i
        if not 0 < len(shape) <= 32:
            raise ValueError(f"an array of {len(shape)} axes")
        self.start, self.rank, self.dtype, self.row_bytes = start, len(shape), dtype, dtype.itemsize
        for i in range(self.rank):
            self.lengths[i] = shape[i]
            self.row_bytes *= self.lengths[i] if i else 1

    def read(self, KeptFile kept, key):
        """The selection of numbers, and of a plain slice at the end: an array, or an element.

        None for any other key, and where the file has to be opened anew.
        """
        cdef uint64_t[32] shape
        cdef uint64_t at = self.start, step = self.row_bytes, size
        cdef Py_ssize_t number, stop, stride
        cdef bint is_tuple = type(key) is tuple
        cdef int count = <int>len(<tuple>key) if is_tuple else 1, i, first = count, rank = 0
        if kept is None or count > self.rank:
            return None
        for i in range(count):
            part = (<tuple>key)[i] if is_tuple else key
            if type(part) is slice and i == count - 1:
                PySlice_Unpack(part, &number, &stop, &stride)
                shape[0] = PySlice_AdjustIndices(<Py_ssize_t>self.lengths[i], &number, &stop, stride)
                if stride != 1:
                    return None
                rank = 1
            elif type(part) is int or isinstance(part, NUMPY_INTEGER):
                try:
                    number = part
                except OverflowError:
                    return None
                number += <Py_ssize_t>self.lengths[i] if number < 0 else 0
                if not 0 <= number < <Py_ssize_t>self.lengths[i]:
                    return None
            else:
                return None
            at += <uint64_t>number * step
            if i + 1 < self.rank and self.lengths[i + 1]:
                step //= self.lengths[i + 1]
        size = self.dtype.itemsize
        for i in range(first, self.rank):
            shape[rank] = self.lengths[i]
            rank += 1
        for i in range(rank):
            size *= shape[i]
        if at > kept.stamp.size or size > kept.stamp.size - at:
            return None
        out = new_array(self.dtype, rank, shape)
        if not kept.fill(at, <uint8_t*>cnp.PyArray_DATA(out), size):
            return None
        return out if rank else out[()]


@cython.final
cdef class Reading:
    """A kept file while it is read, as `OpenFile`: until `close`, or until nobody holds this object any more."""

    cdef KeptFile kept
    cdef readonly int descriptor
    cdef readonly object path, location
    cdef public object stamp

    @property
    def reader(self) -> None:
        return None

    @property
    def locked_for_writing(self) -> bool:
        return False

    def close(self) -> None:
        """A second time does nothing."""
        kept, self.kept = self.kept, None
        if kept is not None:
            (<KeptFile>kept).end()

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, kind, error, trace) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
