/* h5dense.h — dense storage of links and attributes: a fractal heap that holds their messages, and a version 2 B-tree
 * that finds them by the hash of their name. Every block of both carries a checksum. */
#ifndef H5BURST_DENSE_H
#define H5BURST_DENSE_H

#include "h5messages.h"

/* One object to store: its message, its name, and (filled in here) where it lies in the heap. */
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

enum { H5_LINK_NAMES = 5, H5_ATTRIBUTE_NAMES = 8 };
enum { H5_SMALLEST_BLOCK = 8192, H5_LARGEST_BLOCK = 65536 };
enum { H5_TABLE_WIDTH = 4, H5_HEAP_BITS = 32, H5_HEAP_OFFSET_SIZE = 4, H5_BLOCK_PREFIX = 13 + H5_HEAP_OFFSET_SIZE };
enum { H5_BLOCK_OVERHEAD = H5_BLOCK_PREFIX + 4 }; /* of a direct block, its checksum included */
enum { H5_TREE_NODE = 512, H5_TREE_NODE_PREFIX = 10, H5_TREE_DEPTHS = 16 };

static inline int h5_log2(uint64_t n)
{
    int bits = 0;
    while (n >>= 1)
        bits++;
    return bits;
}

/* ---- fractal heap ------------------------------------------------------------------------------------------- */

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

/* Fill the next direct block of the heap's address space; its checksum stands before its objects. */
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

/* Store the items in a new heap, and note where each lies. Returns the heap's address. */
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

/* ---- version 2 B-tree --------------------------------------------------------------------------------------- */

typedef struct {
    h5_bytes *b;
    uint64_t base;
    int type;
    size_t record_size;
    const uint8_t *records; /* in order */
    int count_size;                       /* bytes of a child's number of records */
    uint64_t most[H5_TREE_DEPTHS];        /* records in one node of this depth */
    uint64_t most_below[H5_TREE_DEPTHS];  /* and in all nodes under it, itself included */
    int total_size[H5_TREE_DEPTHS];       /* bytes of that number; 0 for leaves */
} h5_tree;

/* Bytes that hold numbers up to `limit`. */
static inline int h5_limit_size(uint64_t limit) { return h5_log2(limit) / 8 + 1; }

static inline size_t h5_pointer_size(const h5_tree *tree, int depth)
{
    return 8 + (size_t)tree->count_size + (size_t)tree->total_size[depth - 1];
}

/* Capacities for each depth up to the one that holds `count` records, which is returned. */
static inline int h5_tree_plan(h5_tree *tree, uint64_t count)
{
    int depth = 0;
    tree->most[0] = tree->most_below[0] = (H5_TREE_NODE - H5_TREE_NODE_PREFIX) / tree->record_size;
    tree->count_size = h5_limit_size(tree->most[0]);
    tree->total_size[0] = 0;
    while (tree->most_below[depth] < count) {
        depth++;
        size_t pointer = h5_pointer_size(tree, depth);
        tree->most[depth] = (H5_TREE_NODE - H5_TREE_NODE_PREFIX - pointer) / (tree->record_size + pointer);
        tree->most_below[depth] = (tree->most[depth] + 1) * tree->most_below[depth - 1] + tree->most[depth];
        tree->total_size[depth] = h5_limit_size(tree->most_below[depth]);
    }
    return depth;
}

/* A node of this depth over records [first, first + count), its children before it. Returns its address, and its own
 * number of records in `own`. */
static uint64_t h5_put_tree_node(h5_tree *tree, int depth, uint64_t first, uint64_t count, uint64_t *own)
{
    uint64_t address[H5_TREE_NODE], nodes[H5_TREE_NODE], totals[H5_TREE_NODE];
    uint64_t children = 0, at = first;
    h5_bytes *b = tree->b;
    if (depth > 0) {
        children = (count + 1 + tree->most_below[depth - 1]) / (tree->most_below[depth - 1] + 1);
        if (children < 2)
            children = 2;
        for (uint64_t i = 0; i < children; i++) {
            uint64_t spread = count - (children - 1);
            totals[i] = spread * (i + 1) / children - spread * i / children;
            address[i] = h5_put_tree_node(tree, depth - 1, at, totals[i], &nodes[i]);
            at += totals[i] + 1;
        }
    }
    size_t start = b->length;
    h5_put_bytes(b, depth ? "BTIN" : "BTLF", 4);
    h5_put8(b, 0); /* version */
    h5_put8(b, (uint8_t)tree->type);
    *own = depth ? children - 1 : count;
    at = first;
    if (depth == 0)
        h5_put_bytes(b, tree->records + first * tree->record_size, count * tree->record_size);
    for (uint64_t i = 0; i + 1 < children; i++) {
        at += totals[i];
        h5_put_bytes(b, tree->records + at * tree->record_size, tree->record_size);
        at++;
    }
    for (uint64_t i = 0; i < children; i++) {
        h5_put64(b, address[i]);
        h5_put(b, nodes[i], tree->count_size);
        h5_put(b, totals[i], tree->total_size[depth - 1]);
    }
    h5_put_checksum(b, start);
    h5_put_zeros(b, H5_TREE_NODE - (b->length - start));
    return tree->base + start;
}

/* A whole tree over `count` ordered records, at least one. Returns the address of its header. */
static inline uint64_t h5_put_tree(h5_bytes *b, uint64_t base, int type, const uint8_t *records, size_t record_size,
                                   uint64_t count)
{
    h5_tree tree = {b, base, type, record_size, records, 0, {0}, {0}, {0}};
    uint64_t own;
    int depth = h5_tree_plan(&tree, count);
    uint64_t root = h5_put_tree_node(&tree, depth, 0, count, &own);
    size_t start = b->length;
    h5_put_bytes(b, "BTHD", 4);
    h5_put8(b, 0); /* version */
    h5_put8(b, (uint8_t)type);
    h5_put32(b, H5_TREE_NODE);
    h5_put16(b, (uint16_t)record_size);
    h5_put16(b, (uint16_t)depth);
    h5_put8(b, 100); /* split percent */
    h5_put8(b, 40);  /* merge percent */
    h5_put64(b, root);
    h5_put16(b, (uint16_t)own); /* number of records in root node */
    h5_put64(b, count);
    h5_put_checksum(b, start);
    return base + start;
}

/* ---- both together ------------------------------------------------------------------------------------------ */

static inline int h5_by_hash(const void *left, const void *right)
{
    const h5_dense_item *a = (const h5_dense_item *)left, *b = (const h5_dense_item *)right;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    size_t shorter = a->name_length < b->name_length ? a->name_length : b->name_length;
    int order = memcmp(a->name, b->name, shorter);
    return order ? order : (a->name_length > b->name_length) - (a->name_length < b->name_length);
}

static inline void h5_put_heap_id(h5_bytes *b, const h5_dense_item *item, const h5_dense_kind *kind)
{
    h5_put8(b, 0); /* version 0, a managed object */
    h5_put(b, item->offset, H5_HEAP_OFFSET_SIZE);
    h5_put(b, item->size, kind->id_length - 1 - H5_HEAP_OFFSET_SIZE);
}

/* Store items in a heap of their own, with an index of their names. */
static inline void h5_put_items(h5_bytes *b, uint64_t base, h5_dense_item *items, size_t count,
                                const h5_dense_kind *kind, uint64_t *heap_address, uint64_t *tree_address)
{
    h5_bytes records = {0};
    for (size_t i = 0; i < count; i++)
        items[i].hash = h5_lookup3((const uint8_t *)items[i].name, items[i].name_length);
    *heap_address = h5_put_fractal_heap(b, base, items, count, kind);
    qsort(items, count, sizeof *items, h5_by_hash);
    for (size_t i = 0; i < count; i++) {
        if (kind->record_type == H5_LINK_NAMES) { /* hash, heap ID */
            h5_put32(&records, items[i].hash);
            h5_put_heap_id(&records, items + i, kind);
        } else { /* heap ID, message flags, creation order (untracked), hash */
            h5_put_heap_id(&records, items + i, kind);
            h5_put8(&records, 0);
            h5_put32(&records, UINT16_MAX);
            h5_put32(&records, items[i].hash);
        }
    }
    if (records.failed)
        b->failed = 1;
    else
        *tree_address = h5_put_tree(b, base, kind->record_type, records.data, records.length / count, count);
    h5_free(&records);
}

/* The bodies gathered from `start` on, `count` messages of one kind whose names are found by `name`. */
static inline void h5_put_dense(h5_bytes *b, uint64_t base, const h5_bytes *bodies, size_t start, size_t count,
                                const h5_dense_kind *kind, const char *(*name)(const uint8_t *, size_t *),
                                uint64_t *heap_address, uint64_t *tree_address)
{
    h5_dense_item *items = bodies->failed ? NULL : (h5_dense_item *)malloc(count * sizeof *items);
    if (items == NULL) {
        b->failed = 1;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        items[i].message = h5_next_body(bodies, &start, &items[i].size);
        items[i].name = name(items[i].message, &items[i].name_length);
    }
    h5_put_items(b, base, items, count, kind, heap_address, tree_address);
    free(items);
}

static inline void h5_put_dense_links(h5_bytes *b, uint64_t base, const h5_bytes *bodies, size_t start, size_t count,
                                      uint64_t *heap_address, uint64_t *tree_address)
{
    h5_dense_kind kind = {H5_LINK_NAMES, 7, H5_SMALLEST_BLOCK, H5_LARGEST_BLOCK};
    h5_put_dense(b, base, bodies, start, count, &kind, h5_link_name, heap_address, tree_address);
}

/* Attributes of any size are managed objects of the heap, so that the checksums of its blocks cover them. */
static inline void h5_put_dense_attributes(h5_bytes *b, uint64_t base, const h5_bytes *bodies, size_t start,
                                           size_t count, uint64_t *heap_address, uint64_t *tree_address)
{
    h5_dense_kind kind = {H5_ATTRIBUTE_NAMES, 8, H5_SMALLEST_BLOCK, H5_LARGEST_BLOCK};
    for (size_t i = 0, at = start, size; i < count && !bodies->failed; i++) {
        h5_next_body(bodies, &at, &size);
        while (size > kind.start_block - H5_BLOCK_OVERHEAD)
            kind.start_block *= 2;
    }
    if (kind.largest_block < 2 * kind.start_block)
        kind.largest_block = 2 * kind.start_block;
    h5_put_dense(b, base, bodies, start, count, &kind, h5_attribute_name, heap_address, tree_address);
}

#endif
