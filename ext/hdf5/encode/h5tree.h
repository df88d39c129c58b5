/* h5tree.h — version 2 B-trees, built at once from records that are in order already. */
#ifndef H5BURST_TREE_H
#define H5BURST_TREE_H

#include "h5bytes.h"

enum { H5_TREE_NODE = 512, H5_TREE_NODE_PREFIX = 10, H5_TREE_DEPTHS = 16 };

typedef struct {
    h5_bytes *b;
    uint64_t base;
    int type;
    size_t record_size;
    const uint8_t *records; /* in order */
    int count_size;                       /* bytes of a child's number of records */
    uint64_t most[H5_TREE_DEPTHS];        /* records in one node of this depth */
    uint64_t max_below[H5_TREE_DEPTHS];  /* and in all nodes under it, itself included */
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
    tree->most[0] = tree->max_below[0] = (H5_TREE_NODE - H5_TREE_NODE_PREFIX) / tree->record_size;
    tree->count_size = h5_limit_size(tree->most[0]);
    tree->total_size[0] = 0;
    while (tree->max_below[depth] < count) {
        depth++;
        size_t pointer = h5_pointer_size(tree, depth);
        tree->most[depth] = (H5_TREE_NODE - H5_TREE_NODE_PREFIX - pointer) / (tree->record_size + pointer);
        tree->max_below[depth] = (tree->most[depth] + 1) * tree->max_below[depth - 1] + tree->most[depth];
        tree->total_size[depth] = h5_limit_size(tree->max_below[depth]);
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
        children = (count + 1 + tree->max_below[depth - 1]) / (tree->max_below[depth - 1] + 1);
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

#endif
