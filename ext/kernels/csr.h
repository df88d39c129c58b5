/* ext/csr.h — the entry points of csr_loops.h: level picks the instruction set. */
#ifndef H5BURST_CSR_H
#define H5BURST_CSR_H

#include <stddef.h>
#include <stdint.h>

#include "simd.h"

#define SIMD_SOURCE "csr_types.h"
#include "simd_variants.h"

#define CSR_ENTRY(T, suffix)                                                                                      \
    static inline void csr_count_##suffix(int level, const T *x, ptrdiff_t row_step, ptrdiff_t step,              \
                                          int64_t rows, int64_t columns, uint64_t mask, int64_t *counts) {        \
        SIMD_CALL(level, csr_count_##suffix, ((const char *)x, row_step, step, rows, columns, mask, counts));     \
    }                                                                                                             \
    static inline void csr_encode_##suffix(int level, const T *x, ptrdiff_t row_step, ptrdiff_t step,             \
                                           int64_t rows, int64_t columns, uint64_t mask, const int64_t *pointers, \
                                           int64_t start, int64_t stop, T *data, int32_t *narrow,                 \
                                           int64_t *wide) {                                                       \
        SIMD_CALL(level, csr_encode_##suffix, ((const char *)x, row_step, step, rows, columns, mask, pointers,    \
                                               start, stop, data, narrow, wide));                                 \
    }

CSR_ENTRY(uint8_t, u8)
CSR_ENTRY(uint16_t, u16)
CSR_ENTRY(uint32_t, u32)
CSR_ENTRY(uint64_t, u64)
CSR_ENTRY(long double, ld)

#endif
