/* huffman.h — deflate blocks (RFC 1951) of literals alone, and an estimate of whether matches would pay.
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
    CODE_LENGTHS = 19,      /* symbols of the code in which code lengths are written */
    LONGEST_CODE = 12,      /* of 15 allowed: four codes fit between two writes, and decoders look them up at once */
    LONGEST_LENGTH_CODE = 7,
    BLOCK_BYTES = 65535,    /* the most that a stored block holds */
    UNIT_BYTES = 16383,     /* blocks are whole numbers of these */
    SAMPLE_BYTES = 32768,
    HOPELESS_BYTES = 4096,  /* of the sample; if matches save nothing there, look no further */
    HASH_BITS = 12,
    MATCH_BITS = 10         /* about what the codes of a length and a distance take */
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

static inline void align_to_byte(bit_writer *w) { put_bits(w, 0, (8 - w->count) & 7); }

/* ---- codes ------------------------------------------------------------------------------------------------- */

typedef struct {
    uint32_t weight;
    uint16_t symbol;
} leaf;

/* Sort by weight, equal weights by symbol: two stable passes over the bytes of weights below 65536. */
static void sort_by_weight(leaf *leaves, int count) {
    leaf other[LITERALS];
    for (int shift = 0; shift < 16; shift += 8) {
        int places[257] = {0};
        leaf *from = shift ? other : leaves, *to = shift ? leaves : other;
        for (int i = 0; i < count; i++) places[((from[i].weight >> shift) & 255) + 1]++;
        for (int digit = 0; digit < 256; digit++) places[digit + 1] += places[digit];
        for (int i = 0; i < count; i++) to[places[(from[i].weight >> shift) & 255]++] = from[i];
    }
}

/* Depths of `count` >= 2 leaves, sorted by weight, in a Huffman tree: how many leaves lie at each depth. Both the
 * leaves and the inner nodes, as they are made, come in order of weight, so two queues find the lightest pair. */
static void count_depths(const leaf *leaves, int count, int *at_depth) {
    uint32_t weight[LITERALS];
    int parent[2 * LITERALS], depth[2 * LITERALS];
    int next_leaf = 0, next_inner = 0;
    for (int made = 0; made < count - 1; made++) {
        weight[made] = 0;
        for (int pick = 0; pick < 2; pick++) {
            int take_leaf = next_leaf < count && (next_inner >= made || leaves[next_leaf].weight <= weight[next_inner]);
            weight[made] += take_leaf ? leaves[next_leaf].weight : weight[next_inner];
            parent[take_leaf ? next_leaf++ : count + next_inner++] = count + made;
        }
    }
    depth[2 * count - 2] = 0;
    for (int node = 2 * count - 3; node >= 0; node--) depth[node] = depth[parent[node]] + 1;
    memset(at_depth, 0, sizeof(int) * (LITERALS + 1));
    for (int node = 0; node < count; node++) at_depth[depth[node]]++;
}

/* Code lengths of at most `longest` for symbols of these weights; 0 for a weight of 0. At least two weights are not 0. */
static void code_lengths(const uint32_t *weights, int symbols, int longest, uint8_t *lengths) {
    leaf leaves[LITERALS];
    int at_depth[LITERALS + 1], count = 0;
    for (int symbol = 0; symbol < symbols; symbol++) {
        lengths[symbol] = 0;
        if (weights[symbol]) {
            leaves[count].weight = weights[symbol];
            leaves[count++].symbol = (uint16_t)symbol;
        }
    }
    sort_by_weight(leaves, count);
    count_depths(leaves, count, at_depth);
    for (int depth = longest + 1; depth <= LITERALS; depth++) at_depth[longest] += at_depth[depth];
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
        for (int bit = 0; bit < lengths[symbol]; bit++) turned |= (uint16_t)(((code >> bit) & 1) << (lengths[symbol] - 1 - bit));
        codes[symbol] = turned;
    }
}

/* ---- blocks ------------------------------------------------------------------------------------------------ */

/* Code lengths as run-length symbols: 0-15 as they are, 16 repeats the last 3-6 times, 17 and 18 repeat 0. */
static int run_lengths(const uint8_t *lengths, int count, uint8_t *symbols, uint8_t *extra) {
    int made = 0;
    for (int i = 0; i < count;) {
        int run = 1;
        while (i + run < count && lengths[i + run] == lengths[i]) run++;
        int left = run;
        if (lengths[i]) {
            symbols[made] = lengths[i];
            extra[made++] = 0;
            left--;
        }
        while (left >= 3) {
            int most = lengths[i] ? 6 : 138, step = left < most ? left : most;
            symbols[made] = lengths[i] ? 16 : step <= 10 ? 17 : 18;
            extra[made++] = (uint8_t)(step - (lengths[i] || step <= 10 ? 3 : 11));
            left -= step;
        }
        for (; left > 0; left--) {
            symbols[made] = lengths[i];
            extra[made++] = 0;
        }
        i += run;
    }
    return made;
}

static void put_code_lengths(bit_writer *w, const uint8_t *literal_lengths) {
    static const uint8_t order[CODE_LENGTHS] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint8_t all[LITERALS + 2], symbols[LITERALS + 2], extra[LITERALS + 2], lengths[CODE_LENGTHS];
    uint16_t codes[CODE_LENGTHS];
    uint32_t weights[CODE_LENGTHS] = {0};
    memcpy(all, literal_lengths, LITERALS);
    all[LITERALS] = all[LITERALS + 1] = 1; /* a complete code of two distances, neither used, which no decoder minds */
    int made = run_lengths(all, LITERALS + 2, symbols, extra), sent = CODE_LENGTHS;
    for (int i = 0; i < made; i++) weights[symbols[i]]++;
    code_lengths(weights, CODE_LENGTHS, LONGEST_LENGTH_CODE, lengths);
    canonical_codes(lengths, CODE_LENGTHS, codes);
    while (sent > 4 && !lengths[order[sent - 1]]) sent--;
    put_bits(w, 0, 5); /* 257 literal codes */
    put_bits(w, 1, 5); /* 2 distance codes */
    put_bits(w, (uint32_t)sent - 4, 4);
    for (int i = 0; i < sent; i++) put_bits(w, lengths[order[i]], 3);
    for (int i = 0; i < made; i++) {
        put_bits(w, codes[symbols[i]], lengths[symbols[i]]);
        if (symbols[i] >= 16) put_bits(w, extra[i], symbols[i] == 16 ? 2 : symbols[i] == 17 ? 3 : 7);
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

static void put_literals(bit_writer *w, const uint8_t *data, size_t size, const uint16_t *codes, const uint8_t *lengths) {
    uint32_t table[256]; /* code and, above it, its length */
    size_t i = 0;
    for (int byte = 0; byte < 256; byte++) table[byte] = codes[byte] | (uint32_t)lengths[byte] << 16;
    uint64_t bits = w->bits;
    unsigned count = w->count; /* at most 7: with four codes never more than 55 */
    uint8_t *out = w->out;
    for (; i + 4 <= size; i += 4) {
        uint32_t a = table[data[i]], b = table[data[i + 1]], c = table[data[i + 2]], d = table[data[i + 3]];
        unsigned ab = (a >> 16) + (b >> 16), cd = (c >> 16) + (d >> 16);
        uint64_t first = (uint64_t)(a & 0xffff) | (uint64_t)(b & 0xffff) << (a >> 16);
        uint64_t second = (uint64_t)(c & 0xffff) | (uint64_t)(d & 0xffff) << (c >> 16);
        bits |= (first | second << ab) << count;
        count += ab + cd;
        for (int byte = 0; byte < 8; byte++) out[byte] = (uint8_t)(bits >> (8 * byte)); /* one store on any sane CPU */
        out += count >> 3;
        bits >>= count & ~7u;
        count &= 7;
    }
    w->bits = bits;
    w->count = count;
    w->out = out;
    for (; i < size; i++) put_bits(w, codes[data[i]], lengths[data[i]]);
}

/* `weights`: how often each byte occurs, with room for the end of the block. */
static void put_block(bit_writer *w, const uint8_t *data, size_t size, uint32_t *weights) {
    uint8_t lengths[LITERALS];
    uint16_t codes[LITERALS];
    uint64_t coded = 0;
    weights[END_OF_BLOCK] = 1;
    code_lengths(weights, LITERALS, LONGEST_CODE, lengths);
    for (int symbol = 0; symbol < LITERALS; symbol++) coded += (uint64_t)weights[symbol] * lengths[symbol];
    if (coded / 8 + 100 >= size) { /* 100 bytes: about what writing the code takes */
        put_stored(w, data, size);
        return;
    }
    canonical_codes(lengths, LITERALS, codes);
    put_bits(w, 4, 3); /* not the last block; a code of its own */
    put_code_lengths(w, lengths);
    put_literals(w, data, size, codes, lengths);
    put_bits(w, codes[END_OF_BLOCK], lengths[END_OF_BLOCK]);
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

/* ---- do matches pay? --------------------------------------------------------------------------------------- */

static inline uint32_t four_bytes(const uint8_t *p) {
    uint32_t value;
    memcpy(&value, p, 4);
    return value;
}

static size_t match_length(const uint8_t *a, const uint8_t *b, size_t most) {
    size_t length = 0;
    while (length < most && a[length] == b[length]) length++;
    return length;
}

static inline uint32_t short_hash(const uint8_t *p) {
    uint32_t three = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
    return (three * 2654435761u) >> (32 - HASH_BITS);
}

static inline uint32_t long_hash(const uint8_t *p) {
    uint32_t mixed = four_bytes(p) * 2654435761u + four_bytes(p + 4);
    mixed = mixed * 2654435761u + four_bytes(p + 8);
    mixed = mixed * 2654435761u + four_bytes(p + 12);
    return (mixed * 2654435761u) >> (32 - HASH_BITS);
}

/* About how many bytes a code of literals alone takes, and how many of them matches would save, scaled up from the
 * middle of the data: a greedy parse with the last place of the same three bytes, or of the same sixteen, where that match is longer. */
static void match_gain(const uint8_t *data, size_t size, double *literal_bytes, double *saved_bytes) {
    uint16_t last_short[1 << HASH_BITS], last_long[1 << HASH_BITS]; /* place + 1, 0 for none */
    uint32_t counts[LITERALS];
    uint8_t cost[LITERALS];
    uint64_t total = 0, saved = 0;
    double scale = size > SAMPLE_BYTES ? (double)size / SAMPLE_BYTES / 8 : 0.125; /* bits of the sample to bytes of all */
    if (size > SAMPLE_BYTES) {
        data += (size - SAMPLE_BYTES) / 2;
        size = SAMPLE_BYTES;
    }
    count_bytes(data, size, counts);
    counts[END_OF_BLOCK] = 1;
    code_lengths(counts, LITERALS, LONGEST_CODE, cost);
    for (int byte = 0; byte < 256; byte++) total += (uint64_t)cost[byte] * counts[byte];
    memset(last_short, 0, sizeof last_short);
    memset(last_long, 0, sizeof last_long);
    for (size_t i = 0, misses = 0; i + 16 <= size;) {
        if (i >= HOPELESS_BYTES && saved * 1000 < total * i / size) break;
        uint32_t near = short_hash(data + i), far = long_hash(data + i);
        unsigned cheap = cost[data[i]] + cost[data[i + 1]] + cost[data[i + 2]] + cost[data[i + 3]] <= MATCH_BITS;
        size_t places[2] = {cheap ? 0 : last_short[near], last_long[far]}, best = 0, place = 0;
        last_short[near] = last_long[far] = (uint16_t)(i + 1);
        for (int k = 0; k < 2; k++) {
            if (!places[k]) continue;
            size_t length = match_length(data + places[k] - 1, data + i, size - i < 258 ? size - i : 258);
            if (length > best) {
                best = length;
                place = places[k];
            }
        }
        if (best >= 3) {
            uint64_t literal_bits = 0, match_bits = MATCH_BITS;
            for (size_t k = 0; k < best; k++) literal_bits += cost[data[i + k]];
            for (size_t distance = i + 1 - place; distance >= 4; distance /= 2) match_bits++; /* its extra bits */
            if (literal_bits > match_bits) {
                saved += literal_bits - match_bits;
                i += best;
                misses = 0;
                continue;
            }
        }
        i += 1 + (misses++ >> 6); /* where nothing is found for long, look less closely */
    }
    *literal_bytes = scale * (double)total;
    *saved_bytes = scale * (double)saved;
}

#endif
