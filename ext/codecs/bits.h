/* bits.h — the highest bit of a number. */
#ifndef H5BURST_BITS_H
#define H5BURST_BITS_H

#include <stdint.h>

/* value: not 0. */
static inline unsigned highest_bit(uint32_t value) {
#if defined(__GNUC__)
    return 31u - (unsigned)__builtin_clz(value);
#else
    unsigned bit = 0;
    while (value >>= 1) bit++;
    return bit;
#endif
}

#endif
