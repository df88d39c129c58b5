/* inflate_tables.h — what a deflate stream's next bits mean, as tables.
 *
 * An entry of the table of literals has up to six literals whose codes fit the bits that are looked up, so that bytes of
 * few values cost a fraction of a look-up each; or a length; or where longer codes go on.
 */
#ifndef H5BURST_INFLATE_TABLES_H
#define H5BURST_INFLATE_TABLES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    LITERAL_SYMBOLS = 288,
    DISTANCE_SYMBOLS = 32,
    LITERAL_END = 256,      /* the symbol that ends a block */
    LITERAL_BITS = 11,      /* of codes that are looked up at once */
    DISTANCE_BITS = 9,
    LONGEST_DEFLATE_CODE = 15,
    LITERAL_REST = 1 << (LONGEST_DEFLATE_CODE - LITERAL_BITS), /* entries for what follows the beginning of longer codes */
    DISTANCE_REST = 1 << (LONGEST_DEFLATE_CODE - DISTANCE_BITS),
    LITERAL_ENTRIES = (1 << LITERAL_BITS) + LITERAL_REST * (LITERAL_SYMBOLS / 2), /* each beginning has two codes at least */
    DISTANCE_ENTRIES = (1 << DISTANCE_BITS) + DISTANCE_REST * (DISTANCE_SYMBOLS / 2),
    MOST_LITERALS = 6       /* of an entry */
};

/* An entry for literals: how many bits they take in byte 0, the literals in bytes 1 to 6, how many they are in byte 7.
 * All others have the highest bit set:
 *   a length: bits of code and length together in byte 0, of the code alone in byte 1, the least length from bit 16 on;
 *   longer codes: IS_REST, where they go on from bit 16 on;
 *   the end of the block: IS_END; what is no code: IS_NONE. */
#define IS_SPECIAL ((uint64_t)1 << 63)
#define IS_REST ((uint64_t)1 << 62)
#define IS_END ((uint64_t)1 << 61)
#define IS_NONE ((uint64_t)1 << 60)
#define IS_ODD (IS_REST | IS_END | IS_NONE)

/* An entry for distances: bits of code and distance together in byte 0, of the code alone in byte 1, the least distance
 * in bytes 2 and 3, which is 0 for what is no code; DISTANCE_IS_REST: where longer codes go on in bytes 2 and 3. */
#define DISTANCE_IS_REST 0x8000u

typedef struct {
    uint64_t literal[LITERAL_ENTRIES];
    uint32_t distance[DISTANCE_ENTRIES];
    uint8_t lengths[LITERAL_SYMBOLS + DISTANCE_SYMBOLS]; /* of the codes that the tables are of */
    int literals, distances;                             /* how many, 0 before the first */
} inflate_tables;

static uint64_t literal_entry(int symbol, unsigned bits) {
    static const uint16_t least[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                       31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    if (symbol < LITERAL_END) return bits | (uint64_t)symbol << 8 | (uint64_t)1 << 56;
    if (symbol == LITERAL_END) return bits | IS_END | IS_SPECIAL;
    unsigned over = (unsigned)symbol - 257;
    if (over >= 29) return IS_NONE | IS_SPECIAL;
    unsigned extra = over < 8 || over == 28 ? 0 : over / 4 - 1;
    return (bits + extra) | (uint64_t)bits << 8 | (uint64_t)least[over] << 16 | IS_SPECIAL;
}

static uint32_t distance_entry(int symbol, unsigned bits) {
    if (symbol >= 30) return 0;
    unsigned extra = symbol < 4 ? 0 : (unsigned)symbol / 2 - 1;
    unsigned least = symbol < 4 ? (unsigned)symbol + 1 : ((2u + ((unsigned)symbol & 1)) << extra) + 1;
    return (bits + extra) | bits << 8 | (uint32_t)least << 16;
}

/* The next code, where the first bit of a code is the lowest. */
static inline unsigned next_code(unsigned code, int length) {
    unsigned bit = 1u << (length - 1);
    while (code & bit) {
        code ^= bit;
        bit >>= 1;
    }
    return code | bit;
}

/* Symbols in the order of their codes, and how many codes there are of each length. Returns whether the code is
 * complete; one with a single symbol of one bit, or with none, counts as such. */
static int order_codes(const uint8_t *lengths, int symbols, uint16_t *ordered, int *at_length) {
    int place[LONGEST_DEFLATE_CODE + 2] = {0}, longest = 0;
    int64_t room = 1;
    memset(at_length, 0, sizeof(int) * (LONGEST_DEFLATE_CODE + 1));
    for (int symbol = 0; symbol < symbols; symbol++) at_length[lengths[symbol]]++;
    at_length[0] = 0;
    for (int length = 1; length <= LONGEST_DEFLATE_CODE; length++) {
        place[length + 1] = place[length] + at_length[length];
        room = 2 * room - at_length[length];
        if (room < 0) return 0;
        if (at_length[length]) longest = length;
    }
    for (int symbol = 0; symbol < symbols; symbol++)
        if (lengths[symbol]) ordered[place[lengths[symbol]]++] = (uint16_t)symbol;
    return room == 0 || longest <= 1;
}

/* The tables are made as codes get longer: what is known of so many bits holds, twice, for one bit more. */
#define DEFINE_MAKE_TABLE(NAME, ENTRY, MAKE, BITS, REST, NONE, REST_ENTRY)                                          \
    static int NAME(const uint8_t *lengths, int symbols, ENTRY *table) {                                            \
        uint16_t ordered[LITERAL_SYMBOLS];                                                                          \
        int at_length[LONGEST_DEFLATE_CODE + 1], next = 0;                                                          \
        unsigned code = 0, filled = 1, beginning = 1u << BITS, rest = 1u << BITS;                                   \
        if (!order_codes(lengths, symbols, ordered, at_length)) return 0;                                           \
        table[0] = NONE;                                                                                            \
        for (int length = 1; length <= BITS; length++, filled *= 2) {                                               \
            memcpy(table + filled, table, filled * sizeof(ENTRY));                                                  \
            for (int n = 0; n < at_length[length]; n++, code = next_code(code, length))                             \
                table[code] = MAKE(ordered[next++], (unsigned)length);                                              \
        }                                                                                                           \
        for (int length = BITS + 1; length <= LONGEST_DEFLATE_CODE; length++) {                                     \
            for (int n = 0; n < at_length[length]; n++, code = next_code(code, length)) {                           \
                unsigned first = code & ((1u << BITS) - 1);                                                         \
                if (first != beginning) {                                                                           \
                    if (beginning != 1u << BITS) rest += REST;                                                      \
                    beginning = first;                                                                              \
                    table[first] = REST_ENTRY;                                                                      \
                }                                                                                                   \
                ENTRY entry = MAKE(ordered[next++], (unsigned)(length - BITS));                                     \
                for (unsigned at = code >> BITS; at < REST; at += 1u << (length - BITS)) table[rest + at] = entry;  \
            }                                                                                                       \
        }                                                                                                           \
        return 1;                                                                                                   \
    }

DEFINE_MAKE_TABLE(make_literal_table, uint64_t, literal_entry, LITERAL_BITS, LITERAL_REST, (IS_NONE | IS_SPECIAL),
                  (LITERAL_BITS | (uint64_t)rest << 16 | IS_REST | IS_SPECIAL))
DEFINE_MAKE_TABLE(make_distance_table, uint32_t, distance_entry, DISTANCE_BITS, DISTANCE_REST, 0,
                  (DISTANCE_BITS | DISTANCE_IS_REST | rest << 16))

/* Whether a random stream of these codes has at least two literals in the bits that are looked up. */
static int has_short_literals(const uint8_t *lengths) {
    unsigned bits = 0, share = 0; /* of 2 ** 15 */
    for (int symbol = 0; symbol < LITERAL_END; symbol++) {
        unsigned probability = lengths[symbol] ? 1u << (LONGEST_DEFLATE_CODE - lengths[symbol]) : 0;
        bits += lengths[symbol] * probability;
        share += probability;
    }
    return 2 * bits <= LITERAL_BITS * share;
}

/* Put further literals into the entries that have bits to spare. Entries of lower numbers are needed as they were. */
static void join_literals(uint64_t *table) {
    for (unsigned at = 1u << LITERAL_BITS; at-- > 0;) {
        uint64_t entry = table[at];
        if (entry & IS_SPECIAL) continue;
        unsigned used = entry & 0xff, literals = 1;
        while (literals < MOST_LITERALS) {
            uint64_t after = table[at >> used];
            unsigned bits = after & 0xff;
            if (after & IS_SPECIAL || used + bits > LITERAL_BITS) break;
            entry |= (after >> 8 & 0xff) << (8 + 8 * literals);
            literals++;
            used += bits;
        }
        table[at] = (entry & 0x00ffffffffffff00u) | used | (uint64_t)literals << 56;
    }
}

/* Tables of these codes: of literals and, behind them, of distances. Returns whether they are codes. */
static int make_tables(inflate_tables *tables, const uint8_t *lengths, int literals, int distances) {
    size_t all = (size_t)(literals + distances);
    if (tables->literals == literals && tables->distances == distances && !memcmp(tables->lengths, lengths, all)) return 1;
    tables->literals = 0;
    if (literals <= LITERAL_END || !lengths[LITERAL_END]) return 0; /* a block without an end */
    if (!make_literal_table(lengths, literals, tables->literal)) return 0;
    if (!make_distance_table(lengths + literals, distances, tables->distance)) return 0;
    if (has_short_literals(lengths)) join_literals(tables->literal);
    memcpy(tables->lengths, lengths, all);
    tables->literals = literals;
    tables->distances = distances;
    return 1;
}

#endif
