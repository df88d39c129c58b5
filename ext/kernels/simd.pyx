# ext/kernels/simd.pyx — which instruction sets this machine runs.
cdef extern from "simd.h" nogil:
    int simd_detect()


def detect() -> int:
    """The highest level of `simd.h` that this machine and its operating system run: 0, 1 or 2."""
    return simd_detect()
