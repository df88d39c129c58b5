# ext/codecs/chunk_reading.pyx — chunks undone by all threads that help, none of which needs Python while it does.
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.pythread cimport (
    PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock, PyThread_type_lock,
)
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

cdef extern from "chunk_reading.h" nogil:
    enum: MAX_AXES, MAX_STEPS
    ctypedef struct reading_plan:
        int axes, steps, level
        int64_t chunk[MAX_AXES]
        int64_t low[MAX_AXES]
        int64_t high[MAX_AXES]
        int filters[MAX_STEPS]
        size_t widths[MAX_STEPS]
        size_t itemsize, chunk_bytes
        const uint8_t *fill
        uint8_t *out
    ctypedef struct reading_memory:
        pass
    ctypedef struct chunk_in_work:
        const int64_t *start
        const uint8_t *bytes
        size_t size
        uint8_t *place
    void prepare_patterns()
    void prepare_plan(reading_plan *)
    uint8_t *memory_for(reading_memory *, int, size_t)
    void free_memory(reading_memory *)
    int read_at(int, uint64_t, uint8_t *, size_t)
    uint8_t *place_of(const reading_plan *, const int64_t *)
    void put_part(const reading_plan *, const int64_t *, const uint8_t *)
    int undo_chunks(const reading_plan *, chunk_in_work *, int, uint32_t, reading_memory *)

prepare_patterns()

MISSING = 2**64 - 1  # the address of a chunk that was never written
cdef uint64_t NOWHERE = <uint64_t>-1


cdef class ChunkReading:
    """Some chunks of a dataset on their way into an array. Any thread may `help`; the one that `finish`es needs none.

    Threads take chunks from a list under a lock of their own. Who waits for them has worked until the list was empty,
    so it waits for what others are in the middle of, which needs nothing that the waiting thread may hold.
    """

    cdef reading_plan plan
    cdef PyThread_type_lock lock  # of the three that follow
    cdef Py_ssize_t next, left
    cdef bint failed
    cdef PyThread_type_lock unfinished  # held until `left` is 0
    cdef Py_ssize_t count, at_once
    cdef int descriptor
    cdef const uint8_t **payloads
    cdef const int64_t[:, ::1] starts
    cdef const uint64_t[::1] addresses
    cdef const uint64_t[::1] sizes
    cdef const uint32_t[::1] masks
    cdef object kept

    def __cinit__(
        self, uint8_t[::1] out, box, chunk, Py_ssize_t itemsize, filters, const uint8_t[::1] fill, int level,
        const int64_t[:, ::1] starts, const uint64_t[::1] addresses, const uint64_t[::1] sizes,
        const uint32_t[::1] masks, int descriptor, payloads, Py_ssize_t at_once,
    ):
        """out: the bytes of the array. box: (start, stop) of each axis that it holds. filters: (number, width) in the
        order of writing. fill: an element, or nothing for zeros. payloads: bytes of each chunk, None where it is to be
        read from the descriptor. at_once: chunks that a thread takes."""
        cdef Py_ssize_t number
        self.lock = PyThread_allocate_lock()
        self.unfinished = PyThread_allocate_lock()
        if self.lock == NULL or self.unfinished == NULL:
            raise MemoryError
        if len(box) > MAX_AXES or len(filters) > MAX_STEPS:
            most = f"at most {MAX_AXES} and {MAX_STEPS} are read here"
            raise ValueError(f"{len(box)} axes and {len(filters)} filters: {most}")
        memset(&self.plan, 0, sizeof(reading_plan))
        self.plan.axes, self.plan.steps, self.plan.level = len(box), len(filters), level
        self.plan.itemsize = self.plan.chunk_bytes = itemsize
        for number, ((start, stop), length) in enumerate(zip(box, chunk, strict=True)):
            self.plan.low[number], self.plan.high[number], self.plan.chunk[number] = start, stop, length
            self.plan.chunk_bytes *= length
        for number, (filter_number, width) in enumerate(filters):
            self.plan.filters[number], self.plan.widths[number] = filter_number, width
        self.plan.out = &out[0]
        self.plan.fill = &fill[0] if fill.shape[0] else NULL
        prepare_plan(&self.plan)
        self.starts, self.addresses, self.sizes, self.masks = starts, addresses, sizes, masks
        self.count = self.left = starts.shape[0]
        self.next, self.failed, self.at_once, self.descriptor = 0, False, at_once, descriptor
        self.kept = (out, fill, payloads)
        if payloads is not None:
            self.payloads = <const uint8_t **>calloc(self.count, sizeof(uint8_t *))
            if self.payloads == NULL:
                raise MemoryError
            for number, payload in enumerate(payloads):
                if payload is not None:
                    if len(payload) != <Py_ssize_t>sizes[number]:
                        raise ValueError(f"a chunk of {len(payload)} stored bytes: its index says {sizes[number]}")
                    self.payloads[number] = <const uint8_t *>PyBytes_AS_STRING(payload)
        if self.left:
            PyThread_acquire_lock(self.unfinished, 1)

    def __dealloc__(self):
        free(self.payloads)
        if self.lock != NULL:
            PyThread_free_lock(self.lock)
        if self.unfinished != NULL:
            PyThread_free_lock(self.unfinished)

    def help(self) -> None:
        """Work until nothing is left to begin."""
        with nogil:
            self.work()

    def finish(self) -> bool:
        """Work, and wait for those who help. Whether all chunks were sound."""
        with nogil:
            self.work()
            PyThread_acquire_lock(self.unfinished, 1)
            PyThread_release_lock(self.unfinished)
        return not self.failed

    cdef void work(self) noexcept nogil:
        cdef reading_memory memory
        cdef Py_ssize_t first, stop
        memset(&memory, 0, sizeof(reading_memory))
        while True:
            PyThread_acquire_lock(self.lock, 1)
            first = self.next
            stop = self.count if self.failed or first + self.at_once > self.count else first + self.at_once
            self.next = stop
            PyThread_release_lock(self.lock)
            if first == stop:
                break
            sound = self.failed or self.put_chunks(first, stop, &memory)
            PyThread_acquire_lock(self.lock, 1)
            if not sound:
                self.failed = True
            self.left -= stop - first
            if self.left == 0:
                PyThread_release_lock(self.unfinished)
            PyThread_release_lock(self.lock)
        free_memory(&memory)

    cdef bint put_chunks(self, Py_ssize_t first, Py_ssize_t stop, reading_memory *memory) noexcept nogil:
        cdef chunk_in_work chunks[2]
        cdef int waiting = 0
        cdef Py_ssize_t number
        cdef uint32_t mask = 0
        for number in range(first, stop):
            if self.addresses[number] == NOWHERE:
                put_part(&self.plan, &self.starts[number, 0], NULL)
                continue
            if waiting and self.masks[number] != mask:
                if not undo_chunks(&self.plan, chunks, waiting, mask, memory):
                    return False
                waiting = 0
            if not self.fetch(number, waiting, &chunks[waiting], memory):
                return False
            mask = self.masks[number]
            waiting += 1
            if waiting == 2:
                if not undo_chunks(&self.plan, chunks, 2, mask, memory):
                    return False
                waiting = 0
        return not waiting or undo_chunks(&self.plan, chunks, waiting, mask, memory)

    cdef bint fetch(self, Py_ssize_t number, int place, chunk_in_work *chunk, reading_memory *memory) noexcept nogil:
        """The bytes of a chunk as they are stored."""
        cdef uint8_t *target
        chunk.start = &self.starts[number, 0]
        chunk.size = self.sizes[number]
        chunk.place = place_of(&self.plan, chunk.start)
        if self.payloads != NULL:
            chunk.bytes = self.payloads[number]
            return chunk.bytes != NULL
        target = memory_for(memory, place, chunk.size)
        chunk.bytes = target
        return target != NULL and read_at(self.descriptor, self.addresses[number], target, chunk.size)
