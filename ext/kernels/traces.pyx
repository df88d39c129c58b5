# ext/kernels/traces.pyx — long traces of samples: sums of blocks, and where a trace rises.
from libc.stdint cimport int16_t, int32_t, int64_t, uint16_t, uint64_t

ctypedef fused integer:
    int16_t
    uint16_t
    int32_t
    int64_t

ctypedef fused sample:
    int32_t
    int64_t
    double


def block_sums(const integer[::1] samples, Py_ssize_t length, int64_t[::1] out) -> None:
    """Write the sums of consecutive blocks of `length` samples; out has one for each."""
    cdef Py_ssize_t block, k, at = 0
    cdef uint64_t total  # sums beyond 64 bits wrap around, as numpy's do
    with nogil:
        for block in range(out.shape[0]):
            total = 0
            for k in range(at, at + length):
                total += <uint64_t>samples[k]
            out[block] = <int64_t>total
            at += length


def rises(const sample[::1] samples, double above, int64_t[::1] out):
    """Write each k with samples[k + 1] - samples[k] > above, as numbers in double precision. Returns how many.

    out has room for one index less than there are samples. Differences of integers are of 64 bits.
    """
    cdef Py_ssize_t k, count = 0
    cdef int64_t step
    with nogil:
        for k in range(samples.shape[0] - 1):
            out[count] = k
            if sample is double:
                count += samples[k + 1] - samples[k] > above
            else:
                step = <int64_t>(<uint64_t>samples[k + 1] - <uint64_t>samples[k])
                count += <double>step > above
    return count
