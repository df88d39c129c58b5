/* ext/kernels/simd.h — one source, several instruction sets, picked at run time.

How a kernel uses it:

1. Put the hot loops in a header of their own without include guard, say `csr_loops.h`, and name every function in it
   `SIMD(name)`: static, ending in no suffix of its own. Plain C loops are vectorised by the compiler for each level;
   intrinsics go under `#if SIMD_LEVEL == SIMD_AVX2` and the like, with a plain version in the `#else`.
2. In the kernel's header:

       #include "simd.h"
       #define SIMD_SOURCE "csr_loops.h"
       #include "simd_variants.h"

       static void csr_count(int level, const double *x, size_t n, ...) { SIMD_CALL(level, csr_count, (x, n, ...)); }

   and declare that last function in the .pyx.
3. The Python wrapper passes `h5burst.runtime.simd.level()`, which never exceeds what the machine has.

The level is asked for in the calling thread, before work is handed to the pool.

Every level must give the same bits: no fused multiply-add (never name the target "fma"; the build passes
-ffp-contract=off), and no floating-point reduction across lanes (sum lane by lane, in the order of the plain loop).
Compilers other than GCC and Clang, and machines other than x86-64, have the baseline alone. */
#ifndef H5BURST_SIMD_H
#define H5BURST_SIMD_H

#define SIMD_BASELINE 0
#define SIMD_AVX2 1   /* x86-64-v3 without FMA: Intel from Haswell, AMD from Excavator */
#define SIMD_AVX512 2 /* F, BW, DQ, VL and VNNI: Intel from Cascade Lake, AMD from Zen 4 */

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
#define SIMD_HAS_VARIANTS 1
#include <cpuid.h>
#include <immintrin.h>
#else
#define SIMD_HAS_VARIANTS 0
#endif

#define SIMD_JOIN_(name, suffix) name##_##suffix
#define SIMD_JOIN(name, suffix) SIMD_JOIN_(name, suffix)

#if SIMD_HAS_VARIANTS
#define SIMD_CALL(level, name, arguments)                    \
    ((level) >= SIMD_AVX512 ? SIMD_JOIN(name, avx512) arguments \
     : (level) >= SIMD_AVX2 ? SIMD_JOIN(name, avx2) arguments   \
                            : SIMD_JOIN(name, baseline) arguments)
#else
#define SIMD_CALL(level, name, arguments) ((void)(level), SIMD_JOIN(name, baseline) arguments)
#endif

/* The highest level that this machine and its operating system run. The processor is asked itself (CPUID, Intel SDM
 * volume 2A): what __builtin_cpu_supports reads is filled in by libgcc, which other linkers do not bring. */
static inline int simd_detect(void) {
#if SIMD_HAS_VARIANTS
    unsigned eax, ebx, ecx, edx, saved, high;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE) || !(ecx & bit_AVX) || !(ecx & bit_POPCNT))
        return SIMD_BASELINE;
    __asm__ volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0)); /* registers that the system saves */
    if ((saved & 0x06) != 0x06 || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        return SIMD_BASELINE;
    if (!(ebx & (1u << 5)) || !(ebx & (1u << 3)) || !(ebx & (1u << 8))) /* AVX2, BMI1, BMI2 */
        return SIMD_BASELINE;
    if ((saved & 0xE6) != 0xE6 || !(ebx & (1u << 16)) || !(ebx & (1u << 30)) || !(ebx & (1u << 17)) ||
        !(ebx & (1u << 31)) || !(ecx & (1u << 11))) /* AVX512 F, BW, DQ, VL, VNNI */
        return SIMD_AVX2;
    return SIMD_AVX512;
#else
    return SIMD_BASELINE;
#endif
}

#endif
