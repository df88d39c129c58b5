# A file that is kept open between reads: one row of it costs a few system calls, and no more.

cdef extern from "kept_file.h":
    ctypedef struct file_stamp:
        uint64_t device, inode, size
        int64_t written, changed
    bint is_at_path(const char* path, const file_stamp* stamp) nogil
    bint take_lock(int descriptor) nogil
    void take_lock_off(int descriptor) nogil
    int this_process() nogil


@cython.final
cdef class ProcessLock:
    """A reentrant lock of one process. A fork leaves it behind: in the child, where a thread of the parent may seem to
    hold it for ever, it is a new one.
    """

    cdef object lock
    cdef int process

    def of_this_process(self):
        """The lock itself, to be held in a `with` block.

        An `__enter__` of Python's could be interrupted when it has acquired the lock and not yet returned.
        """
        if self.lock is None or self.process != this_process():
            self.lock, self.process = threading.RLock(), this_process()
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
        self.readers, self.process, self.is_forgotten = 0, this_process(), False

    @property
    def is_here(self) -> bool:
        """Whether this is the process that opened it: the locks of another would end with those of this one."""
        return self.process == this_process()

    @property
    def is_at_path(self) -> bool:
        """Whether it is still the file at the path, unchanged. Windows cannot say it here."""
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
        if self.process != this_process():
            return 0
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

    def fill(self, uint64_t offset, cnp.ndarray out not None) -> bool:
        """Read into all of a C-ordered array from a place in the file; False where it has to be opened anew for that:
        it is another file now, or somebody writes it.
        """
        cdef uint8_t* data = <uint8_t*>cnp.PyArray_DATA(out)
        cdef size_t size = cnp.PyArray_NBYTES(out)
        cdef const char* path = PyBytes_AS_STRING(self.path)
        cdef bint is_same
        cdef int status
        if self.process != this_process() or not cnp.PyArray_IS_C_CONTIGUOUS(out) or not cnp.PyArray_ISWRITEABLE(out):
            return False
        if offset > self.stamp.size or size > self.stamp.size - offset:
            return False
        with nogil:
            is_same = is_at_path(path, &self.stamp)
        if not is_same or not self.begin():
            return False
        with nogil:
            status = read_at(self.descriptor, data, size, offset)
        self.end()
        if status > 0:
            raise OSError(status, "reading the file failed")
        return status == 0


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
