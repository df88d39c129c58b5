/* h5heap.h — the global heap: collections of the bytes that variable-length values refer to. */
#ifndef H5BURST_HEAP_H
#define H5BURST_HEAP_H

#include "h5bytes.h"

enum { H5_COLLECTION_PREFIX = 16, H5_HEAP_OBJECT_PREFIX = 16, H5_COLLECTION_MINIMUM = 4096 };
enum { H5_COLLECTION_MAXIMUM = 65536 }; /* unless one object needs more: libhdf5 reads a collection whole */

/* The format has no checksum for the heap, so ours is stored in what it reserves: a collection marked so in its prefix
 * keeps in the reserved bytes of each object the lookup3 of its bytes. Programs that edit the file leave these bytes as
 * they are, move them along with their object, and write 0 for objects of their own, which then count as unchecked. */
#define H5_HEAP_MARK "sum" /* in the 3 reserved bytes behind the version of a collection */
enum { H5_HEAP_MARK_AT = 5, H5_HEAP_SUM_AT = 4 };

static inline uint32_t h5_heap_sum(const uint8_t *bytes, size_t length)
{
    uint32_t sum = h5_lookup3(bytes, length);
    return sum ? sum : 1;
}

/* The collection being filled: `size` bytes from `start` in the buffer, 0 when none is open. */
typedef struct {
    size_t start;
    size_t size;
    size_t used;
    uint32_t objects;
} h5_heap;

static inline size_t h5_heap_object_size(size_t length)
{
    return H5_HEAP_OBJECT_PREFIX + ((length + 7) & ~(size_t)7);
}

/* Close the open collection: what is left of it becomes the free space object, index 0. */
static inline void h5_heap_close(h5_heap *heap, h5_bytes *b)
{
    size_t left = heap->size - heap->used;
    if (left >= H5_HEAP_OBJECT_PREFIX)
        h5_patch(b, heap->start + heap->used + 8, left, 8);
    memset(heap, 0, sizeof *heap);
}

static inline void h5_heap_open(h5_heap *heap, h5_bytes *b, size_t size)
{
    h5_heap_close(heap, b);
    heap->start = b->length;
    heap->size = size;
    heap->used = H5_COLLECTION_PREFIX;
    h5_put_bytes(b, "GCOL\1" H5_HEAP_MARK, 8); /* signature, version, reserved */
    h5_put64(b, size);
    h5_put_zeros(b, size - H5_COLLECTION_PREFIX);
}

/* Keep `length` bytes, of about `expected` that are about to come, and append the reference to them: length, address
 * of the collection, index. The buffer begins at address `base` of the file. */
static inline void h5_heap_keep(h5_heap *heap, h5_bytes *b, uint64_t base, const void *bytes, size_t length,
                                size_t expected, h5_bytes *references)
{
    size_t need = h5_heap_object_size(length);
    if (heap->size - heap->used < need || heap->objects == 65535) {
        size_t size = expected < H5_COLLECTION_MAXIMUM ? expected : H5_COLLECTION_MAXIMUM;
        if (size < need)
            size = need;
        size = (size + H5_COLLECTION_PREFIX + 7) & ~(size_t)7;
        h5_heap_open(heap, b, size < H5_COLLECTION_MINIMUM ? H5_COLLECTION_MINIMUM : size);
    }
    heap->objects++;
    if (!b->failed) {
        uint8_t *object = b->data + heap->start + heap->used;
        h5_store(object, heap->objects, 2); /* index */
        h5_store(object + H5_HEAP_SUM_AT, h5_heap_sum((const uint8_t *)bytes, length), 4); /* reserved */
        h5_store(object + 8, length, 8);    /* size; the reference count stays 0, as libhdf5 leaves it */
        if (length)
            memcpy(object + H5_HEAP_OBJECT_PREFIX, bytes, length);
    }
    heap->used += need;
    h5_put32(references, (uint32_t)length);
    h5_put64(references, base + heap->start);
    h5_put32(references, heap->objects);
}

#endif
