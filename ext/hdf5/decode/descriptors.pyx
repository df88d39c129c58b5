# ext/hdf5/decode/descriptors.pyx — descriptors that are closed with what holds them.
import os

cdef extern from *:
    """
    #ifdef _WIN32
    #include <io.h>
    #define close_descriptor _close
    #else
    #include <unistd.h>
    #define close_descriptor close
    #endif
    """
    int close_descriptor(int number) nogil


cdef class Descriptor:
    """An open file by its number. Closed by `close`, or when nobody holds this object any more.

    An interruption (Ctrl-C) comes between two steps of the interpreter. Between the call that opens a file and the
    assignment of what it gave, and in a `__del__`, the number would be lost and the file open for good, its locks held.
    Nothing here is a step of the interpreter.
    """
    cdef int number

    def __cinit__(self):
        self.number = -1

    def __dealloc__(self):
        if self.number >= 0:
            with nogil:
                close_descriptor(self.number)

    @staticmethod
    def open(path, int flags, int mode=0o777) -> Descriptor:
        cdef Descriptor descriptor = Descriptor.__new__(Descriptor)
        descriptor.number = os.open(path, flags, mode)
        return descriptor

    def fileno(self) -> int:
        """The number. ValueError when it is closed."""
        if self.number < 0:
            raise ValueError("the file is closed")
        return self.number

    def detach(self) -> int:
        """The number, which is the caller's to close from here on."""
        number = self.fileno()
        self.number = -1
        return number

    def close(self) -> None:
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)
