/* h5dense.h — dense storage of links and attributes: a fractal heap that holds their messages, and a version 2 B-tree
 * that finds them by the hash of their name. Every block of both carries a checksum. */
#ifndef H5BURST_DENSE_H
#define H5BURST_DENSE_H

#include "h5fractal.h"
#include "h5messages.h"
#include "h5tree.h"

enum { H5_LINK_NAMES = 5, H5_ATTRIBUTE_NAMES = 8 }; /* record types of the B-tree */
enum { H5_SMALLEST_BLOCK = 8192, H5_LARGEST_BLOCK = 65536 };

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
