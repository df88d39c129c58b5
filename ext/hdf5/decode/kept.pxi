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
cdef class KeptFile:
    """A descriptor that somebody keeps: who reads it now, so that it is locked no longer than that.

    descriptor: it is closed after `forget`, when nobody reads any more. It counts as being read, and locked, at first:
    whoever opened it unlocks it. path, stamp: where the file is, and what tells it from others. is_locking: files are
    locked here at all.
    """

    cdef readonly int descriptor
    cdef file_stamp stamp
    cdef bytes path
    cdef int readers, process
    cdef bint is_locking, is_forgotten

    def __cinit__(self, int descriptor, bytes path not None, stamp, bint is_locking):
        self.descriptor, self.path, self.is_locking = descriptor, path, is_locking
        self.stamp.device, self.stamp.inode, self.stamp.size, self.stamp.written, self.stamp.changed = stamp
        self.readers, self.process, self.is_forgotten = 1, this_process(), False

    @property
    def is_here(self) -> bool:
        """Whether this is the process that opened it: the locks of another would end with those of this one."""
        return self.process == this_process()

    # The global lock of Python is held from each test to what follows from it.

    cpdef bint lock(self):
        """Read it; False where somebody has it open for writing."""
        if self.is_forgotten or (self.readers == 0 and self.is_locking and not take_lock(self.descriptor)):
            return False
        self.readers += 1
        return True

    cpdef bint unlock(self):
        """Read it no longer; True where it has to be closed now."""
        if self.process != this_process():
            return False
        self.readers -= 1
        if self.readers == 0 and not self.is_forgotten and self.is_locking:
            take_lock_off(self.descriptor)
        return self.readers == 0 and self.is_forgotten

    def forget(self) -> bool:
        """Keep it no longer; True where it has to be closed now."""
        is_new = not self.is_forgotten
        self.is_forgotten = True
        return is_new and self.readers == 0

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
        if not is_same or not self.lock():
            return False
        with nogil:
            status = read_at(self.descriptor, data, size, offset)
        if self.unlock():
            os.close(self.descriptor)
        if status > 0:
            raise OSError(status, "reading the file failed")
        return status == 0
