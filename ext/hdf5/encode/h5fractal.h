/* h5fractal.h — the fractal heap: objects packed into direct blocks, which a doubling table of indirect blocks has. */
#ifndef H5BURST_FRACTAL_H
#define H5BURST_FRACTAL_H

#include "h5bytes.h"

/* One object to store: its message, its name, and (filled in here) where it is in the heap. */
typedef struct {
    const uint8_t *message;
    size_t size;
    const char *name;
    size_t name_length;
    uint32_t hash;
    uint64_t offset;
} h5_dense_item;

/* What differs between links and attributes. A heap ID holds flags, a 4-byte offset and a length. */
typedef struct {
    int record_type;        /* of the B-tree */
    int id_length;          /* bytes of a heap ID: 7 for links, 8 for attributes */
    uint32_t start_block;   /* a power of two; every object fits into one block of this size */
    uint32_t largest_block; /* of the direct blocks: a power of two, at least twice the first one's */
} h5_dense_kind;

enum { H5_TABLE_WIDTH = 4, H5_HEAP_BITS = 32, H5_HEAP_OFFSET_SIZE = 4, H5_BLOCK_PREFIX = 13 + H5_HEAP_OFFSET_SIZE };
enum { H5_BLOCK_OVERHEAD = H5_BLOCK_PREFIX + 4 }; /* of a direct block, its checksum included */

typedef struct {
    h5_bytes *b;
    uint64_t base, header;    /* address of the buffer's first byte; of the heap's header */
    uint64_t start, largest;  /* block sizes */
    h5_dense_item *items;
    size_t count, next;
    uint64_t space, allocated, free_space; /* heap addresses walked through; bytes in blocks; free in all of them */
    uint64_t frontier;                     /* heap address behind the last allocated block */
} h5_fractal;

static inline uint64_t h5_row_block(const h5_fractal *heap, int row)
{
    return row == 0 ? heap->start : heap->start << (row - 1);
}

static inline uint64_t h5_rows_space(const h5_fractal *heap, int rows)
{
    return rows == 0 ? 0 : (H5_TABLE_WIDTH * heap->start) << (rows - 1);
}

/* Rows of the indirect block that covers `size` bytes of heap space. */
static inline int h5_child_rows(const h5_fractal *heap, uint64_t size)
{
    return h5_log2(size) - h5_log2(heap->start * H5_TABLE_WIDTH) + 1;
}

/* Common start of direct and indirect blocks. */
static inline void h5_put_block_prefix(h5_fractal *heap, const char *signature)
{
    h5_put_bytes(heap->b, signature, 4);
    h5_put8(heap->b, 0); /* version */
    h5_put64(heap->b, heap->header);
    h5_put(heap->b, heap->space, H5_HEAP_OFFSET_SIZE);
}

/* Fill the next direct block of the heap's address space; its checksum is stored before its objects. */
static inline uint64_t h5_put_direct_block(h5_fractal *heap, uint64_t size)
{
    h5_bytes *b = heap->b;
    size_t start = b->length, used = H5_BLOCK_OVERHEAD;
    h5_put_block_prefix(heap, "FHDB");
    h5_put32(b, 0); /* checksum, over the block with this field zero */
    for (; heap->next < heap->count && heap->items[heap->next].size <= size - used; heap->next++) {
        h5_dense_item *item = heap->items + heap->next;
        item->offset = heap->space + used;
        h5_put_bytes(b, item->message, item->size);
        used += item->size;
    }
    h5_put_zeros(b, size - used);
    if (!b->failed)
        h5_patch(b, start + H5_BLOCK_PREFIX, h5_lookup3(b->data + start, size), 4);
    heap->space += size;
    heap->frontier = heap->space;
    heap->allocated += size;
    heap->free_space += size - used;
    return heap->base + start;
}

/* Free space that rows of blocks would have, were they there. */
static inline uint64_t h5_rows_free(const h5_fractal *heap, int rows);

static inline uint64_t h5_block_free(const h5_fractal *heap, uint64_t size)
{
    if (size <= heap->largest)
        return size - H5_BLOCK_OVERHEAD;
    return h5_rows_free(heap, h5_child_rows(heap, size));
}

static inline uint64_t h5_rows_free(const h5_fractal *heap, int rows)
{
    uint64_t sum = 0;
    for (int row = 0; row < rows; row++)
        sum += H5_TABLE_WIDTH * h5_block_free(heap, h5_row_block(heap, row));
    return sum;
}

/* An indirect block of `rows` rows: first what it points to, then itself. */
static uint64_t h5_put_indirect_block(h5_fractal *heap, int rows)
{
    uint64_t *children = (uint64_t *)malloc((size_t)rows * H5_TABLE_WIDTH * sizeof *children);
    uint64_t offset = heap->space;
    if (children == NULL) {
        heap->b->failed = 1;
        return H5_UNDEFINED;
    }
    for (int entry = 0; entry < rows * H5_TABLE_WIDTH; entry++) {
        uint64_t size = h5_row_block(heap, entry / H5_TABLE_WIDTH);
        if (heap->next == heap->count) {
            children[entry] = H5_UNDEFINED;
            heap->space += size;
            heap->free_space += h5_block_free(heap, size);
        } else if (size <= heap->largest) {
            children[entry] = h5_put_direct_block(heap, size);
        } else {
            children[entry] = h5_put_indirect_block(heap, h5_child_rows(heap, size));
        }
    }
    uint64_t behind = heap->space;
    size_t start = heap->b->length;
    heap->space = offset;
    h5_put_block_prefix(heap, "FHIB");
    heap->space = behind;
    for (int entry = 0; entry < rows * H5_TABLE_WIDTH; entry++)
        h5_put64(heap->b, children[entry]);
    h5_put_checksum(heap->b, start);
    free(children);
    return heap->base + start;
}

/* Let the next objects go by that a block of this size, direct or indirect, would hold. */
static inline void h5_pass_block(h5_fractal *heap, uint64_t size)
{
    if (size <= heap->largest) {
        uint64_t used = H5_BLOCK_OVERHEAD;
        for (; heap->next < heap->count && heap->items[heap->next].size <= size - used; heap->next++)
            used += heap->items[heap->next].size;
        return;
    }
    int rows = h5_child_rows(heap, size);
    for (int entry = 0; entry < rows * H5_TABLE_WIDTH; entry++)
        h5_pass_block(heap, h5_row_block(heap, entry / H5_TABLE_WIDTH));
}

/* How many rows the root block needs; -1 when the heap's 4 GiB do not do. */
static inline int h5_root_rows(const h5_fractal *heap)
{
    h5_fractal trial = *heap;
    int rows = 0;
    while (trial.next < trial.count) {
        if (h5_rows_space(heap, rows + 1) >> H5_HEAP_BITS)
            return -1;
        for (int entry = 0; entry < H5_TABLE_WIDTH; entry++)
            h5_pass_block(&trial, h5_row_block(heap, rows));
        rows++;
    }
    return rows;
}

/* Header of the heap at the place kept for it. rows: of the root block, 0 when that is a direct block. */
static inline void h5_put_heap_header(h5_fractal *heap, const h5_dense_kind *kind, uint64_t root, int rows)
{
    h5_bytes *b = heap->b;
    size_t start = b->length;
    h5_put_bytes(b, "FRHP", 4);
    h5_put8(b, 0);                                   /* version */
    h5_put16(b, (uint16_t)kind->id_length);          /* heap ID length */
    h5_put16(b, 0);                                  /* I/O filters' encoded length */
    h5_put8(b, 2);                                   /* flags: direct blocks are checksummed */
    h5_put32(b, kind->start_block - H5_BLOCK_OVERHEAD); /* maximum size of managed objects */
    h5_put64(b, 0);                                  /* next huge object ID */
    h5_put64(b, H5_UNDEFINED);                       /* v2 B-tree address of huge objects */
    h5_put64(b, heap->free_space);                   /* amount of free space in managed blocks */
    h5_put64(b, H5_UNDEFINED);                       /* address of managed block free space manager */
    h5_put64(b, rows ? h5_rows_space(heap, rows) : heap->start); /* amount of managed space */
    h5_put64(b, heap->allocated);                    /* amount of allocated managed space */
    h5_put64(b, rows ? heap->frontier : 0);          /* offset of direct block allocation iterator */
    h5_put64(b, heap->count);                        /* number of managed objects */
    h5_put_zeros(b, 4 * 8);                          /* size and number of huge objects, of tiny objects */
    h5_put16(b, H5_TABLE_WIDTH);
    h5_put64(b, heap->start);                        /* starting block size */
    h5_put64(b, heap->largest);                      /* maximum direct block size */
    h5_put16(b, H5_HEAP_BITS);                       /* maximum heap size */
    h5_put16(b, 1);                                  /* starting # of rows in root indirect block */
    h5_put64(b, root);                               /* address of root block */
    h5_put16(b, (uint16_t)rows);                     /* current # of rows in root indirect block */
    h5_put_checksum(b, start);
}

enum { H5_FRACTAL_HEADER = 146 };

/* Store the items in a new heap, and note where each is. Returns the heap's address. */
static inline uint64_t h5_put_fractal_heap(h5_bytes *b, uint64_t base, h5_dense_item *items, size_t count,
                                           const h5_dense_kind *kind)
{
    size_t at = b->length;
    h5_fractal heap = {b, base, base + at, kind->start_block, kind->largest_block, items, count, 0, 0, 0, 0, 0};
    uint64_t root, bytes = 0;
    int rows = 0;
    h5_put_zeros(b, H5_FRACTAL_HEADER);
    for (size_t i = 0; i < count; i++)
        bytes += items[i].size;
    if (bytes <= heap.start - H5_BLOCK_OVERHEAD) {
        root = h5_put_direct_block(&heap, heap.start);
    } else {
        rows = h5_root_rows(&heap);
        root = rows < 0 ? H5_UNDEFINED : h5_put_indirect_block(&heap, rows);
    }
    if (heap.next < count)
        b->failed = 1;
    if (b->failed)
        return H5_UNDEFINED;
    size_t end = b->length;
    b->length = at;
    h5_put_heap_header(&heap, kind, root, rows);
    b->length = end;
    return heap.header;
}

#endif
