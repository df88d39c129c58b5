/* ext/kernels/simd_variants.h — compile SIMD_SOURCE once for each level; see simd.h. Once a kernel, so no guard. */
#define SIMD_LEVEL SIMD_BASELINE
#define SIMD(name) SIMD_JOIN(name, baseline)
#include SIMD_SOURCE
#undef SIMD
#undef SIMD_LEVEL

#if SIMD_HAS_VARIANTS

#define SIMD_LEVEL SIMD_AVX2
#define SIMD(name) SIMD_JOIN(name, avx2)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,popcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,popcnt")
#endif
#include SIMD_SOURCE
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef SIMD
#undef SIMD_LEVEL

#define SIMD_LEVEL SIMD_AVX512
#define SIMD(name) SIMD_JOIN(name, avx512)
#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx2,bmi,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,prefer-vector-width=512")
#endif
#include SIMD_SOURCE
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef SIMD
#undef SIMD_LEVEL

#endif
#undef SIMD_SOURCE
