/* chunk_reading.h — chunks of a dataset, as they are stored, undone and put where they belong in an array.
 *
 * All that a thread does for a chunk is here, so that it needs neither Python nor a lock of any library. */
#ifndef H5BURST_CHUNK_READING_H
#define H5BURST_CHUNK_READING_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef _WIN32
#include <errno.h>
#include <unistd.h>
#endif

#include "inflate.h"
#include "lzf.h"
#include "shuffle.h"

enum { MAX_AXES = 32, MAX_STEPS = 8, CHECKSUM_BYTES = 4 };
enum { DEFLATE_FILTER = 1, SHUFFLE_FILTER = 2, FLETCHER32_FILTER = 3, LZF_FILTER = 32000 };

typedef struct {
    int axes, steps, level;              /* level: which instructions (simd.h) */
    int64_t chunk[MAX_AXES];            /* lengths of a chunk */
    int64_t low[MAX_AXES], high[MAX_AXES]; /* the part of the dataset that is asked for */
    int filters[MAX_STEPS];             /* in the order of writing */
    size_t widths[MAX_STEPS];           /* of elements, where the filter is the shuffle */
    size_t itemsize, chunk_bytes;
    const uint8_t *fill;                 /* an element; NULL for zeros */
    uint8_t *out;                        /* C order */
    int from_axis;                       /* chunks are in one run of `out`, but for axes before this; -1: not so */
} reading_plan;

/* A thread's memory for what is between a file and an array: payloads of two chunks, and two stages of each. */
typedef struct {
    uint8_t *bytes[6];
    size_t sizes[6];
    inflate_tables *tables;
} reading_memory;

static uint8_t *memory_for(reading_memory *memory, int place, size_t size) {
    if (memory->sizes[place] < size) {
        free(memory->bytes[place]);
        memory->bytes[place] = (uint8_t *)malloc(size);
        memory->sizes[place] = memory->bytes[place] ? size : 0;
    }
    return memory->bytes[place];
}

static void free_memory(reading_memory *memory) {
    for (int place = 0; place < 6; place++) free(memory->bytes[place]);
    free(memory->tables);
}

/* Bytes of a file without moving its position. Returns whether all were there. */
static int read_at(int descriptor, uint64_t address, uint8_t *out, size_t size) {
#ifdef _WIN32
    (void)descriptor, (void)address, (void)out, (void)size;
    return 0;
#else
    while (size) {
        ssize_t got = pread(descriptor, out, size, (off_t)address);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return 0;
        out += got;
        address += (uint64_t)got;
        size -= (size_t)got;
    }
    return 1;
#endif
}

static void prepare_plan(reading_plan *plan) {
    int axis = 0;
    while (axis < plan->axes - 1 && plan->chunk[axis] == 1) axis++;
    plan->from_axis = axis;
    for (int k = axis + 1; k < plan->axes; k++)
        if (plan->chunk[k] != plan->high[k] - plan->low[k]) plan->from_axis = -1;
}

/* Where a whole chunk belongs in `out` in one run; NULL where it does not. */
static uint8_t *place_of(const reading_plan *plan, const int64_t *start) {
    size_t offset = 0;
    if (plan->from_axis < 0) return NULL;
    for (int k = 0; k < plan->axes; k++) {
        if (start[k] < plan->low[k] || start[k] + plan->chunk[k] > plan->high[k]) return NULL;
        offset = offset * (size_t)(plan->high[k] - plan->low[k]) + (size_t)(start[k] - plan->low[k]);
    }
    return plan->out + offset * plan->itemsize;
}

static void put_fill(const reading_plan *plan, uint8_t *out, size_t size) {
    if (plan->fill == NULL) memset(out, 0, size);
    else
        for (size_t at = 0; at < size; at += plan->itemsize) memcpy(out + at, plan->fill, plan->itemsize);
}

/* Copy what is asked for of a chunk; its bytes NULL: it was never written. */
static void put_part(const reading_plan *plan, const int64_t *start, const uint8_t *chunk) {
    int64_t first[MAX_AXES], count[MAX_AXES], at[MAX_AXES];
    size_t from[MAX_AXES], to[MAX_AXES], from_stride = plan->itemsize, to_stride = plan->itemsize;
    int last = plan->axes - 1;
    for (int k = last; k >= 0; k--) {
        int64_t low = start[k] > plan->low[k] ? start[k] : plan->low[k];
        int64_t high = start[k] + plan->chunk[k] < plan->high[k] ? start[k] + plan->chunk[k] : plan->high[k];
        if (high <= low) return;
        first[k] = low;
        count[k] = high - low;
        at[k] = 0;
        from[k] = from_stride;
        to[k] = to_stride;
        from_stride *= (size_t)plan->chunk[k];
        to_stride *= (size_t)(plan->high[k] - plan->low[k]);
    }
    size_t run = (size_t)count[last] * plan->itemsize; /* bytes that are neighbours in both */
    while (last > 0 && count[last] == plan->chunk[last] && count[last] == plan->high[last] - plan->low[last]) {
        last--;
        run *= (size_t)count[last];
    }
    for (;;) {
        size_t source = 0, target = 0;
        for (int k = 0; k < plan->axes; k++) {
            source += (size_t)(first[k] - start[k] + at[k]) * from[k];
            target += (size_t)(first[k] - plan->low[k] + at[k]) * to[k];
        }
        if (chunk == NULL) put_fill(plan, plan->out + target, run);
        else memcpy(plan->out + target, chunk + source, run);
        int k = last - 1;
        while (k >= 0 && ++at[k] == count[k]) at[k--] = 0;
        if (k < 0) return;
    }
}

typedef struct {
    const int64_t *start;
    const uint8_t *bytes; /* as they are at this stage */
    size_t size;
    uint8_t *place; /* where they belong in the end, or NULL */
} chunk_in_work;

/* Where a step writes: the place itself when it is the last one and has the size, else memory that is not in use. */
static uint8_t *target_of(const reading_plan *plan, chunk_in_work *chunk, int number, int is_last,
                          reading_memory *memory) {
    if (is_last && chunk->place != NULL) return chunk->place;
    uint8_t *one = memory_for(memory, 2 + 2 * number, plan->chunk_bytes + 64);
    return one != NULL && one == chunk->bytes ? memory_for(memory, 3 + 2 * number, plan->chunk_bytes + 64) : one;
}

static int undo_deflate(const reading_plan *plan, chunk_in_work *chunks, int count, int is_last, size_t room,
                        reading_memory *memory) {
    inflate_stream streams[2];
    if (memory->tables == NULL) memory->tables = (inflate_tables *)malloc(2 * sizeof(inflate_tables));
    if (memory->tables == NULL) return 0;
    for (int k = 0; k < count; k++) {
        uint8_t *target = target_of(plan, &chunks[k], k, is_last, memory);
        if (target == NULL) return 0;
        begin_stream(&streams[k], chunks[k].bytes, chunks[k].size, target, room, memory->tables + k);
    }
    inflate_streams(&streams[0], count == 2 ? &streams[1] : NULL, plan->level);
    for (int k = 0; k < count; k++) {
        if (streams[k].state != STREAM_ENDED) return 0;
        chunks[k].bytes = streams[k].out_start;
        chunks[k].size = (size_t)(streams[k].out - streams[k].out_start);
    }
    return 1;
}

/* Undo the filters of one chunk, or of two with the same mask, and put them into the array. Returns whether they were
 * sound; `room`: bytes that each filter was given at most when the chunk was written. */
static int undo_chunks(const reading_plan *plan, chunk_in_work *chunks, int count, uint32_t mask,
                       reading_memory *memory) {
    size_t before[MAX_STEPS], size = plan->chunk_bytes;
    int used[MAX_STEPS], steps = 0;
    for (int k = 0; k < plan->steps; k++) {
        if (mask >> k & 1) continue;
        before[steps] = size;
        used[steps++] = k;
        if (plan->filters[k] == FLETCHER32_FILTER) size += CHECKSUM_BYTES;
    }
    for (int step = steps - 1; step >= 0; step--) {
        int filter = plan->filters[used[step]], is_last = step == 0 && before[step] == plan->chunk_bytes;
        if (filter == DEFLATE_FILTER) {
            if (!undo_deflate(plan, chunks, count, is_last, before[step], memory)) return 0;
            continue;
        }
        for (int k = 0; k < count; k++) {
            chunk_in_work *chunk = &chunks[k];
            if (filter == FLETCHER32_FILTER) {
                if (chunk->size < CHECKSUM_BYTES) return 0;
                chunk->size -= CHECKSUM_BYTES;
                const uint8_t *stated = chunk->bytes + chunk->size;
                uint32_t sum = (uint32_t)stated[0] | (uint32_t)stated[1] << 8 | (uint32_t)stated[2] << 16 |
                               (uint32_t)stated[3] << 24;
                if (fletcher32_bytes(chunk->bytes, chunk->size) != sum) return 0;
                continue;
            }
            uint8_t *target = target_of(plan, chunk, k, is_last, memory);
            if (target == NULL) return 0;
            if (filter == SHUFFLE_FILTER) {
                if (chunk->size != before[step]) return 0;
                unshuffle_bytes(chunk->bytes, chunk->size, plan->widths[used[step]], target);
            } else if (!lzf_decode(chunk->bytes, chunk->size, target, before[step])) {
                return 0;
            }
            chunk->bytes = target;
            chunk->size = before[step];
        }
    }
    for (int k = 0; k < count; k++) {
        if (chunks[k].size != plan->chunk_bytes) return 0;
        if (chunks[k].bytes == chunks[k].place) continue;
        if (chunks[k].place != NULL) memcpy(chunks[k].place, chunks[k].bytes, plan->chunk_bytes);
        else put_part(plan, chunks[k].start, chunks[k].bytes);
    }
    return 1;
}

#endif
