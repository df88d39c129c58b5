/* inflate_loops.h — a deflate stream, or two at once, where neither input nor room is about to end; see inflate.h.
 *
 * A stream's next code begins where the last one ends, so a single stream leaves most of a processor idle. Two that
 * have nothing to do with each other share it. Included once a level of instructions, so no guard. */

#if SIMD_LEVEL >= SIMD_AVX2
#define COPY_16(out, from) _mm_storeu_si128((__m128i *)(out), _mm_loadu_si128((const __m128i *)(from)))

/* Copy what is repeated. Bytes up to OUT_MARGIN beyond it may be overwritten: more is copied than most matches have, as
 * their lengths cannot be foreseen. A distance below 16 is a pattern, of which a register holds as many whole ones as
 * it has room for. */
IN_PLACE void SIMD(copy_match)(uint8_t *out, size_t distance, size_t length) {
    const uint8_t *from = out - distance;
    uint8_t *stop = out + length;
    if (distance >= 16) {
        for (int part = 0; part < 4; part++, out += 16, from += 16) COPY_16(out, from);
        for (; out < stop; out += 16, from += 16) COPY_16(out, from);
    } else if (distance == 1) { /* a byte that was just written is there sooner than a register around it */
        __m256i bytes = _mm256_set1_epi8((char)*from);
        _mm256_storeu_si256((__m256i *)out, bytes);
        _mm256_storeu_si256((__m256i *)(out + 32), bytes);
        for (out += 64; out < stop; out += 32) _mm256_storeu_si256((__m256i *)out, bytes);
    } else {
        size_t step = pattern_steps[distance];
        __m128i order = _mm_loadu_si128((const __m128i *)pattern_orders[distance]);
        __m128i bytes = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)from), order);
        for (int part = 0; part < 3; part++, out += step) _mm_storeu_si128((__m128i *)out, bytes);
        for (; out < stop; out += step) _mm_storeu_si128((__m128i *)out, bytes);
    }
}
#undef COPY_16
#else
IN_PLACE void SIMD(copy_match)(uint8_t *out, size_t distance, size_t length) {
    const uint8_t *from = out - distance;
    uint8_t *stop = out + length;
    if (distance >= 8) {
        for (; out < stop; out += 8, from += 8) memcpy(out, from, 8);
    } else {
        while (out < stop) *out++ = *from++;
    }
}
#endif

/* What is needed of a stream from one code to the next. */
typedef struct {
    const uint8_t *in;
    uint8_t *out;
    uint64_t bits, count; /* the lowest byte of `count` counts */
    uint64_t entry;       /* what the next bits mean */
} SIMD(place);

IN_PLACE void SIMD(refill)(SIMD(place) * at) {
    at->bits |= little_endian_64(at->in) << (at->count & 63);
    at->in += 7 - (at->count >> 3 & 7);
    at->count |= 56;
}

/* bits: how many, in the lowest byte. */
IN_PLACE void SIMD(drop)(SIMD(place) * at, uint64_t bits) {
    at->bits >>= bits & 63;
    at->count -= bits;
}

IN_PLACE void SIMD(look)(SIMD(place) * at, const inflate_tables *tables) {
    at->entry = tables->literal[at->bits & ((1u << LITERAL_BITS) - 1)];
}

IN_PLACE void SIMD(put)(SIMD(place) * at, uint64_t entry) {
    store_little_endian_64(at->out, entry >> 8 | entry << 56); /* rotated: one instruction less than shifted */
    at->out += entry >> 56;
    SIMD(drop)(at, entry);
}


#if SIMD_LEVEL >= SIMD_AVX2
#define LOW_BITS(value, n) _bzhi_u64(value, (unsigned)(n))
#else
#define LOW_BITS(value, n) ((value) & (((uint64_t)1 << ((n) & 63)) - 1))
#endif

/* A length and its distance, a long code, or the end of a block. What comes next is looked up before anything is
 * copied, so that the processor need not wait for it. is_full: nothing was taken since the last refill, so that there
 * are the 48 bits that a length and a distance have at most; else they are 23. */
IN_PLACE int SIMD(special)(SIMD(place) * at, const inflate_tables *tables, const uint8_t *start, int is_full) {
    uint64_t entry = at->entry;
    if (entry & IS_ODD) {
        if (entry & IS_REST) {
            if (!is_full) SIMD(refill)(at);
            SIMD(drop)(at, LITERAL_BITS);
            entry = tables->literal[(entry >> 24 & 0xffff) + (at->bits & (LITERAL_REST - 1))];
            if (!IS_SPECIAL(entry)) {
                SIMD(put)(at, entry);
                SIMD(look)(at, tables);
                SIMD(refill)(at);
                return STILL_GOING;
            }
        }
        if (entry & IS_ODD) {
            SIMD(drop)(at, entry >> 8);
            return entry & IS_END ? BLOCK_ENDED : NO_SUCH_CODE;
        }
    }
    uint64_t what = entry >> 8;
    COMPUTED_ONCE(what);
    size_t length = (what >> 16) + (LOW_BITS(at->bits, what) >> (what >> 8 & 63));
    SIMD(drop)(at, what);
    if (!is_full) SIMD(refill)(at);
    uint64_t distant = tables->distance[at->bits & ((1u << DISTANCE_BITS) - 1)];
    if (distant & DISTANCE_IS_REST) {
        if ((distant & DISTANCE_IS_NONE) == DISTANCE_IS_NONE) return NO_SUCH_CODE;
        SIMD(drop)(at, DISTANCE_BITS);
        distant = tables->distance[(distant >> 16) + (at->bits & (DISTANCE_REST - 1))];
        if (distant & DISTANCE_IS_REST) return NO_SUCH_CODE;
    }
    size_t distance = (distant >> 16) + (LOW_BITS(at->bits, distant) >> (distant >> 8 & 63));
    SIMD(drop)(at, distant);
    if (distance > (size_t)(at->out - start)) return TOO_FAR_BACK;
    if (is_full) { /* as few as 8 bits are left */
        SIMD(refill)(at);
        SIMD(look)(at, tables);
    } else {
        SIMD(look)(at, tables);
        SIMD(refill)(at);
    }
    SIMD(copy_match)(at->out, distance, length);
    at->out += length;
    return STILL_GOING;
}
#undef LOW_BITS

/* Up to four entries of literals, of 44 bits of 56, or three and something else. Whether a literal or a match comes
 * next is often a matter of chance: unless matches are most of what comes, the first two are put without asking. */
IN_PLACE int SIMD(step)(SIMD(place) * at, const inflate_tables *tables, const uint8_t *start) {
    if (tables->has_few_literals && IS_SPECIAL(at->entry)) return SIMD(special)(at, tables, start, 1);
    SIMD(put)(at, at->entry);
    SIMD(look)(at, tables);
    SIMD(put)(at, at->entry);
    SIMD(look)(at, tables);
    if (IS_SPECIAL(at->entry)) return SIMD(special)(at, tables, start, 0);
    SIMD(put)(at, at->entry);
    SIMD(look)(at, tables);
    if (IS_SPECIAL(at->entry)) return SIMD(special)(at, tables, start, 0);
    SIMD(put)(at, at->entry);
    SIMD(look)(at, tables);
    SIMD(refill)(at);
    return STILL_GOING;
}

#define PLACE_OF(s) {(s)->in, (s)->out, (s)->bits, (s)->count, 0}
#define KEEP_PLACE(s, at) \
    ((s)->in = (at).in, (s)->out = (at).out, (s)->bits = (at).bits, (s)->count = (unsigned)((at).count & 63))

/* How many steps certainly stay within input and room. */
IN_PLACE size_t SIMD(steps_of)(const SIMD(place) * at, const inflate_stream *s) {
    if (at->in >= s->in_stop || at->out >= s->out_stop) return 0;
    size_t in = (size_t)(s->in_stop - at->in) / IN_STEP, out = (size_t)(s->out_stop - at->out) / OUT_STEP;
    return 1 + (in < out ? in : out);
}

static int SIMD(inflate_one)(inflate_stream *s) {
    SIMD(place) at = PLACE_OF(s);
    const inflate_tables *tables = s->tables;
    const uint8_t *start = s->out_start;
    int state = STILL_GOING;
    SIMD(refill)(&at);
    SIMD(look)(&at, tables);
    for (size_t steps; state == STILL_GOING && (steps = SIMD(steps_of)(&at, s));)
        while (steps-- && (state = SIMD(step)(&at, tables, start)) == STILL_GOING) {}
    KEEP_PLACE(s, at);
    return state;
}

/* Two streams, until one of them needs something else. */
static void SIMD(inflate_both)(inflate_stream *a, inflate_stream *b) {
    SIMD(place) first = PLACE_OF(a), second = PLACE_OF(b);
    const inflate_tables *tables = a->tables;
    const uint8_t *first_start = a->out_start, *second_start = b->out_start;
    int first_state = STILL_GOING, second_state = STILL_GOING;
    SIMD(refill)(&first);
    SIMD(look)(&first, tables);
    SIMD(refill)(&second);
    SIMD(look)(&second, tables + 1);
    for (;;) {
        size_t steps = SIMD(steps_of)(&first, a), others = SIMD(steps_of)(&second, b);
        if (others < steps) steps = others;
        if (!steps) break;
        do {
            if ((first_state = SIMD(step)(&first, tables, first_start)) != STILL_GOING) goto stop;
            if ((second_state = SIMD(step)(&second, tables + 1, second_start)) != STILL_GOING) goto stop;
        } while (--steps);
    }
stop:
    KEEP_PLACE(a, first);
    KEEP_PLACE(b, second);
    a->state = first_state;
    b->state = second_state;
}

/* Adler-32 (RFC 1950) of more data, from that of all before (1 of none). */
static uint32_t SIMD(adler32)(uint32_t checksum, const uint8_t *data, size_t size) {
    uint32_t low = checksum & 0xffff, high = checksum >> 16;
    while (size) {
        size_t part = size < ADLER_BYTES ? size : ADLER_BYTES, at = 0;
#if SIMD_LEVEL >= SIMD_AVX512
        static const int8_t weight[64] = {64, 63, 62, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49,
                                          48, 47, 46, 45, 44, 43, 42, 41, 40, 39, 38, 37, 36, 35, 34, 33,
                                          32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17,
                                          16, 15, 14, 13, 12, 11, 10, 9,  8,  7,  6,  5,  4,  3,  2,  1};
        const __m512i weights = _mm512_loadu_si512(weight), ones = _mm512_set1_epi8(1);
        __m512i sum = _mm512_setzero_si512(), sums = sum, before = sum; /* of bytes; weighted; of those before a step */
        for (; at + 64 <= part; at += 64) {
            __m512i bytes = _mm512_loadu_si512(data + at);
            before = _mm512_add_epi32(before, sum);
            sum = _mm512_dpbusd_epi32(sum, bytes, ones);
            sums = _mm512_dpbusd_epi32(sums, bytes, weights);
        }
        uint32_t weighted = (uint32_t)_mm512_reduce_add_epi32(sums);
        uint32_t earlier = (uint32_t)_mm512_reduce_add_epi32(before);
        high += (uint32_t)at * low + weighted + 64 * earlier;
        low += (uint32_t)_mm512_reduce_add_epi32(sum);
#elif SIMD_LEVEL >= SIMD_AVX2
        const __m256i weights = _mm256_setr_epi8(32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15,
                                                 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1);
        const __m256i ones = _mm256_set1_epi16(1), none = _mm256_setzero_si256();
        __m256i sum = none, sums = none, before = none; /* of bytes; weighted; of bytes before each step */
        for (; at + 32 <= part; at += 32) {
            __m256i bytes = _mm256_loadu_si256((const __m256i *)(data + at));
            before = _mm256_add_epi32(before, sum);
            sum = _mm256_add_epi32(sum, _mm256_sad_epu8(bytes, none));
            sums = _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_maddubs_epi16(bytes, weights), ones));
        }
        uint32_t lanes[3][8], plain = 0, weighted = 0, earlier = 0;
        _mm256_storeu_si256((__m256i *)lanes[0], sum);
        _mm256_storeu_si256((__m256i *)lanes[1], sums);
        _mm256_storeu_si256((__m256i *)lanes[2], before);
        for (int lane = 0; lane < 8; lane++) {
            plain += lanes[0][lane];
            weighted += lanes[1][lane];
            earlier += lanes[2][lane];
        }
        high += (uint32_t)at * low + weighted + 32 * earlier;
        low += plain;
#endif
        for (; at < part; at++) {
            low += data[at];
            high += low;
        }
        low %= 65521;
        high %= 65521;
        data += part;
        size -= part;
    }
    return high << 16 | low;
}

#undef PLACE_OF
#undef KEEP_PLACE
