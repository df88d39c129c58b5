/* ext/kernels/sta_loops.h — the inner loops of the triggered average, for one instruction set.

A strip is STA_STRIP neighbouring pixels. Its frames, or runs of equal frames, are packed into 32-bit words, a word a
pixel: four 8-bit or two 16-bit values of one pixel in consecutive runs. The weights of a lag, how many windows show
that run at that lag, are packed alike, so that one instruction multiplies and adds a whole word. Weights are taken a
few bits at a time (a "digit") so that no product or sum can leave its 32 bits, and are folded into 64 after a block. */

/* STA_DOT8 and STA_DOT16: sum + products of a word's unsigned bytes with digits of at most 6 bits, or of its signed
   halves with digits of at most 5. STA_DOUBLES: a vector of that many. */
#if SIMD_LEVEL == SIMD_AVX512
#define STA_VECTOR __m512i
#define STA_WORDS 16
#define STA_WIDE 4 /* vectors side by side: as many sums as registers hold */
#define STA_EACH_VECTOR(X, l) X(l, 0) X(l, 1) X(l, 2) X(l, 3)
#define STA_LOAD(p) _mm512_loadu_si512(p)
#define STA_STORE(p, v) _mm512_storeu_si512(p, v)
#define STA_ZERO _mm512_setzero_si512()
#define STA_SPREAD(word) _mm512_set1_epi32(word)
#define STA_DOT8(sum, pixels, weights) _mm512_dpbusd_epi32(sum, pixels, weights)
#define STA_DOT16(sum, pixels, weights) _mm512_dpwssd_epi32(sum, pixels, weights)
#define STA_DOUBLE __m512d
#define STA_DOUBLES 8
#define STA_LOAD_DOUBLES(p) _mm512_loadu_pd(p)
#define STA_STORE_DOUBLES(p, v) _mm512_storeu_pd(p, v)
#define STA_SPREAD_DOUBLE(value) _mm512_set1_pd(value)
#define STA_PRODUCT_SUM(sum, a, b) _mm512_add_pd(sum, _mm512_mul_pd(a, b))
#elif SIMD_LEVEL == SIMD_AVX2
#define STA_VECTOR __m256i
#define STA_WORDS 8
#define STA_WIDE 2
#define STA_EACH_VECTOR(X, l) X(l, 0) X(l, 1)
#define STA_LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define STA_STORE(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define STA_ZERO _mm256_setzero_si256()
#define STA_SPREAD(word) _mm256_set1_epi32(word)
#define STA_DOT8(sum, pixels, weights) \
    _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(pixels, weights), _mm256_set1_epi16(1)))
#define STA_DOT16(sum, pixels, weights) _mm256_add_epi32(sum, _mm256_madd_epi16(pixels, weights))
#define STA_DOUBLE __m256d
#define STA_DOUBLES 4
#define STA_LOAD_DOUBLES(p) _mm256_loadu_pd(p)
#define STA_STORE_DOUBLES(p, v) _mm256_storeu_pd(p, v)
#define STA_SPREAD_DOUBLE(value) _mm256_set1_pd(value)
#define STA_PRODUCT_SUM(sum, a, b) _mm256_add_pd(sum, _mm256_mul_pd(a, b))
#elif STA_SSE2
#define STA_VECTOR __m128i
#define STA_WORDS 4
#define STA_WIDE 1
#define STA_EACH_VECTOR(X, l) X(l, 0)
#define STA_LOAD(p) _mm_loadu_si128((const __m128i *)(p))
#define STA_STORE(p, v) _mm_storeu_si128((__m128i *)(p), v)
#define STA_ZERO _mm_setzero_si128()
#define STA_SPREAD(word) _mm_set1_epi32(word)
#define STA_EVEN(v) _mm_and_si128(v, _mm_set1_epi16(255))
#define STA_ODD(v) _mm_srli_epi16(v, 8)
#define STA_DOT8(sum, pixels, weights)                                                     \
    _mm_add_epi32(sum, _mm_add_epi32(_mm_madd_epi16(STA_EVEN(pixels), STA_EVEN(weights)),  \
                                     _mm_madd_epi16(STA_ODD(pixels), STA_ODD(weights))))
#define STA_DOT16(sum, pixels, weights) _mm_add_epi32(sum, _mm_madd_epi16(pixels, weights))
#define STA_DOUBLE __m128d
#define STA_DOUBLES 2
#define STA_LOAD_DOUBLES(p) _mm_loadu_pd(p)
#define STA_STORE_DOUBLES(p, v) _mm_storeu_pd(p, v)
#define STA_SPREAD_DOUBLE(value) _mm_set1_pd(value)
#define STA_PRODUCT_SUM(sum, a, b) _mm_add_pd(sum, _mm_mul_pd(a, b))
#else
#define STA_VECTOR int32_t
#define STA_WORDS 1
#define STA_WIDE 1
#define STA_EACH_VECTOR(X, l) X(l, 0)
#define STA_LOAD(p) (*(p))
#define STA_STORE(p, v) (*(p) = (v))
#define STA_ZERO 0
#define STA_SPREAD(word) (word)
#define STA_BYTE(v, k) ((int32_t)((uint32_t)(v) >> (8 * (k)) & 255))
#define STA_HALF(v, k) ((int32_t)(int16_t)((uint32_t)(v) >> (16 * (k)) & 65535))
#define STA_DOT8(sum, pixels, weights)                                                                    \
    ((sum) + STA_BYTE(pixels, 0) * STA_BYTE(weights, 0) + STA_BYTE(pixels, 1) * STA_BYTE(weights, 1) +    \
     STA_BYTE(pixels, 2) * STA_BYTE(weights, 2) + STA_BYTE(pixels, 3) * STA_BYTE(weights, 3))
#define STA_DOT16(sum, pixels, weights) \
    ((sum) + STA_HALF(pixels, 0) * STA_HALF(weights, 0) + STA_HALF(pixels, 1) * STA_HALF(weights, 1))
#define STA_DOUBLE double
#define STA_DOUBLES 1
#define STA_LOAD_DOUBLES(p) (*(p))
#define STA_STORE_DOUBLES(p, v) (*(p) = (v))
#define STA_SPREAD_DOUBLE(value) (value)
#define STA_PRODUCT_SUM(sum, a, b) ((sum) + (a) * (b))
#endif

/* sums[lag][pixel] += (words · weights of the lag) << shift. weights (groups, lags), lags a multiple of STA_LAGS;
   words (groups, STA_STRIP); sums (lags, STA_STRIP). The sums of STA_LAGS lags × STA_WIDE vectors are variables
   of their own, as arrays are not kept in registers, and GCC 12 would spill even these but for STA_KEEP: half the
   speed. */
#if SIMD_LEVEL > SIMD_BASELINE
#define STA_KEEP(sum) __asm__("" : "+v"(sum));
#else
#define STA_KEEP(sum)
#endif
#define STA_CLEAR(l, v) STA_VECTOR sum_##l##_##v = STA_ZERO;
#define STA_CLEAR_LAG(l) STA_EACH_VECTOR(STA_CLEAR, l)
#define STA_PIXELS(l, v) const STA_VECTOR pixels_##v = STA_LOAD(at + v * STA_WORDS);
#define STA_ADD8(l, v)                                              \
    sum_##l##_##v = STA_DOT8(sum_##l##_##v, pixels_##v, spread);    \
    STA_KEEP(sum_##l##_##v)
#define STA_ADD16(l, v)                                             \
    sum_##l##_##v = STA_DOT16(sum_##l##_##v, pixels_##v, spread);   \
    STA_KEEP(sum_##l##_##v)
#define STA_ADD8_LAG(l) spread = STA_SPREAD(of[l]); STA_EACH_VECTOR(STA_ADD8, l)
#define STA_ADD16_LAG(l) spread = STA_SPREAD(of[l]); STA_EACH_VECTOR(STA_ADD16, l)
#define STA_FOLD(l, v)                                                            \
    STA_STORE(folded, sum_##l##_##v);                                             \
    for (int k = 0; k < STA_WORDS; ++k)                                           \
        into[l * STA_STRIP + v * STA_WORDS + k] += folded[k] * ((int64_t)1 << shift);
#define STA_FOLD_LAG(l) STA_EACH_VECTOR(STA_FOLD, l)

#define STA_DOT_FUNCTION(name, ADD_LAG)                                                                            \
    static void SIMD(name)(const int32_t *weights, const int32_t *words, int64_t groups, int64_t lags, int shift,  \
                           int64_t *sums) {                                                                        \
        int32_t folded[STA_WORDS];                                                                                 \
        for (int64_t lag = 0; lag < lags; lag += STA_LAGS)                                                         \
            for (int pixel = 0; pixel < STA_STRIP; pixel += STA_WORDS * STA_WIDE) {                                \
                const int32_t *at = words + pixel, *of = weights + lag;                                            \
                int64_t *into = sums + lag * STA_STRIP + pixel;                                                    \
                STA_EACH_LAG(STA_CLEAR_LAG)                                                                        \
                for (int64_t group = 0; group < groups; ++group, at += STA_STRIP, of += lags) {                    \
                    STA_VECTOR spread;                                                                             \
                    STA_EACH_VECTOR(STA_PIXELS, 0)                                                                 \
                    STA_EACH_LAG(ADD_LAG)                                                                          \
                }                                                                                                  \
                STA_EACH_LAG(STA_FOLD_LAG)                                                                         \
            }                                                                                                      \
    }
STA_DOT_FUNCTION(sta_dot8, STA_ADD8_LAG)
STA_DOT_FUNCTION(sta_dot16, STA_ADD16_LAG)

/* The digits at `shift`, of `bits` bits, of the weights of `groups` × `per_word` runs, into words (groups, lags), the
   last lag first. `before[i - lag]` is how many windows start before frame i - lag; run r is frames
   [starts[r], starts[r + 1]). Gives the bits that were left above the digit, of any weight. */
static uint32_t SIMD(sta_weights)(const int32_t *before, const int64_t *starts, int64_t groups, int per_word,
                                  int64_t lag, int64_t lags, int shift, int bits, int32_t *words) {
    const uint32_t mask = (uint32_t)((1u << bits) - 1);
    const int width = 32 / per_word;
    uint32_t left = 0;
    for (int64_t group = 0; group < groups; ++group, words += lags, starts += per_word)
        for (int run = 0; run < per_word; ++run) {
            const int32_t *first = before + starts[run] - lag - (lags - 1);
            const int32_t *end = before + starts[run + 1] - lag - (lags - 1);
            for (int64_t l = 0; l < lags; ++l) {
                const uint32_t weight = (uint32_t)(end[l] - first[l]) >> shift;
                const uint32_t digit = (weight & mask) << (run * width);
                left |= weight & ~mask;
                words[l] = run ? (int32_t)((uint32_t)words[l] | digit) : (int32_t)digit;
            }
        }
    return left;
}

/* sums[lag][pixel] += weight × value, without the runs that have no weight: an infinity there must not become NaN. */
#define STA_TAKE(v) STA_DOUBLE sum_##v = STA_LOAD_DOUBLES(into + v * STA_DOUBLES);
#define STA_ADD(v) sum_##v = STA_PRODUCT_SUM(sum_##v, spread, STA_LOAD_DOUBLES(at + v * STA_DOUBLES));
#define STA_PUT(v) STA_STORE_DOUBLES(into + v * STA_DOUBLES, sum_##v);
static void SIMD(sta_add_doubles)(const int32_t *weights, const double *values, int64_t runs, int64_t lags,
                                  double *sums) {
    const double *at_used[STA_RUNS];
    double weight_used[STA_RUNS];
    for (int64_t first = 0; first < runs; first += STA_RUNS)
        for (int64_t lag = 0; lag < lags; ++lag) {
            /* Which runs have a weight is a matter of chance: they are listed first, without a branch. */
            int used = 0;
            for (int64_t run = first; run < runs && run < first + STA_RUNS; ++run) {
                const int32_t weight = weights[run * lags + lag];
                at_used[used] = values + run * STA_STRIP;
                weight_used[used] = (double)weight;
                used += weight != 0;
            }
            for (int pixel = 0; pixel < STA_STRIP; pixel += 8 * STA_DOUBLES) {
                double *into = sums + lag * STA_STRIP + pixel;
                STA_EACH_OF_8(STA_TAKE)
                for (int k = 0; k < used; ++k) {
                    const double *at = at_used[k] + pixel;
                    const STA_DOUBLE spread = STA_SPREAD_DOUBLE(weight_used[k]);
                    STA_EACH_OF_8(STA_ADD)
                }
                STA_EACH_OF_8(STA_PUT)
            }
        }
}

/* The same for integers of more than 16 bits. */
static void SIMD(sta_add_int64)(const int32_t *weights, const int64_t *values, int64_t runs, int64_t lags,
                                int64_t *sums) {
    for (int64_t lag = 0; lag < lags; ++lag)
        for (int64_t run = 0; run < runs; ++run) {
            const int64_t weight = weights[run * lags + lag];
            if (weight == 0) continue;
            for (int pixel = 0; pixel < STA_STRIP; ++pixel)
                sums[lag * STA_STRIP + pixel] += weight * values[run * STA_STRIP + pixel];
        }
}

#undef STA_VECTOR
#undef STA_WORDS
#undef STA_WIDE
#undef STA_LOAD
#undef STA_STORE
#undef STA_ZERO
#undef STA_SPREAD
#undef STA_EVEN
#undef STA_ODD
#undef STA_BYTE
#undef STA_HALF
#undef STA_DOT8
#undef STA_DOT16
#undef STA_DOT_FUNCTION
#undef STA_EACH_VECTOR
#undef STA_KEEP
#undef STA_CLEAR
#undef STA_CLEAR_LAG
#undef STA_PIXELS
#undef STA_ADD8
#undef STA_ADD16
#undef STA_ADD8_LAG
#undef STA_ADD16_LAG
#undef STA_FOLD
#undef STA_FOLD_LAG
#undef STA_TAKE
#undef STA_ADD
#undef STA_PUT
#undef STA_DOUBLE
#undef STA_DOUBLES
#undef STA_LOAD_DOUBLES
#undef STA_STORE_DOUBLES
#undef STA_SPREAD_DOUBLE
#undef STA_PRODUCT_SUM
