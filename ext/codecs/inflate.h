/* inflate.h — zlib streams (RFC 1950, RFC 1951) undone into memory of the caller's, two at once.
 *
 * A stream is anybody's: every code, length and distance is checked, nothing is written beyond the room that is given,
 * and nothing is read beyond the data. Fast loops (inflate_loops.h) take what is far from either end,
 * `finish_block` the rest, byte by byte.
 */
#ifndef H5BURST_INFLATE_H
#define H5BURST_INFLATE_H

#include "inflate_tables.h"
#include "simd.h"

enum { /* how it stands with a stream; errors are below 0 */
    STILL_GOING = 0,
    BLOCK_ENDED = 1,
    STREAM_ENDED = 2,
    CUT_SHORT = -1,
    NOT_ZLIB = -2,
    NO_SUCH_BLOCK = -3,
    NO_SUCH_CODE = -4,
    TOO_FAR_BACK = -5,
    TOO_LONG = -6,
    WRONG_CHECKSUM = -7
};

enum {
    IN_STEP = 16,     /* more bytes than a step of the fast loops takes */
    IN_MARGIN = 32,   /* than it looks at, with those that were taken before */
    OUT_STEP = 512,   /* than a step writes: four entries and a match */
    OUT_MARGIN = 384, /* the same, and what is copied beyond a match */
    ADLER_BYTES = 5504 /* before sums of sums may exceed 32 bits, in whole vectors */
};

typedef struct {
    const uint8_t *in, *in_end, *in_stop; /* next byte, end, and how far the fast loops go */
    uint8_t *out, *out_start, *out_end, *out_stop;
    uint64_t bits; /* of input, the next one lowest; those above `count` are of the bytes at `in`, or 0 */
    unsigned count, missing; /* missing: bytes beyond the end that were read as 0 */
    int state, is_last, in_block;
    uint32_t checksum; /* of the bytes before `summed`: block by block, while they are in the cache */
    const uint8_t *summed;
    inflate_tables *tables;
} inflate_stream;

/* Eight bytes, the first one lowest. */
static inline uint64_t little_endian_64(const uint8_t *p) {
    uint64_t value;
    memcpy(&value, p, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

static inline void store_little_endian_64(uint8_t *p, uint64_t value) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    memcpy(p, &value, 8);
}

/* The fast loops keep a stream's place in registers, which takes that everything in them is one function.
 * COMPUTED_ONCE: the compiler would rather compute the value again at each use. */
#if defined(__GNUC__)
#define IN_PLACE static inline __attribute__((always_inline))
#define COMPUTED_ONCE(value) __asm__("" : "+r"(value))
#else
#define IN_PLACE static inline
#define COMPUTED_ONCE(value)
#endif

/* For each distance up to 16: how many bytes of whole patterns a register of 16 holds, and which byte is where. */
static uint8_t pattern_steps[17], pattern_orders[17][16];

static void prepare_patterns(void) {
    for (unsigned distance = 1; distance <= 16; distance++) {
        pattern_steps[distance] = (uint8_t)(16 - 16 % distance);
        for (unsigned byte = 0; byte < 16; byte++) pattern_orders[distance][byte] = (uint8_t)(byte % distance);
    }
}

#define SIMD_SOURCE "inflate_loops.h"
#include "simd_variants.h"

/* ---- byte by byte ------------------------------------------------------------------------------------------- */

/* At least 32 bits, or more than the stream has left, as zeros. */
static inline void need_bits(inflate_stream *s) {
    while (s->count <= 55) {
        if (s->in < s->in_end) s->bits |= (uint64_t)*s->in++ << s->count;
        else s->missing++;
        s->count += 8;
    }
}

static inline unsigned take_bits(inflate_stream *s, unsigned bits) {
    unsigned value = (unsigned)(s->bits & (((uint64_t)1 << bits) - 1));
    s->bits >>= bits;
    s->count -= bits;
    return value;
}

/* Whether more was taken than there is. */
static inline int is_cut_short(const inflate_stream *s) { return s->missing * 8 > s->count; }

/* Go on at the next whole byte that was not taken. */
static void align_input(inflate_stream *s) {
    unsigned whole = s->count / 8;
    s->in -= whole - (s->missing < whole ? s->missing : whole);
    s->missing = 0;
    s->bits = 0;
    s->count = 0;
}

static int put_stored_block(inflate_stream *s) {
    need_bits(s);
    if (is_cut_short(s)) return CUT_SHORT;
    align_input(s);
    if (s->in_end - s->in < 4) return CUT_SHORT;
    size_t size = (size_t)s->in[0] | (size_t)s->in[1] << 8, turned = (size_t)s->in[2] | (size_t)s->in[3] << 8;
    s->in += 4;
    if ((size ^ turned) != 0xffff) return NO_SUCH_BLOCK;
    if ((size_t)(s->in_end - s->in) < size) return CUT_SHORT;
    if ((size_t)(s->out_end - s->out) < size) return TOO_LONG;
    memcpy(s->out, s->in, size);
    s->in += size;
    s->out += size;
    return BLOCK_ENDED;
}

static int read_codes(inflate_stream *s) {
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[LITERAL_SYMBOLS + DISTANCE_SYMBOLS + 138], code_lengths[19] = {0}, symbol_of[128], bits_of[128];
    code_list list;
    need_bits(s);
    int literals = (int)take_bits(s, 5) + 257, distances = (int)take_bits(s, 5) + 1, sent = (int)take_bits(s, 4) + 4;
    if (literals > 286 || distances > 30) return NO_SUCH_CODE;
    for (int n = 0; n < sent; n++) {
        need_bits(s);
        code_lengths[order[n]] = (uint8_t)take_bits(s, 3);
    }
    if (!list_codes(code_lengths, 19, &list)) return NO_SUCH_CODE;
    memset(bits_of, 0, sizeof bits_of);
    for (int length = 1; length <= 7; length++) {
        for (int n = list.first[length]; n < list.first[length + 1]; n++) {
            for (unsigned at = list.code[n]; at < 128; at += 1u << length) {
                symbol_of[at] = (uint8_t)list.symbol[n];
                bits_of[at] = (uint8_t)length;
            }
        }
    }
    for (int coded = 0; coded < literals + distances;) {
        need_bits(s);
        if (is_cut_short(s)) return CUT_SHORT;
        unsigned look = s->bits & 127;
        if (!bits_of[look]) return NO_SUCH_CODE;
        int symbol = symbol_of[look], repeats = 1;
        uint8_t value = (uint8_t)symbol;
        take_bits(s, bits_of[look]);
        if (symbol == 16) {
            if (!coded) return NO_SUCH_CODE;
            value = lengths[coded - 1];
            repeats = 3 + (int)take_bits(s, 2);
        } else if (symbol > 16) {
            value = 0;
            repeats = symbol == 17 ? 3 + (int)take_bits(s, 3) : 11 + (int)take_bits(s, 7);
        }
        memset(lengths + coded, value, (size_t)repeats);
        coded += repeats;
        if (coded > literals + distances) return NO_SUCH_CODE;
    }
    if (is_cut_short(s)) return CUT_SHORT;
    return make_tables(s->tables, lengths, literals, distances) ? STILL_GOING : NO_SUCH_CODE;
}

static int set_fixed_codes(inflate_stream *s) {
    uint8_t lengths[LITERAL_SYMBOLS + DISTANCE_SYMBOLS];
    for (int symbol = 0; symbol < LITERAL_SYMBOLS; symbol++)
        lengths[symbol] = symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8;
    memset(lengths + LITERAL_SYMBOLS, 5, DISTANCE_SYMBOLS);
    return make_tables(s->tables, lengths, LITERAL_SYMBOLS, DISTANCE_SYMBOLS) ? STILL_GOING : NO_SUCH_CODE;
}

/* Read what is before the codes of a block; a stored one is done at once. */
static int begin_block(inflate_stream *s) {
    need_bits(s);
    s->is_last = (int)take_bits(s, 1);
    unsigned type = take_bits(s, 2);
    if (is_cut_short(s)) return CUT_SHORT;
    if (type == 0) return put_stored_block(s);
    if (type == 3) return NO_SUCH_BLOCK;
    if (type == 1 && !(s->bits & 127)) { /* an empty one, as streams often end with */
        take_bits(s, 7);
        return is_cut_short(s) ? CUT_SHORT : BLOCK_ENDED;
    }
    int state = type == 1 ? set_fixed_codes(s) : read_codes(s);
    s->in_block = state == STILL_GOING;
    return state;
}

/* The rest of a block, whatever is left of input and room. */
static int finish_block(inflate_stream *s) {
    for (;;) {
        need_bits(s);
        if (s->missing > 8) return CUT_SHORT;
        uint64_t entry = s->tables->literal[s->bits & ((1u << LITERAL_BITS) - 1)];
        if (IS_SPECIAL(entry) && entry & IS_REST) {
            take_bits(s, LITERAL_BITS);
            entry = s->tables->literal[(entry >> 24 & 0xffff) + (s->bits & (LITERAL_REST - 1))];
        }
        if (!IS_SPECIAL(entry)) {
            size_t literals = (size_t)(entry >> 56);
            if ((size_t)(s->out_end - s->out) < literals) return is_cut_short(s) ? CUT_SHORT : TOO_LONG;
            for (size_t n = 0; n < literals; n++) *s->out++ = (uint8_t)(entry >> (8 + 8 * n));
            take_bits(s, (unsigned)(entry & 63));
            continue;
        }
        if (entry & IS_NONE) return NO_SUCH_CODE;
        unsigned bits = entry >> 8 & 63, code = entry >> 16 & 63;
        if (entry & IS_END) {
            take_bits(s, bits);
            return is_cut_short(s) ? CUT_SHORT : BLOCK_ENDED;
        }
        size_t length = (entry >> 24 & 0x1ff) + (take_bits(s, bits) >> code);
        need_bits(s);
        uint32_t distant = s->tables->distance[s->bits & ((1u << DISTANCE_BITS) - 1)];
        if ((distant & DISTANCE_IS_NONE) == DISTANCE_IS_REST) {
            take_bits(s, DISTANCE_BITS);
            distant = s->tables->distance[(distant >> 16) + (s->bits & (DISTANCE_REST - 1))];
        }
        if (distant & DISTANCE_IS_REST) return is_cut_short(s) ? CUT_SHORT : NO_SUCH_CODE;
        bits = distant & 63;
        size_t distance = (distant >> 16) + (take_bits(s, bits) >> (distant >> 8 & 63));
        if (is_cut_short(s)) return CUT_SHORT;
        if (distance > (size_t)(s->out - s->out_start)) return TOO_FAR_BACK;
        if ((size_t)(s->out_end - s->out) < length) return TOO_LONG;
        for (size_t n = 0; n < length; n++, s->out++) *s->out = s->out[-(ptrdiff_t)distance];
    }
}

/* ---- streams ------------------------------------------------------------------------------------------------ */

static void begin_stream(inflate_stream *s, const uint8_t *data, size_t size, uint8_t *out, size_t room,
                         inflate_tables *tables) {
    memset(s, 0, sizeof *s);
    tables->literals = tables->distances = 0;
    s->tables = tables;
    s->in = data;
    s->in_end = data + size;
    s->in_stop = size > IN_MARGIN ? s->in_end - IN_MARGIN : data;
    s->out = s->out_start = out;
    s->summed = out;
    s->checksum = 1;
    s->out_end = out + room;
    s->out_stop = room > OUT_MARGIN ? s->out_end - OUT_MARGIN : out;
    if (size < 2) s->state = CUT_SHORT;
    else if ((data[0] & 15) != 8 || data[0] >> 4 > 7 || data[1] & 32 || (data[0] << 8 | data[1]) % 31)
        s->state = NOT_ZLIB;
    else s->in += 2;
}

static int end_stream(inflate_stream *s) {
    align_input(s);
    if (s->in_end - s->in < 4) return CUT_SHORT;
    uint32_t stated = (uint32_t)s->in[0] << 24 | (uint32_t)s->in[1] << 16 | (uint32_t)s->in[2] << 8 | s->in[3];
    return s->checksum == stated ? STREAM_ENDED : WRONG_CHECKSUM;
}

/* Go on to where the fast loops can do something. Returns whether there is such a place. */
static int go_on(inflate_stream *s, int level) {
    while (s->state == STILL_GOING || s->state == BLOCK_ENDED) {
        if (s->state == BLOCK_ENDED) {
            s->in_block = 0;
            s->checksum = SIMD_CALL(level, adler32, (s->checksum, s->summed, (size_t)(s->out - s->summed)));
            s->summed = s->out;
            s->state = s->is_last ? end_stream(s) : STILL_GOING;
        } else if (!s->in_block) {
            s->state = begin_block(s);
        } else if (s->in < s->in_stop && s->out < s->out_stop) {
            return 1;
        } else {
            s->state = finish_block(s);
        }
    }
    return 0;
}

/* Undo two streams whose tables are neighbours in an array; `b` may be NULL. Afterwards `state` is STREAM_ENDED or an
 * error. */
static void inflate_streams(inflate_stream *a, inflate_stream *b, int level) {
    int first = go_on(a, level), second = b != NULL && go_on(b, level);
    while (first && second) {
        SIMD_CALL(level, inflate_both, (a, b));
        first = go_on(a, level);
        second = go_on(b, level);
    }
    for (; first; first = go_on(a, level)) a->state = SIMD_CALL(level, inflate_one, (a));
    for (; second; second = go_on(b, level)) b->state = SIMD_CALL(level, inflate_one, (b));
}

#endif
