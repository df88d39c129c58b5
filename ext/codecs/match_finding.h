/* match_finding.h — the matches of one deflate block of an array.
 *
 * A general compressor looks for matches at every byte and tries several. In an array they begin at an element: a run
 * of one byte (the zeros of missing values) or the last place of the same element. In bytes of few values only long
 * ones save anything. To look for nothing else is several times as fast and loses a percent or two.
 */
#ifndef H5BURST_MATCH_FINDING_H
#define H5BURST_MATCH_FINDING_H

#include "bits.h"
#include "huffman.h"

enum {
    MIN_PROBE_BYTES = 4096, /* of the sample; if matches save nothing there, look no further */
    PLACE_BITS = 14,       /* of the table of places in `parse` */
    MATCH_BITS = 10,       /* about what the codes of a length and a distance take */
    WINDOW = 32768,
    MAX_MATCH_BYTES = 258,
    MAX_MATCHES = 8192,   /* of a block */
    MATCH_SLACK = 64 + BLOCK_BYTES / MAX_MATCH_BYTES + 2, /* for matches that must be left to look for more */
    RUN_BITS = 4,          /* about what the literal before a run of itself takes */
    LONGEST_RUN = 16,      /* elements; no shorter than that, a repetition is as good */
    MAX_MISSES = 128,        /* elements looked up in vain before most are no longer, or none */
    PACKED_PLACE_BITS = 16, /* of the table of places in `parse_packed` */
    TRIED_ELEMENTS = 1024, /* of a block, before `parse_numbers` looks whether it finds enough */
    ENOUGH_FOUND = 128,    /* of them */
    TRIED_BITS = 12,       /* of the table of places in `repeats_low_bytes` */
    NO_CODE = 0x80
};

static inline uint64_t eight_bytes(const uint8_t *p) {
    uint64_t value;
    memcpy(&value, p, 8);
    return value;
}

static inline uint32_t four_bytes(const uint8_t *p) {
    uint32_t value;
    memcpy(&value, p, 4);
    return value;
}

/* Of bits that are not all 0. In little-endian bytes the first that differ are lowest. */
static inline unsigned lowest_bit(uint64_t value) {
#if defined(__GNUC__)
    return (unsigned)__builtin_ctzll(value);
#else
    unsigned bit = 0;
    for (; !(value & 0xff); value >>= 8) bit += 8;
    for (; !(value & 1); value >>= 1) bit++;
    return bit;
#endif
}

static inline size_t equal_bytes(const uint8_t *a, const uint8_t *b, size_t most) {
    size_t length = 0;
    for (; length + 8 <= most; length += 8) {
        uint64_t differing = eight_bytes(a + length) ^ eight_bytes(b + length);
        if (differing) return length + lowest_bit(differing) / 8;
    }
    while (length < most && a[length] == b[length]) length++;
    return length;
}

typedef struct {
    uint32_t literals; /* before the match */
    uint16_t length, distance;
} match;

typedef struct {
    uint32_t symbols[SYMBOLS], distances[DISTANCES]; /* how often each occurs */
    uint32_t lengths[MAX_MATCH_BYTES + 1];           /* how often each length of a match; `symbols` sums them up */
    size_t matches;
    match match[MAX_MATCHES];
} parsed_block;

static inline unsigned highest_bit_of_64(uint64_t value) {
#if defined(__GNUC__)
    return 63u - (unsigned)__builtin_clzll(value);
#else
    return value >> 32 ? 32 + highest_bit((uint32_t)(value >> 32)) : highest_bit((uint32_t)value);
#endif
}

/* To choose without a branch. */
static inline uint32_t all_ones_if(int condition) { return 0u - (uint32_t)condition; }

/* The symbol of a match length; which `count` extra bits follow it. */
static inline unsigned length_symbol(unsigned length, unsigned *bits, unsigned *count) {
    unsigned over = length - 3, extra = highest_bit(over | 7) - 2;
    if (length == MAX_MATCH_BYTES) {
        *bits = *count = 0;
        return 285;
    }
    *count = extra;
    *bits = over & ((1u << extra) - 1);
    return 257 + 4 * extra + (over >> extra);
}

static inline unsigned distance_symbol(unsigned distance, unsigned *bits, unsigned *count) {
    unsigned over = distance - 1, extra = highest_bit(over | 3) - 1;
    *count = extra;
    *bits = over & ((1u << extra) - 1);
    return 2 * extra + (over >> extra);
}

static inline uint32_t place_hash(const uint8_t *p, size_t bytes) {
    uint64_t mixed = (bytes == 4 ? four_bytes(p) : eight_bytes(p)) * 0x9e3779b97f4a7c15u;
    if (bytes == 16) mixed = ((mixed ^ mixed >> 29) + eight_bytes(p + 8)) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(mixed >> (64 - PLACE_BITS));
}

/* What each byte takes in a code of literals, in bits, after a look at the first of them. Returns the average, and in
 * `values` how many different ones there are. */
static float literal_costs(const uint8_t *data, size_t size, uint8_t *costs, unsigned *values) {
    uint32_t counts[LITERALS];
    uint64_t bits = 0;
    if (size > MIN_PROBE_BYTES) size = MIN_PROBE_BYTES;
    count_bytes(data, size, counts);
    counts[END_OF_BLOCK] = 1;
    code_lengths(counts, LITERALS, LONGEST_CODE, costs);
    *values = 0;
    for (int byte = 0; byte < 256; byte++) {
        bits += (uint64_t)costs[byte] * counts[byte];
        *values += counts[byte] > 0;
    }
    return (float)bits / (float)size;
}

static inline void count_literals(const uint8_t *data, size_t size, uint32_t counts[4][256]) {
    size_t i = 0;
    for (; i + 4 <= size; i += 4) /* equal bytes in a row would wait for each other's sum */
        for (int lane = 0; lane < 4; lane++) counts[lane][data[i + lane]]++;
    for (; i < size; i++) counts[0][data[i]]++;
}

/* Note a match of MAX_MATCH_BYTES at most. */
static inline void add_piece(parsed_block *block, size_t literals, size_t length, size_t distance) {
    unsigned bits, count;
    match *m = &block->match[block->matches++];
    m->literals = (uint32_t)literals;
    m->length = (uint16_t)length;
    m->distance = (uint16_t)distance; /* WINDOW at most */
    block->lengths[length]++;
    block->distances[distance_symbol((unsigned)distance, &bits, &count)]++;
}

/* Note a match of any length, in pieces that a code can say. */
static inline void add_match(parsed_block *block, size_t literals, size_t length, size_t distance) {
    while (length > MAX_MATCH_BYTES) {
        size_t piece = length - MAX_MATCH_BYTES >= 3 ? MAX_MATCH_BYTES : MAX_MATCH_BYTES - 3;
        add_piece(block, literals, piece, distance);
        literals = 0;
        length -= piece;
    }
    add_piece(block, literals, length, distance);
}

/* Where matches may begin: by the hash of what follows, and for runs of one byte by their length in elements. Places
 * are counted from 1; 0 is none. */
typedef struct {
    uint32_t hashed[1 << PLACE_BITS], runs[LONGEST_RUN];
    uint32_t six[1 << PLACE_BITS], five[1 << PLACE_BITS], four[1 << PLACE_BITS]; /* by so many low bytes of numbers */
    int in_vain; /* whether `parse_numbers` did not find enough in the block before */
} places;

/* A block while it is parsed. */
typedef struct {
    const uint8_t *data;
    size_t stop;
    size_t literals;         /* where those begin that no match follows yet */
    uint8_t costs[LITERALS]; /* of literals, in bits */
    uint32_t counts[4][256]; /* of literals */
    places *seen;
    parsed_block *block;
} parsing;

/* A run of `length` bytes like the one at `at`, noted as a match with an earlier run as long and with what stands
 * before both, where that is cheaper than a literal and its repetition. Returns where the match begins. Few branches:
 * with noise around runs none could be foreseen. */
static inline size_t add_run(parsing *p, size_t at, size_t length, size_t stride) {
    static const uint32_t no_longer[2 * LONGEST_RUN] = {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u,
                                                       ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u}; /* and as many zeros */
    const uint8_t *data = p->data;
    uint32_t *runs = p->seen->runs;
    uint32_t elements = (uint32_t)length >> highest_bit((uint32_t)stride), now = (uint32_t)at + 1;
    uint32_t place = elements < LONGEST_RUN ? runs[elements] : 0, distance = 1;
    size_t before = 0, alone = at == 0 || data[at - 1] != data[at]; /* its first byte, if another is before the run */
    const uint32_t *shorter = no_longer + LONGEST_RUN - 1 - (elements < LONGEST_RUN ? elements : LONGEST_RUN - 1);
    for (int k = 0; k < LONGEST_RUN; k++) runs[k] = (now & shorter[k]) | (runs[k] & ~shorter[k]);
    if (place > 8 && now - place <= WINDOW) {
        uint64_t differing = eight_bytes(data + at - 8) ^ eight_bytes(data + place - 9);
        before = 7 - highest_bit_of_64(differing | 1) / 8;
        before = before < at - p->literals ? before : at - p->literals;
        uint32_t saved = RUN_BITS + p->costs[data[at - 1]] + 7 * (uint32_t)before;
        uint32_t mask =
            all_ones_if((before > 0) & (data[place - 1] == data[at]) & (saved > 7 + highest_bit(now - place)));
        before &= mask;
        alone &= ~mask;
        distance += (now - place - 1) & mask;
    }
    size_t first = at + alone - before;
    add_match(p->block, first - p->literals, at + length - first, distance);
    p->literals = at + length;
    return first;
}

/* Which of at most 64 elements are `run_element`, as bits. The others are put one behind the other. */
static inline uint64_t split_elements(const uint8_t *data, size_t elements, size_t stride, uint64_t run_element,
                                      uint8_t *others, size_t *other_bytes) {
    uint64_t bits = 0;
    size_t bytes = 0;
    for (size_t i = 0; i < elements; i++) {
        uint64_t value = stride == 4 ? four_bytes(data + 4 * i) : eight_bytes(data + 8 * i);
        uint64_t equal = value == run_element;
        memcpy(others + bytes, data + stride * i, stride);
        bits |= equal << i;
        bytes += equal ? 0 : stride;
    }
    *other_bytes = bytes;
    return bits;
}

/* As `add_run`, where the elements around it were counted as literals already, and those of the run were not. */
static inline void add_counted_run(parsing *p, size_t at, size_t end, size_t stride) {
    size_t first = add_run(p, at, end - at, stride);
    p->counts[0][p->data[at]] += first > at;
    for (size_t i = first; i < at; i++) p->counts[0][p->data[i]]--;
}

/* The runs of one byte from `at` on; everything else becomes literals. stride: 4 or 8. Returns where data or room for
 * matches came to an end; literals are counted up to there. */
static inline size_t parse_runs(parsing *p, size_t at, uint8_t byte, size_t stride) {
    uint64_t run_element = byte * (stride == 4 ? 0x01010101u : 0x0101010101010101u), last = 0;
    size_t edges[66] = {0}, count = 0; /* where a run begins, where it ends, where the next one begins ... */
    uint8_t others[64 * 8];
    while (at + stride <= p->stop && p->block->matches + MATCH_SLACK < MAX_MATCHES) {
        size_t elements = (p->stop - at) / stride < 64 ? (p->stop - at) / stride : 64, other_bytes;
        uint64_t bits = split_elements(p->data + at, elements, stride, run_element, others, &other_bytes);
        uint64_t changes = (bits ^ (bits << 1 | last)) << (64 - elements) >> (64 - elements);
        for (; changes; changes &= changes - 1) edges[count++] = at + stride * lowest_bit(changes);
        count_literals(others, other_bytes, p->counts);
        at += elements * stride;
        last = bits >> (elements - 1);
        for (size_t i = 0; i + 1 < count; i += 2) add_counted_run(p, edges[i], edges[i + 1], stride);
        edges[0] = edges[count - (count > 0)];
        count = last;
    }
    if (last) add_counted_run(p, edges[0], at, stride);
    return at;
}

/* Bytes of few values as codes of 1, 2 or 4 bits, so that one comparison looks at a score of them. Returns 0 if there
 * are more values than codes. count: a multiple of 8. */
static inline int pack(const uint8_t *data, size_t count, unsigned width, uint8_t *packed) {
    uint8_t codes[256];
    unsigned used = 0;
    memset(codes, NO_CODE, sizeof codes);
    for (size_t i = 0; i < count; i += 8) {
        uint64_t bits = 0;
        uint8_t flags = 0;
        for (unsigned k = 0; k < 8; k++) flags |= codes[data[i + k]];
        for (unsigned k = 0; (flags & NO_CODE) && k < 8; k++)
            if (codes[data[i + k]] == NO_CODE) codes[data[i + k]] = (uint8_t)used++;
        if (used > 1u << width) return 0;
        for (unsigned k = 0; k < 8; k++) bits |= (uint64_t)codes[data[i + k]] << (k * width);
        for (unsigned byte = 0; byte < width; byte++) packed[i / 8 * width + byte] = (uint8_t)(bits >> (8 * byte));
    }
    memset(packed + count / 8 * width, 0, 8);
    return 1;
}

/* 56 bits from an element on. */
static inline uint64_t packed_at(const uint8_t *packed, size_t at, unsigned width) {
    return (eight_bytes(packed + (at * width >> 3)) >> (at * width & 7)) << 8 >> 8;
}

static inline uint32_t packed_hash(uint64_t bits, unsigned width) {
    const unsigned key = width == 1 ? 16 : width == 2 ? 20 : 24;
    if (key == PACKED_PLACE_BITS) return (uint32_t)(bits & 0xffff);
    return (uint32_t)((bits << (64 - key)) * 0x9e3779b97f4a7c15u >> (64 - PACKED_PLACE_BITS));
}

/* As `parse` for bytes of few values, with every place remembered; matches do not reach into earlier blocks. Returns
 * where it stopped for want of data or room for matches, or `from` if there are more values than codes. */
static inline size_t parse_packed(parsing *p, size_t from, unsigned width, float byte_bits) {
    uint8_t packed[BLOCK_BYTES / 2 + 16];
    uint16_t places[1 << PACKED_PLACE_BITS]; /* in the block, counted from 1 */
    size_t least[17]; /* elements that a match must have, by the highest bit of its distance */
    const uint8_t *data = p->data + from;
    const size_t count = (p->stop - from) & ~(size_t)7, span = 56 / width;
    size_t at = 0, literals = 0;
    if (!pack(data, count, width, packed)) return from;
    memset(places, 0, sizeof places);
    for (int bit = 0; bit <= 16; bit++) least[bit] = (size_t)((float)(MATCH_BITS - 2 + bit) / byte_bits) + 1;
    while (at + span <= count && p->block->matches + MATCH_SLACK < MAX_MATCHES) {
        uint64_t here = packed_at(packed, at, width);
        uint16_t *place = &places[packed_hash(here, width)];
        size_t distance = at + 1 - *place;
        uint64_t differing = here ^ packed_at(packed, *place ? at - distance : at, width);
        size_t length = differing ? lowest_bit(differing) / width : span;
        if (!*place || distance > WINDOW || length < least[highest_bit((uint32_t)distance)]) {
            *place = (uint16_t)++at;
            continue;
        }
        while (!differing && at + length + span <= count) {
            differing = packed_at(packed, at + length, width) ^ packed_at(packed, at + length - distance, width);
            length += differing ? lowest_bit(differing) / width : span;
        }
        count_literals(data + literals, at - literals, p->counts);
        add_match(p->block, at - literals, length, distance);
        literals = at + length;
        for (; at < literals; at++) places[packed_hash(packed_at(packed, at, width), width)] = (uint16_t)(at + 1);
    }
    p->literals = from + literals;
    return from + at;
}

/* The last place of the same low bytes of a number, counted from 1; 0 for none. The place is remembered anew.
 * bits: of the bytes that are looked at. differing: the bits in which the two numbers differ. */
static inline size_t find_low_bytes(const uint8_t *data, size_t at, uint64_t value, uint64_t bits, uint32_t *table,
                                    uint64_t *differing) {
    uint32_t *place = &table[((value & bits) * 0x9e3779b97f4a7c15u) >> (64 - PLACE_BITS)];
    size_t last = *place, is_near = (size_t)(last != 0) & (size_t)(at + 1 - last <= WINDOW);
    *place = (uint32_t)at + 1;
    last = is_near ? last : at + 1;
    *differing = value ^ eight_bytes(data + last - 1);
    return is_near & (size_t)!(*differing & bits) ? last : 0;
}

/* The last place of the same number, else of the same six, five or four low bytes, and how many bytes are equal there;
 * 0 for none. Hardly a branch: which of them is found cannot be foreseen. */
static inline size_t find_number(const parsing *p, size_t at, size_t *distance) {
    places *seen = p->seen;
    uint64_t value = eight_bytes(p->data + at), differing, others[3];
    size_t last = find_low_bytes(p->data, at, value, 0xffffffffu, seen->four, &differing);
    size_t five = find_low_bytes(p->data, at, value, 0xffffffffffu, seen->five, others);
    size_t six = find_low_bytes(p->data, at, value, 0xffffffffffffu, seen->six, others + 1);
    size_t whole = find_low_bytes(p->data, at, value, ~(uint64_t)0, seen->hashed, others + 2);
    differing = five ? others[0] : differing;
    last = five ? five : last;
    differing = six ? others[1] : differing;
    last = six ? six : last;
    differing = whole ? 0 : differing;
    last = whole ? whole : last;
    *distance = at + 1 - last;
    size_t length = differing ? lowest_bit(differing | (uint64_t)1 << 63) / 8 : 8;
    return last ? length : 0;
}

/* As `count_literals`, where they are mostly four at most, and four bytes may be looked at. */
static inline void count_few_literals(const uint8_t *data, size_t size, uint32_t counts[4][256]) {
    for (size_t lane = 0; lane < 4; lane++) counts[lane][data[lane]] += lane < size;
    if (size > 4) count_literals(data + 4, size - 4, counts);
}

/* Note a match of bytes from `first` on, and the literals before it. */
static inline void add_counted_match(parsing *p, size_t first, size_t end, size_t distance) {
    count_few_literals(p->data + p->literals, first - p->literals, p->counts);
    add_match(p->block, first - p->literals, end - first, distance);
    p->literals = end;
}

/* The matches of numbers of eight bytes: runs of one byte, the last place of the same number, or of the same low bytes.
 *
 * Decimal fractions repeat there: k / 1000 and k' / 1000 of one binade have the same low bits where k - k' is a
 * multiple of 125. Returns where data or room for matches came to an end, or where so little was found that others do
 * better (`is_worthwhile` is then 0); literals are counted up to `p->literals`. */
static inline size_t parse_numbers(parsing *p, size_t at, int *is_worthwhile) {
    const uint8_t *data = p->data;
    size_t tried = 0, matched = 0;
    *is_worthwhile = 1;
    while (at + 16 <= p->stop && p->block->matches + MATCH_SLACK < MAX_MATCHES) {
        uint64_t value = eight_bytes(data + at);
        size_t run = 0, distance = 0, length = 0;
        if (value == (value & 0xff) * 0x0101010101010101u)
            run = (8 + equal_bytes(data + at, data + at + 8, p->stop - at - 8)) & ~(size_t)7;
        size_t number = at + run; /* the one that is looked for: the next that is not part of a run of the same byte */
        int is_tried = number + 8 <= p->stop && (!run || data[number] != data[at]);
        if (is_tried) {
            length = find_number(p, number, &distance);
            if (++tried == TRIED_ELEMENTS && matched < ENOUGH_FOUND) {
                *is_worthwhile = 0;
                return at;
            }
            matched += length > 0;
        }
        if (run && length && distance <= at && equal_bytes(data + at, data + at - distance, run) == run) {
            add_counted_match(p, at, number + length, distance); /* the run and what follows it in one */
        } else {
            if (run) {
                size_t literals = p->literals, first = add_run(p, at, run, 8);
                count_few_literals(data + literals, first - literals, p->counts);
            }
            if (length) {
                size_t first = number, least = p->literals > distance ? p->literals : distance;
                for (int k = 0; k < 2 && first > least && data[first - 1] == data[first - 1 - distance]; k++) first--;
                add_counted_match(p, first, number + length, distance);
            }
        }
        at = is_tried ? number + 8 : number;
    }
    return at;
}

/* Whether enough numbers from `at` on have the four low bytes of an earlier one: a third of the time of trying it. */
static inline int repeats_low_bytes(const uint8_t *data, size_t at, size_t stop) {
    uint16_t last[1 << TRIED_BITS] = {0}; /* counted from 1 */
    uint32_t four[TRIED_ELEMENTS];
    unsigned tried = 0, matches = 0;
    for (; at + 8 <= stop && tried < TRIED_ELEMENTS; at += 8) {
        uint32_t value = four_bytes(data + at);
        if (value == (value & 0xff) * 0x01010101u) continue; /* of a run, most likely */
        uint16_t *place = &last[value * 0x9e3779b1u >> (32 - TRIED_BITS)];
        matches += *place && four[*place - 1] == value;
        four[tried++] = value;
        *place = (uint16_t)tried;
    }
    return matches >= ENOUGH_FOUND;
}

/* Find the matches of one block that begins at `from`; returns where it ends. stride: bytes of an element. */
static size_t parse(const uint8_t *data, size_t from, size_t size, size_t stride, places *seen, parsed_block *block) {
    size_t stop = size - from < BLOCK_BYTES ? size : from + BLOCK_BYTES / stride * stride;
    size_t at = from, counted = from, misses = 0, vain = 0;
    size_t key = stride == 1 ? 16 : stride == 4 ? 4 : 8;
    int run_byte = -1, one_run_byte = 1;
    parsing p = {.data = data, .stop = stop, .literals = from, .seen = seen, .block = block};
    unsigned values;
    float byte_bits = literal_costs(data + from, stop - from, p.costs, &values);
    memset(block->symbols, 0, sizeof block->symbols);
    memset(block->distances, 0, sizeof block->distances);
    memset(block->lengths, 0, sizeof block->lengths);
    block->matches = 0;
    if (stride == 1 && values <= 16) {
        at = values <= 2   ? parse_packed(&p, from, 1, byte_bits)
             : values <= 4 ? parse_packed(&p, from, 2, byte_bits)
                           : parse_packed(&p, from, 4, byte_bits);
        counted = p.literals;
    }
    if (stride == 8) {
        int is_worthwhile = 0;
        if (!seen->in_vain || repeats_low_bytes(data, from, stop)) {
            at = parse_numbers(&p, from, &is_worthwhile);
            counted = p.literals;
        }
        seen->in_vain = !is_worthwhile;
        vain = is_worthwhile ? 0 : MAX_MISSES;
    }
    while (at + 16 <= stop && block->matches + MATCH_SLACK < MAX_MATCHES) {
        uint64_t value = eight_bytes(data + at);
        size_t next = at + stride * (1 + (misses >> 6)), first = next;
        if (vain >= MAX_MISSES && one_run_byte && (stride == 4 || stride == 8)) {
            uint8_t byte = run_byte < 0 ? 0 : (uint8_t)run_byte;
            count_literals(data + counted, at - counted, p.counts);
            at = counted = stride == 4 ? parse_runs(&p, at, byte, 4) : parse_runs(&p, at, byte, 8);
            break;
        }
        if (stride > 1 && value == (value & 0xff) * 0x0101010101010101u) {
            size_t length = 8 + equal_bytes(data + at, data + at + 8, stop - at - 8);
            length &= ~(stride - 1);
            if (length) {
                next = at + length;
                one_run_byte &= run_byte < 0 || run_byte == data[at];
                run_byte = data[at];
                first = add_run(&p, at, length, stride);
            }
        } else if (stride == 1 || vain < MAX_MISSES || !(at & (8 * stride - 1))) {
            vain++;
            uint32_t hash = place_hash(data + at, key);
            size_t place = seen->hashed[hash];
            seen->hashed[hash] = (uint32_t)at + 1;
            if (place && at + 1 - place <= WINDOW) {
                size_t distance = at + 1 - place, length = equal_bytes(data + at - distance, data + at, stop - at);
                length &= ~(stride - 1);
                if (length >= key &&
                    (float)length * byte_bits >= MATCH_BITS - 2 + (float)highest_bit((uint32_t)distance)) {
                    next = at + length;
                    first = at;
                    vain = 0;
                    add_match(block, at - p.literals, length, distance);
                    p.literals = next;
                }
            }
        }
        if (first < next) {
            count_literals(data + counted, first - counted, p.counts);
            counted = next;
            misses = 0;
        } else {
            misses++;
        }
        at = next;
    }
    if (block->matches + MATCH_SLACK >= MAX_MATCHES) p.stop = at;
    count_literals(data + counted, p.stop - counted, p.counts);
    for (int byte = 0; byte < 256; byte++)
        for (int lane = 0; lane < 4; lane++) block->symbols[byte] += p.counts[lane][byte];
    for (unsigned length = 3, bits, count; length <= MAX_MATCH_BYTES; length++)
        block->symbols[length_symbol(length, &bits, &count)] += block->lengths[length];
    block->symbols[END_OF_BLOCK]++;
    block->distances[0]++; /* a complete code has two symbols at least */
    block->distances[1]++;
    return p.stop;
}

#endif
