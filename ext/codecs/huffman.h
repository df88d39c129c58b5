/* huffman.h — Huffman codes as deflate (RFC 1951) wants them, and blocks of literals alone.
 *
 * The low bytes of shuffled floating-point numbers are noise with a skewed distribution: matches do not help there,
 * cost most of the time of a general compressor, and even spoil its literal code. A Huffman code of their own is both
 * smaller and ten times as fast.
 */
#ifndef H5BURST_HUFFMAN_H
#define H5BURST_HUFFMAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    LITERALS = 257,         /* the bytes and the end of the block */
    END_OF_BLOCK = 256,
    SYMBOLS = 286,          /* the literals and the codes of lengths */
    DISTANCES = 30,
    CODE_LENGTHS = 19,      /* symbols of the code in which code lengths are written */
    LONGEST_CODE = 12,      /* of 15 allowed: four codes fit between two writes, and decoders look them up at once */
    LONGEST_LENGTH_CODE = 7,
    OWN_CODE = 4,           /* header of a block that is not the last and has a code of its own */
    BLOCK_BYTES = 65535,    /* the most that a stored block holds */
    UNIT_BYTES = 16383      /* blocks are whole numbers of these */
};

typedef struct {
    uint8_t *out;
    uint64_t bits; /* those not yet written, the first in the lowest place */
    unsigned count;
} bit_writer;

static inline void flush_bits(bit_writer *w) {
    for (; w->count >= 8; w->count -= 8, w->bits >>= 8) *w->out++ = (uint8_t)w->bits;
}

static inline void put_bits(bit_writer *w, uint32_t bits, unsigned count) {
    w->bits |= (uint64_t)bits << w->count;
    w->count += count;
    flush_bits(w);
}

/* As `flush_bits`, at once: there must be room for eight bytes. */
static inline void store_bits(bit_writer *w) {
    for (int byte = 0; byte < 8; byte++) w->out[byte] = (uint8_t)(w->bits >> (8 * byte)); /* one 64-bit store */
    w->out += w->count >> 3;
    w->bits >>= w->count & ~7u;
    w->count &= 7;
}

static inline void align_to_byte(bit_writer *w) { put_bits(w, 0, (8 - w->count) & 7); }

/* ---- codes ------------------------------------------------------------------------------------------------- */

typedef struct {
    uint32_t weight;
    uint16_t symbol;
} leaf;

/* Sort by weight, equal weights by symbol: two stable passes over the bytes of weights below 65536. */
static void sort_by_weight(leaf *leaves, int count) {
    leaf other[SYMBOLS];
    for (int shift = 0; shift < 16; shift += 8) {
        int places[257] = {0};
        leaf *from = shift ? other : leaves, *to = shift ? leaves : other;
        for (int i = 0; i < count; i++) places[((from[i].weight >> shift) & 255) + 1]++;
        for (int digit = 0; digit < 256; digit++) places[digit + 1] += places[digit];
        for (int i = 0; i < count; i++) to[places[(from[i].weight >> shift) & 255]++] = from[i];
    }
}

/* Depths of `count` >= 2 leaves, sorted by weight, in a Huffman tree: how many leaves are at each depth. Both the
 * leaves and the inner nodes, as they are made, come in order of weight, so two queues find the lightest pair. */
static void count_depths(const leaf *leaves, int count, int *at_depth) {
    uint32_t weight[SYMBOLS];
    int parent[2 * SYMBOLS], depth[2 * SYMBOLS];
    int next_leaf = 0, next_inner = 0;
    for (int node = 0; node < count - 1; node++) {
        weight[node] = 0;
        for (int pick = 0; pick < 2; pick++) {
            int take_leaf = next_leaf < count && (next_inner >= node || leaves[next_leaf].weight <= weight[next_inner]);
            weight[node] += take_leaf ? leaves[next_leaf].weight : weight[next_inner];
            parent[take_leaf ? next_leaf++ : count + next_inner++] = count + node;
        }
    }
    depth[2 * count - 2] = 0;
    for (int node = 2 * count - 3; node >= 0; node--) depth[node] = depth[parent[node]] + 1;
    memset(at_depth, 0, sizeof(int) * (SYMBOLS + 1));
    for (int node = 0; node < count; node++) at_depth[depth[node]]++;
}

/* Code lengths of at most `longest` for symbols of these weights; 0 for a weight of 0. At least two are not 0. */
static void code_lengths(const uint32_t *weights, int symbols, int longest, uint8_t *lengths) {
    leaf leaves[SYMBOLS];
    int at_depth[SYMBOLS + 1], count = 0;
    for (int symbol = 0; symbol < symbols; symbol++) {
        lengths[symbol] = 0;
        if (weights[symbol]) {
            leaves[count].weight = weights[symbol];
            leaves[count++].symbol = (uint16_t)symbol;
        }
    }
    sort_by_weight(leaves, count);
    count_depths(leaves, count, at_depth);
    for (int depth = longest + 1; depth <= SYMBOLS; depth++) at_depth[longest] += at_depth[depth];
    int64_t used = 0, room = (int64_t)1 << longest; /* Kraft's sum in units of the longest code */
    for (int depth = 1; depth <= longest; depth++) used += (int64_t)at_depth[depth] << (longest - depth);
    while (used > room) { /* a leaf above the bottom goes one down and takes one of the bottom as its sibling */
        int depth = longest - 1;
        while (!at_depth[depth]) depth--;
        at_depth[depth]--;
        at_depth[depth + 1] += 2;
        at_depth[longest]--;
        used--;
    }
    int lightest = 0;
    for (int depth = longest; depth > 0; depth--)
        for (int n = 0; n < at_depth[depth]; n++) lengths[leaves[lightest++].symbol] = (uint8_t)depth;
}

/* Canonical codes, their bits in the order of writing. */
static void canonical_codes(const uint8_t *lengths, int symbols, uint16_t *codes) {
    uint16_t next[17] = {0};
    int at_length[17] = {0};
    for (int symbol = 0; symbol < symbols; symbol++) at_length[lengths[symbol]]++;
    at_length[0] = 0;
    for (int length = 1; length <= 15; length++) next[length + 1] = (uint16_t)((next[length] + at_length[length]) << 1);
    for (int symbol = 0; symbol < symbols; symbol++) {
        uint16_t code = next[lengths[symbol]]++, turned = 0;
        for (int bit = 0; bit < lengths[symbol]; bit++)
            turned |= (uint16_t)(((code >> bit) & 1) << (lengths[symbol] - 1 - bit));
        codes[symbol] = turned;
    }
}

/* ---- blocks ------------------------------------------------------------------------------------------------ */

/* Code lengths as run-length symbols: 0-15 as they are, 16 repeats the last 3-6 times, 17 and 18 repeat 0. */
static int run_lengths(const uint8_t *lengths, int count, uint8_t *symbols, uint8_t *extra) {
    int count_of_runs = 0;
    for (int i = 0; i < count;) {
        int run = 1;
        while (i + run < count && lengths[i + run] == lengths[i]) run++;
        int left = run;
        if (lengths[i]) {
            symbols[count_of_runs] = lengths[i];
            extra[count_of_runs++] = 0;
            left--;
        }
        while (left >= 3) {
            int most = lengths[i] ? 6 : 138, step = left < most ? left : most;
            symbols[count_of_runs] = lengths[i] ? 16 : step <= 10 ? 17 : 18;
            extra[count_of_runs++] = (uint8_t)(step - (lengths[i] || step <= 10 ? 3 : 11));
            left -= step;
        }
        for (; left > 0; left--) {
            symbols[count_of_runs] = lengths[i];
            extra[count_of_runs++] = 0;
        }
        i += run;
    }
    return count_of_runs;
}

/* The lengths of a code of literals (and match lengths, if `symbols` is more than LITERALS) and one of distances. */
static void put_code_lengths(bit_writer *w, const uint8_t *literal_lengths, int symbols,
                             const uint8_t *distance_lengths, int distances) {
    static const uint8_t order[CODE_LENGTHS] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint8_t all[SYMBOLS + DISTANCES], runs[SYMBOLS + DISTANCES], extra[SYMBOLS + DISTANCES], lengths[CODE_LENGTHS];
    uint16_t codes[CODE_LENGTHS];
    uint32_t weights[CODE_LENGTHS] = {0};
    memcpy(all, literal_lengths, (size_t)symbols);
    memcpy(all + symbols, distance_lengths, (size_t)distances);
    int count_of_runs = run_lengths(all, symbols + distances, runs, extra), sent = CODE_LENGTHS;
    for (int i = 0; i < count_of_runs; i++) weights[runs[i]]++;
    code_lengths(weights, CODE_LENGTHS, LONGEST_LENGTH_CODE, lengths);
    canonical_codes(lengths, CODE_LENGTHS, codes);
    while (sent > 4 && !lengths[order[sent - 1]]) sent--;
    put_bits(w, (uint32_t)symbols - LITERALS, 5);
    put_bits(w, (uint32_t)distances - 1, 5);
    put_bits(w, (uint32_t)sent - 4, 4);
    for (int i = 0; i < sent; i++) put_bits(w, lengths[order[i]], 3);
    for (int i = 0; i < count_of_runs; i++) {
        put_bits(w, codes[runs[i]], lengths[runs[i]]);
        if (runs[i] >= 16) put_bits(w, extra[i], runs[i] == 16 ? 2 : runs[i] == 17 ? 3 : 7);
    }
}

static void put_stored(bit_writer *w, const uint8_t *data, size_t size) {
    put_bits(w, 0, 3);
    align_to_byte(w);
    put_bits(w, (uint32_t)size, 16);
    put_bits(w, (uint32_t)~size & 0xffff, 16);
    memcpy(w->out, data, size);
    w->out += size;
}

static void count_bytes(const uint8_t *data, size_t size, uint32_t *counts) {
    uint32_t lanes[4][256]; /* equal bytes in a row would wait for each other's sum */
    size_t i = 0;
    memset(lanes, 0, sizeof lanes);
    for (; i + 4 <= size; i += 4)
        for (int lane = 0; lane < 4; lane++) lanes[lane][data[i + lane]]++;
    for (; i < size; i++) lanes[0][data[i]]++;
    for (int byte = 0; byte < 256; byte++)
        counts[byte] = lanes[0][byte] + lanes[1][byte] + lanes[2][byte] + lanes[3][byte];
}

/* A code as a table: each symbol's bits and, above them, how many they are. */
static void code_table(const uint8_t *lengths, int symbols, uint32_t *table) {
    uint16_t codes[SYMBOLS];
    canonical_codes(lengths, symbols, codes);
    for (int symbol = 0; symbol < symbols; symbol++) table[symbol] = codes[symbol] | (uint32_t)lengths[symbol] << 16;
}

static inline void put_symbol(bit_writer *w, uint32_t entry) { put_bits(w, entry & 0xffff, entry >> 16); }

/* The codes of four entries, one behind the other. */
static inline void put_four(bit_writer *w, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    unsigned ab = (a >> 16) + (b >> 16), cd = (c >> 16) + (d >> 16);
    uint64_t first = (uint64_t)(a & 0xffff) | (uint64_t)(b & 0xffff) << (a >> 16);
    uint64_t second = (uint64_t)(c & 0xffff) | (uint64_t)(d & 0xffff) << (c >> 16);
    w->bits |= (first | second << ab) << w->count; /* at most 7 bits were left: with four codes never more than 55 */
    w->count += ab + cd;
    store_bits(w);
}

/* `readable`: bytes from `data` on that may be looked at. If there are more than are put, few branches are needed. */
static inline void put_literals(bit_writer *w, const uint8_t *data, size_t size, size_t readable,
                                const uint32_t *table) {
    bit_writer at = *w;
    const uint8_t *stop = data + size;
    for (; stop - data >= 8; data += 8) {
        put_four(&at, table[data[0]], table[data[1]], table[data[2]], table[data[3]]);
        put_four(&at, table[data[4]], table[data[5]], table[data[6]], table[data[7]]);
    }
    size_t left = (size_t)(stop - data);
    if (readable - size >= 8) {
        uint32_t entries[8];
        for (size_t i = 0; i < 4; i++) entries[i] = table[data[i]] & (0u - (uint32_t)(i < left));
        put_four(&at, entries[0], entries[1], entries[2], entries[3]);
        if (left > 4) {
            for (size_t i = 4; i < 8; i++) entries[i] = table[data[i]] & (0u - (uint32_t)(i < left));
            put_four(&at, entries[4], entries[5], entries[6], entries[7]);
        }
    } else {
        for (; data < stop; data++) put_four(&at, table[*data], 0, 0, 0);
    }
    *w = at;
}

/* `weights`: how often each byte occurs, with room for the end of the block. */
static void put_block(bit_writer *w, const uint8_t *data, size_t size, uint32_t *weights) {
    static const uint8_t no_distances[2] = {1, 1}; /* a complete code, not used, which no decoder minds */
    uint8_t lengths[LITERALS];
    uint32_t table[LITERALS];
    uint64_t coded = 0;
    weights[END_OF_BLOCK] = 1;
    code_lengths(weights, LITERALS, LONGEST_CODE, lengths);
    for (int symbol = 0; symbol < LITERALS; symbol++) coded += (uint64_t)weights[symbol] * lengths[symbol];
    if (coded / 8 + 100 >= size) { /* 100 bytes: about what writing the code takes */
        put_stored(w, data, size);
        return;
    }
    code_table(lengths, LITERALS, table);
    put_bits(w, OWN_CODE, 3);
    put_code_lengths(w, lengths, LITERALS, no_distances, 2);
    put_literals(w, data, size, size, table);
    put_symbol(w, table[END_OF_BLOCK]);
}

/* log2 to three digits, without a call: exponent, and a parabola through 1, 1.5 and 2 for the mantissa. */
static inline float quick_log2(float x) {
    uint32_t bits;
    float mantissa;
    memcpy(&bits, &x, 4);
    int exponent = (int)(bits >> 23) - 127;
    bits = (bits & 0x7fffff) | 0x3f800000;
    memcpy(&mantissa, &bits, 4);
    return (float)exponent + (-0.34484843f * mantissa + 2.02466578f) * mantissa - 1.67487759f;
}

/* About how many bits a block with these counts takes, the writing of its code included. */
static float block_bits(const uint32_t *counts, size_t size) {
    float sums[8] = {0}, used[8] = {0}, sum = 0, symbols = 0; /* in lanes, for the sake of vector instructions */
    for (int byte = 0; byte < 256; byte += 8) {
        for (int lane = 0; lane < 8; lane++) {
            float count = (float)(int32_t)counts[byte + lane];
            sums[lane] += count * quick_log2(count + 1e-9f);
            used[lane] += count > 0 ? 1.0f : 0.0f;
        }
    }
    for (int lane = 0; lane < 8; lane++) {
        sum += sums[lane];
        symbols += used[lane];
    }
    float coded = (float)size * quick_log2((float)size) - sum, stored = 8 * (float)size;
    return (coded < stored ? coded : stored) + 100 + 3 * symbols;
}

/* How much of the data to put in one block: a unit more while one code for both costs less than another of its own.
 * Leaves in `counts` how often each byte occurs in it. */
static size_t block_size(const uint8_t *data, size_t size, uint32_t *counts) {
    uint32_t unit[256], both[256];
    size_t taken = size < UNIT_BYTES ? size : UNIT_BYTES;
    count_bytes(data, taken, counts);
    float bits = block_bits(counts, taken);
    while (taken < size && taken + UNIT_BYTES <= BLOCK_BYTES) {
        size_t more = size - taken < UNIT_BYTES ? size - taken : UNIT_BYTES;
        count_bytes(data + taken, more, unit);
        for (int byte = 0; byte < 256; byte++) both[byte] = counts[byte] + unit[byte];
        float together = block_bits(both, taken + more);
        if (together > bits + block_bits(unit, more)) break;
        memcpy(counts, both, sizeof both);
        bits = together;
        taken += more;
    }
    return taken;
}

/* Room that `literal_blocks` may need, the store of eight bytes beyond the end included. */
static size_t literal_blocks_bound(size_t size) { return size + 16 * (size / UNIT_BYTES + 2) + 512; }

/* Deflate blocks of literals, none the last of a stream, which end at a byte. Returns how many bytes were written. */
static size_t literal_blocks(const uint8_t *data, size_t size, uint8_t *out) {
    bit_writer w = {out, 0, 0};
    for (size_t at = 0; at < size;) {
        uint32_t counts[LITERALS];
        size_t taken = block_size(data + at, size - at, counts);
        put_block(&w, data + at, taken, counts);
        at += taken;
    }
    put_stored(&w, data, 0);
    return (size_t)(w.out - out);
}

#endif
