/* inflate_tables.h — what a deflate stream's next bits mean, as tables.
 *
 * An entry of the table of literals has up to six literals whose codes fit the bits that are looked up, so that bytes
 * of few values cost a fraction of a look-up each; or a length; or where longer codes go on.
 */
#ifndef H5BURST_INFLATE_TABLES_H
#define H5BURST_INFLATE_TABLES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bits.h"

enum {
    LITERAL_SYMBOLS = 288,
    DISTANCE_SYMBOLS = 32,
    LITERAL_END = 256,      /* the symbol that ends a block */
    LITERAL_BITS = 11,      /* of codes that are looked up at once */
    DISTANCE_BITS = 9,
    LONGEST_DEFLATE_CODE = 15,
    LITERAL_REST = 1 << (LONGEST_DEFLATE_CODE - LITERAL_BITS), /* entries behind the beginning of longer codes */
    DISTANCE_REST = 1 << (LONGEST_DEFLATE_CODE - DISTANCE_BITS),
    LITERAL_ENTRIES = (1 << LITERAL_BITS) + LITERAL_REST * (LITERAL_SYMBOLS / 2), /* a beginning has >= 2 codes */
    DISTANCE_ENTRIES = (1 << DISTANCE_BITS) + DISTANCE_REST * (DISTANCE_SYMBOLS / 2),
    MAX_LITERALS = 6,      /* of an entry */
    FEW_LITERALS = 5        /* sixteenths of all that a code may say */
};

/* An entry for literals: how many bits they take in byte 0, the literals in bytes 1 to 6, how many they are in byte 7.
 * All others are special: no bits and no literals, so that to put one does nothing.
 *   a length: bits of code and length together in byte 1, of the code alone in byte 2, the least length from bit 24 on;
 *   longer codes: IS_REST, where they go on from bit 24 on;
 *   the end of the block: IS_END, its bits in byte 1; what is no code: IS_NONE.
 * Of byte 1 and 2 only six bits count as numbers, so that the flags, which are above, do not disturb. */
#define IS_SPECIAL(entry) (!(uint8_t)(entry))
#define IS_REST 0x800000u /* this and the next two: of special entries alone */
#define IS_END 0x8000u
#define IS_NONE 0x4000u
#define IS_ODD (IS_REST | IS_END | IS_NONE)

/* An entry for distances: bits of code and distance together in byte 0, of the code alone in byte 1, the least distance
 * in bytes 2 and 3; DISTANCE_IS_REST: where longer codes go on in bytes 2 and 3; DISTANCE_IS_NONE: what is no code. */
#define DISTANCE_IS_REST 0x8000u
#define DISTANCE_IS_NONE (DISTANCE_IS_REST | 0x4000u)

typedef struct {
    uint64_t literal[LITERAL_ENTRIES];
    uint32_t distance[DISTANCE_ENTRIES];
    uint8_t lengths[LITERAL_SYMBOLS + DISTANCE_SYMBOLS]; /* of the codes that the tables are of */
    int literals, distances;                             /* how many, 0 before the first */
    int has_few_literals;                                /* most codes are matches */
} inflate_tables;

static uint64_t literal_entry(int symbol, unsigned bits) {
    static const uint16_t least[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                       31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    if (symbol < LITERAL_END) return bits | (uint64_t)symbol << 8 | (uint64_t)1 << 56;
    if (symbol == LITERAL_END) return (uint64_t)bits << 8 | IS_END;
    unsigned over = (unsigned)symbol - 257;
    if (over >= 29) return IS_NONE;
    unsigned extra = over < 8 || over == 28 ? 0 : over / 4 - 1;
    return (uint64_t)(bits + extra) << 8 | (uint64_t)bits << 16 | (uint64_t)least[over] << 24;
}

static uint32_t distance_entry(int symbol, unsigned bits) {
    if (symbol >= 30) return DISTANCE_IS_NONE;
    unsigned extra = symbol < 4 ? 0 : (unsigned)symbol / 2 - 1;
    unsigned least = symbol < 4 ? (unsigned)symbol + 1 : ((2u + ((unsigned)symbol & 1)) << extra) + 1;
    return (bits + extra) | bits << 8 | (uint32_t)least << 16;
}

/* The next code, where the first bit of a code is the lowest; 0 after the last one. */
static inline unsigned next_code(unsigned code, int length) {
    unsigned zeros = ~code & ((1u << length) - 1);
    if (!zeros) return 0;
    unsigned bit = 1u << highest_bit(zeros);
    return (code & (bit - 1)) | bit;
}

/* Codes and what they mean, shorter ones first. */
typedef struct {
    uint16_t code[LITERAL_SYMBOLS], symbol[LITERAL_SYMBOLS];
    int first[LONGEST_DEFLATE_CODE + 2]; /* of each length, where its codes begin */
} code_list;

/* Returns whether the code is complete; one with a single symbol of one bit, or with none, counts as such. */
static int list_codes(const uint8_t *lengths, int symbols, code_list *list) {
    int at_length[LONGEST_DEFLATE_CODE + 1] = {0}, place[LONGEST_DEFLATE_CODE + 2], longest = 0;
    uint16_t all[LITERAL_SYMBOLS]; /* those without a code first */
    int64_t room = 1;
    unsigned code = 0;
    for (int symbol = 0; symbol < symbols; symbol++) at_length[lengths[symbol]]++;
    int unused = at_length[0];
    place[0] = list->first[0] = list->first[1] = 0;
    place[1] = unused;
    for (int length = 1; length <= LONGEST_DEFLATE_CODE; length++) {
        int first = list->first[length], stop = first + at_length[length];
        list->first[length + 1] = stop;
        place[length + 1] = unused + stop;
        room = 2 * room - at_length[length];
        if (room < 0) return 0;
        if (stop > first) longest = length;
        for (int n = first; n < stop; n++, code = next_code(code, length)) list->code[n] = (uint16_t)code;
    }
    for (int symbol = 0; symbol < symbols; symbol++) all[place[lengths[symbol]]++] = (uint16_t)symbol;
    memcpy(list->symbol, all + unused, sizeof *all * (size_t)(symbols - unused));
    return room == 0 || longest <= 1;
}

/* Codes longer than the bits that are looked up at once. */
#define PUT_LONG_CODES(LIST, ENTRY, TABLE, MAKE, BITS, REST, REST_ENTRY)                                             \
    for (unsigned length = BITS + 1, beginning = 1u << BITS, rest = 1u << BITS; length <= LONGEST_DEFLATE_CODE;     \
         length++) {                                                                                                \
        for (int n = (LIST).first[length]; n < (LIST).first[length + 1]; n++) {                                     \
            unsigned first = (LIST).code[n] & ((1u << BITS) - 1);                                                   \
            if (first != beginning) {                                                                               \
                if (beginning != 1u << BITS) rest += REST;                                                          \
                beginning = first;                                                                                  \
                (TABLE)[first] = REST_ENTRY;                                                                        \
            }                                                                                                       \
            ENTRY entry = MAKE((LIST).symbol[n], length - BITS);                                                    \
            for (unsigned at = (LIST).code[n] >> BITS; at < REST; at += 1u << (length - BITS))                      \
                (TABLE)[rest + at] = entry;                                                                         \
        }                                                                                                           \
    }

/* Literals one behind the other. */
typedef struct {
    uint64_t entry;
    unsigned code; /* those of all of them */
} literal_row;

/* The table is made as codes get longer: what is known of so many bits holds, twice, for one bit more. The rows of
 * literals that fill all of the bits are the rows that fill fewer with a literal more. */
static int make_literal_table(const uint8_t *lengths, int symbols, uint64_t *table) {
    code_list list;
    literal_row rows[1 << LITERAL_BITS]; /* no more than 2 ** bits fill so many */
    unsigned first_row[LITERAL_BITS + 2] = {0, 1}, row_count = 1;
    if (!list_codes(lengths, symbols, &list)) return 0;
    rows[0] = (literal_row){0, 0};
    table[0] = IS_NONE;
    for (unsigned bits = 1; bits <= LITERAL_BITS; bits++) {
        memcpy(table + (1u << (bits - 1)), table, sizeof *table << (bits - 1));
        for (unsigned length = 1; length <= bits; length++) {
            int first = list.first[length], stop = first; /* symbols are in order: literals come first */
            while (stop < list.first[length + 1] && list.symbol[stop] < LITERAL_END) stop++;
            for (unsigned row = first_row[bits - length]; row < first_row[bits - length + 1] && first < stop; row++) {
                uint64_t before = rows[row].entry, literals = before >> 56;
                if (literals == MAX_LITERALS) continue;
                before += length + ((uint64_t)1 << 56);
                for (int n = first; n < stop; n++) {
                    literal_row longer = {before | (uint64_t)list.symbol[n] << (8 + 8 * literals),
                                          rows[row].code | (unsigned)list.code[n] << (bits - length)};
                    table[longer.code] = longer.entry;
                    rows[row_count] = longer;
                    row_count += bits < LITERAL_BITS;
                }
            }
            if (length == bits)
                for (int n = stop; n < list.first[length + 1]; n++)
                    table[list.code[n]] = literal_entry(list.symbol[n], length);
        }
        first_row[bits + 1] = row_count;
    }
    PUT_LONG_CODES(list, uint64_t, table, literal_entry, LITERAL_BITS, LITERAL_REST, ((uint64_t)rest << 24 | IS_REST))
    return 1;
}

static int make_distance_table(const uint8_t *lengths, int symbols, uint32_t *table) {
    code_list list;
    if (!list_codes(lengths, symbols, &list)) return 0;
    table[0] = DISTANCE_IS_NONE;
    for (unsigned bits = 1; bits <= DISTANCE_BITS; bits++) {
        memcpy(table + (1u << (bits - 1)), table, sizeof *table << (bits - 1));
        for (int n = list.first[bits]; n < list.first[bits + 1]; n++)
            table[list.code[n]] = distance_entry(list.symbol[n], bits);
    }
    PUT_LONG_CODES(list, uint32_t, table, distance_entry, DISTANCE_BITS, DISTANCE_REST,
                   (DISTANCE_BITS | DISTANCE_IS_REST | rest << 16))
    return 1;
}

/* Tables of these codes: of literals and, behind them, of distances. Returns whether they are codes. */
static int make_tables(inflate_tables *tables, const uint8_t *lengths, int literals, int distances) {
    size_t all = (size_t)(literals + distances);
    if (tables->literals == literals && tables->distances == distances && !memcmp(tables->lengths, lengths, all))
        return 1;
    tables->literals = 0;
    if (literals <= LITERAL_END || !lengths[LITERAL_END]) return 0; /* a block without an end */
    if (!make_literal_table(lengths, literals, tables->literal)) return 0;
    if (!make_distance_table(lengths + literals, distances, tables->distance)) return 0;
    unsigned said = 0; /* of all that 15 bits may say, how much begins with a literal */
    for (int symbol = 0; symbol < LITERAL_END; symbol++)
        if (lengths[symbol]) said += 1u << (LONGEST_DEFLATE_CODE - lengths[symbol]);
    tables->has_few_literals = said * 16 < FEW_LITERALS << LONGEST_DEFLATE_CODE;
    memcpy(tables->lengths, lengths, all);
    tables->literals = literals;
    tables->distances = distances;
    return 1;
}

#endif
