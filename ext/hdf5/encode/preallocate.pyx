# ext/hdf5/encode/preallocate.pyx — disk space for bytes that are about to be written.
from libc.stdint cimport uint64_t

cdef extern from "preallocate.h" nogil:
    int c_preallocate "preallocate"(int descriptor, uint64_t offset, uint64_t length)


def preallocate(int descriptor, uint64_t offset, uint64_t length) -> bool:
    """Ask for room behind the end of an open file, which keeps its size; False where it cannot be, or has no room."""
    cdef int failed
    with nogil:
        failed = c_preallocate(descriptor, offset, length)
    return failed == 0
