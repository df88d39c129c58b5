/* matches.h — deflate blocks with the matches that arrays of numbers have, and estimates of what matches save. */
#ifndef H5BURST_MATCHES_H
#define H5BURST_MATCHES_H

#include "match_finding.h"

enum {
    SAMPLE_BYTES = 32768,
    HASH_BITS = 12,
    LONGEST_STRIDE = 64,     /* longer elements, and those of no power of two, are looked at as bytes */
    LONGEST_MIXED_CODE = 11, /* of literals amid matches: decoders (ours, libdeflate) look up so many bits at once */
    LENGTH_TABLE_BITS = 20   /* of an entry of `length_table`: a code, and the five bits after it at most */
};

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
 * middle of the data: a greedy parse with the last place of the same three bytes, or of the same sixteen, where that
 * match is longer. */
static void match_gain(const uint8_t *data, size_t size, double *literal_bytes, double *saved_bytes) {
    uint16_t last_short[1 << HASH_BITS], last_long[1 << HASH_BITS]; /* place + 1, 0 for none */
    uint32_t counts[LITERALS];
    uint8_t cost[LITERALS];
    uint64_t total = 0, saved = 0;
    double scale = size > SAMPLE_BYTES ? (double)size / SAMPLE_BYTES / 8 : 0.125; /* bits of it to bytes of all */
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
        if (i >= MIN_PROBE_BYTES && saved * 1000 < total * i / size) break;
        uint32_t near = short_hash(data + i), far = long_hash(data + i);
        unsigned cheap = cost[data[i]] + cost[data[i + 1]] + cost[data[i + 2]] + cost[data[i + 3]] <= MATCH_BITS;
        size_t places[2] = {cheap ? 0 : last_short[near], last_long[far]}, best = 0, place = 0;
        last_short[near] = last_long[far] = (uint16_t)(i + 1);
        for (int k = 0; k < 2; k++) {
            if (!places[k]) continue;
            size_t length = equal_bytes(data + places[k] - 1, data + i, size - i < 258 ? size - i : 258);
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

/* ---- blocks ------------------------------------------------------------------------------------------------ */

/* The codes of a parsed block, and how many bits it takes without their description. */
static uint64_t make_codes(const parsed_block *block, uint8_t *lengths, uint8_t *distance_lengths) {
    uint64_t bits = 0;
    code_lengths(block->symbols, SYMBOLS, LONGEST_MIXED_CODE, lengths);
    code_lengths(block->distances, DISTANCES, LONGEST_CODE, distance_lengths);
    for (unsigned symbol = 0; symbol < SYMBOLS; symbol++) {
        unsigned over = symbol - 257, extra = symbol < 265 || symbol == 285 ? 0 : over / 4 - 1;
        bits += (uint64_t)block->symbols[symbol] * (lengths[symbol] + extra);
    }
    for (unsigned symbol = 0; symbol < DISTANCES; symbol++)
        bits += (uint64_t)block->distances[symbol] * (distance_lengths[symbol] + (symbol < 4 ? 0 : symbol / 2 - 1));
    return bits;
}

/* A code of match lengths as a table: of each length its bits, those after its symbol too, and above them how many. */
static void length_table(const uint32_t *table, uint32_t *lengths) {
    for (unsigned length = 3; length <= MAX_MATCH_BYTES; length++) {
        unsigned bits, count;
        uint32_t entry = table[length_symbol(length, &bits, &count)], size = entry >> 16;
        lengths[length] = (entry & 0xffff) | bits << size | (size + count) << LENGTH_TABLE_BITS;
    }
}

static inline void put_match(bit_writer *w, const match *m, const uint32_t *lengths, const uint32_t *distance_table) {
    unsigned bits, count;
    uint32_t entry = lengths[m->length];
    uint64_t all = entry & ((1u << LENGTH_TABLE_BITS) - 1);
    unsigned total = entry >> LENGTH_TABLE_BITS;
    entry = distance_table[distance_symbol(m->distance, &bits, &count)];
    all |= (uint64_t)((entry & 0xffff) | bits << (entry >> 16)) << total;
    total += (entry >> 16) + count; /* 12 + 5 + 12 + 13 bits at most */
    w->bits |= all << w->count;
    w->count += total;
    store_bits(w);
}

static void put_parsed(bit_writer *w, const uint8_t *data, size_t size, const parsed_block *block) {
    uint8_t lengths[SYMBOLS], distance_lengths[DISTANCES];
    uint32_t table[SYMBOLS], distance_table[DISTANCES], lengths_table[MAX_MATCH_BYTES + 1];
    if (make_codes(block, lengths, distance_lengths) / 8 + 300 >= size) { /* 300 bytes: the most that describe codes */
        put_stored(w, data, size);
        return;
    }
    code_table(lengths, SYMBOLS, table);
    code_table(distance_lengths, DISTANCES, distance_table);
    length_table(table, lengths_table);
    put_bits(w, OWN_CODE, 3);
    put_code_lengths(w, lengths, SYMBOLS, distance_lengths, DISTANCES);
    const uint8_t *at = data;
    bit_writer to = *w; /* of this function alone, so that it may be in registers */
    for (const match *m = block->match; m < block->match + block->matches; m++) {
        put_literals(&to, at, m->literals, (size_t)(data + size - at), table);
        put_match(&to, m, lengths_table, distance_table);
        at += m->literals + m->length;
    }
    put_literals(&to, at, (size_t)(data + size - at), (size_t)(data + size - at), table);
    put_symbol(&to, table[END_OF_BLOCK]);
    *w = to;
}

/* Deflate blocks with matches, none the last of a stream, which end at a byte; `literal_blocks_bound` is their room.
 * Returns how many bytes were written. */
static size_t match_blocks(const uint8_t *data, size_t size, size_t stride, uint8_t *out) {
    places seen;
    parsed_block block;
    bit_writer w = {out, 0, 0};
    if (stride > LONGEST_STRIDE || (stride & (stride - 1))) stride = 1;
    memset(&seen, 0, sizeof seen);
    for (size_t at = 0; at < size;) {
        size_t stop = parse(data, at, size, stride, &seen, &block);
        put_parsed(&w, data + at, stop - at, &block);
        at = stop;
    }
    put_stored(&w, data, 0);
    return (size_t)(w.out - out);
}

/* How many bytes `match_blocks` makes of so little data that it is one block, the description of codes left out. */
static double matched_bytes(const uint8_t *data, size_t size, size_t stride) {
    places seen;
    uint8_t lengths[SYMBOLS], distance_lengths[DISTANCES];
    parsed_block block;
    uint64_t bits = 0;
    if (stride > LONGEST_STRIDE || (stride & (stride - 1))) stride = 1;
    memset(&seen, 0, sizeof seen);
    for (size_t at = 0; at < size;) {
        at = parse(data, at, size, stride, &seen, &block);
        bits += make_codes(&block, lengths, distance_lengths);
    }
    return (double)bits / 8;
}

#endif
