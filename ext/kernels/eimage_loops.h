/* eimage_loops.h — the loops over one tile of electrodes, compiled once for each instruction set (see simd.h).

Time is the outer loop, and a group of electrodes is in registers: the recursion of one electrode waits for itself,
those of its neighbours do not. States are double. Single precision ones were off by up to 0.013 standard deviations at
a cutoff of 100 Hz and by 9 at 1 Hz (order 2, 20 kHz, noise of 20 counts on an offset of 30 000), by 3e-5 and 0.02
without the offset. Samples between the two passes are float: with double states that leaves 4e-7. */

#if EIMAGE_VECTORS
#if SIMD_LEVEL == SIMD_AVX512
#define LANES 8
#elif SIMD_LEVEL == SIMD_AVX2
#define LANES 4
#else
#define LANES 2
#endif
typedef double SIMD(doubles) __attribute__((vector_size(8 * LANES)));
typedef float SIMD(floats) __attribute__((vector_size(4 * LANES)));
typedef int16_t SIMD(shorts) __attribute__((vector_size(2 * LANES)));
typedef int32_t SIMD(ints) __attribute__((vector_size(4 * LANES)));
#define CONVERT(value, type) __builtin_convertvector(value, type)
#else
#define LANES 1
typedef double SIMD(doubles);
typedef float SIMD(floats);
typedef int16_t SIMD(shorts);
typedef int32_t SIMD(ints);
#define CONVERT(value, type) ((type)(value))
#endif
#define DOUBLES SIMD(doubles)
#define VECTORS 4 /* in flight at once: enough to hide the latency of the recursion, few enough for 16 registers */

EIMAGE_INLINE DOUBLES SIMD(eimage_sample)(const int kind, const void *samples, ptrdiff_t at) {
    if (kind == EIMAGE_INT16) {
        SIMD(shorts) value;
        memcpy(&value, (const int16_t *)samples + at, sizeof value);
        return CONVERT(CONVERT(value, SIMD(ints)), DOUBLES);
    }
    SIMD(floats) value;
    memcpy(&value, (const float *)samples + at, sizeof value);
    return CONVERT(value, DOUBLES);
}

/* Direct form II transposed, as scipy.signal.sosfilt: its states are interchangeable with these. */
EIMAGE_INLINE DOUBLES SIMD(eimage_section)(const double *c, DOUBLES x, DOUBLES *z) {
    DOUBLES y = c[0] * x + z[0];
    z[0] = (c[1] * x + z[1]) - c[3] * y;
    z[1] = c[2] * x - c[4] * y;
    return y;
}

/* Run the cascade over `count` rows of a tile, `step` elements apart (negative: backwards in time).
 * state (sections, 2, EIMAGE_TILE) is carried. Called with constant sections, kind and write, and inlined. */
EIMAGE_INLINE void SIMD(eimage_run)(const int sections, const int kind, const int write, const void *samples,
                                    ptrdiff_t step, float *out, ptrdiff_t out_step, ptrdiff_t count,
                                    const double *coefficients, double *state, double scale) {
    for (int first = 0; first < EIMAGE_TILE; first += VECTORS * LANES) {
        DOUBLES z[EIMAGE_MAX_SECTIONS][VECTORS][2];
        for (int s = 0; s < sections; s++)
            for (int v = 0; v < VECTORS; v++)
                for (int k = 0; k < 2; k++)
                    memcpy(&z[s][v][k], state + (2 * s + k) * EIMAGE_TILE + first + v * LANES, sizeof(DOUBLES));
        for (ptrdiff_t row = 0; row < count; row++) {
            for (int v = 0; v < VECTORS; v++) {
                DOUBLES value = SIMD(eimage_sample)(kind, samples, row * step + first + v * LANES);
                for (int s = 0; s < sections; s++) value = SIMD(eimage_section)(coefficients + 5 * s, value, z[s][v]);
                if (write) {
                    SIMD(floats) narrow = CONVERT(write == EIMAGE_SCALED ? scale * value : value, SIMD(floats));
                    memcpy(out + row * out_step + first + v * LANES, &narrow, sizeof narrow);
                }
            }
        }
        for (int s = 0; s < sections; s++)
            for (int v = 0; v < VECTORS; v++)
                for (int k = 0; k < 2; k++)
                    memcpy(state + (2 * s + k) * EIMAGE_TILE + first + v * LANES, &z[s][v][k], sizeof(DOUBLES));
    }
}

#define RUN(sections, kind, write) \
    SIMD(eimage_run)(sections, kind, write, samples, step, out, out_step, count, coefficients, state, scale)
#define DEFINE_RUN(name, kind, write)                                                                             \
    static void SIMD(name)(int sections, const void *samples, ptrdiff_t step, float *out, ptrdiff_t out_step,    \
                           ptrdiff_t count, const double *coefficients, double *state, double scale) {           \
        if (sections == 1)                                                                                        \
            RUN(1, kind, write);                                                                                  \
        else if (sections == 2)                                                                                   \
            RUN(2, kind, write);                                                                                  \
        else if (sections == 3)                                                                                   \
            RUN(3, kind, write);                                                                                  \
        else                                                                                                      \
            RUN(sections, kind, write);                                                                           \
    }

DEFINE_RUN(eimage_forward_int16, EIMAGE_INT16, EIMAGE_PLAIN)
DEFINE_RUN(eimage_forward_float, EIMAGE_FLOAT, EIMAGE_PLAIN)
DEFINE_RUN(eimage_state_only, EIMAGE_FLOAT, EIMAGE_NOTHING)
DEFINE_RUN(eimage_scaled, EIMAGE_FLOAT, EIMAGE_SCALED)

/* Kahan's compensated sum; what rounding lost is kept as the upper half of a float (bfloat16), 8 bits of it. Adding one
 * value a thousand times over rounds the same way each time: plain float sums are then off by up to 3e-8 of n. */
static void SIMD(eimage_add_filtered)(float *__restrict sums, uint16_t *__restrict lost,
                                      const float *__restrict samples, ptrdiff_t rows) {
    for (ptrdiff_t i = 0; i < rows * EIMAGE_TILE; i++) {
        union { uint32_t bits; float value; } rest;
        rest.bits = (uint32_t)lost[i] << 16;
        float addend = samples[i] - rest.value;
        float sum = sums[i] + addend;
        rest.value = (sum - sums[i]) - addend;
        sums[i] = sum;
        lost[i] = (uint16_t)((rest.bits + 0x8000) >> 16);
    }
}

static void SIMD(eimage_add_states)(double *sums, const double *state, ptrdiff_t orders) {
    for (ptrdiff_t i = 0; i < orders * EIMAGE_TILE; i++) sums[i] += state[i];
}

/* sums += carry · state, for one unit: carry (orders, orders), sums and state (orders, EIMAGE_TILE). */
static void SIMD(eimage_add_carried)(double *sums, const double *carry, const double *state, ptrdiff_t orders) {
    for (ptrdiff_t a = 0; a < orders; a++)
        for (ptrdiff_t b = 0; b < orders; b++)
            for (ptrdiff_t i = 0; i < EIMAGE_TILE; i++)
                sums[a * EIMAGE_TILE + i] += carry[a * orders + b] * state[b * EIMAGE_TILE + i];
}

#define DEFINE_ADD(name, sample_type, sum_type)                                                                 \
    static void SIMD(name)(sum_type *sums, const sample_type *samples, ptrdiff_t step, ptrdiff_t rows) {        \
        for (ptrdiff_t row = 0; row < rows; row++)                                                              \
            for (ptrdiff_t i = 0; i < EIMAGE_TILE; i++) sums[row * EIMAGE_TILE + i] += samples[row * step + i]; \
    }

DEFINE_ADD(eimage_add_int16, int16_t, int32_t)
DEFINE_ADD(eimage_add_int16_wide, int16_t, double)
DEFINE_ADD(eimage_add_float_wide, float, double)

#define DEFINE_TOTAL(name, sample_type)                                                                   \
    static void SIMD(name)(double *total, const sample_type *samples, ptrdiff_t step, ptrdiff_t rows) {   \
        for (ptrdiff_t row = 0; row < rows; row++)                                                        \
            for (ptrdiff_t i = 0; i < EIMAGE_TILE; i++) total[i] += samples[row * step + i];              \
    }

DEFINE_TOTAL(eimage_total_int16, int16_t)
DEFINE_TOTAL(eimage_total_float, float)

#undef RUN
#undef DEFINE_RUN
#undef DEFINE_ADD
#undef DEFINE_TOTAL
#undef CONVERT
#undef DOUBLES
#undef LANES
#undef VECTORS
