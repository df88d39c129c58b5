/* ext/csr_types.h — csr_loops.h for every element type. A float of 16 to 64 bits is handled as the unsigned integer of
   its size; long double, whose bytes hold padding, by its value. */
#define CSR_TYPE uint8_t
#define CSR_SUFFIX u8
#define CSR_NONZERO(value, mask) (((value) & (uint8_t)(mask)) != 0)
#include "csr_loops.h"

#define CSR_TYPE uint16_t
#define CSR_SUFFIX u16
#define CSR_NONZERO(value, mask) (((value) & (uint16_t)(mask)) != 0)
#include "csr_loops.h"

#define CSR_TYPE uint32_t
#define CSR_SUFFIX u32
#define CSR_NONZERO(value, mask) (((value) & (uint32_t)(mask)) != 0)
#include "csr_loops.h"

#define CSR_TYPE uint64_t
#define CSR_SUFFIX u64
#define CSR_NONZERO(value, mask) (((value) & (mask)) != 0)
#include "csr_loops.h"

#define CSR_TYPE long double
#define CSR_SUFFIX ld
#define CSR_NONZERO(value, mask) ((void)(mask), (value) != 0)
#include "csr_loops.h"
