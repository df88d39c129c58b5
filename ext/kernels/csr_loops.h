/* ext/csr_loops.h — dense rows to CSR, for one element type T (CSR_TYPE) and one instruction set (SIMD).

Included once a type and variant. An element counts as nonzero where CSR_NONZERO says so: for integers and floats
alike by its bits under `mask`, which leaves out a float's sign, so that -0.0 is dropped and NaN kept. */

#define T CSR_TYPE
#define CSR(name) SIMD(SIMD_JOIN(name, CSR_SUFFIX))
#define AT(row, step, column) (*(const T *)((row) + (column) * (step)))
#define CSR_TILE 64

static inline int64_t CSR(count_row)(const char *row, ptrdiff_t step, int64_t columns, uint64_t mask) {
    int64_t count = 0;
    for (int64_t j = 0; j < columns; ++j) count += CSR_NONZERO(AT(row, step, j), mask);
    return count;
}

/* Nonzeros of each row into counts (rows,). `row_step` and `step` are the strides in bytes. */
static void CSR(csr_count)(const char *x, ptrdiff_t row_step, ptrdiff_t step, int64_t rows, int64_t columns,
                           uint64_t mask, int64_t *counts) {
    if (step == (ptrdiff_t)sizeof(T)) {
        for (int64_t i = 0; i < rows; ++i) counts[i] = CSR(count_row)(x + i * row_step, sizeof(T), columns, mask);
    } else if (row_step == (ptrdiff_t)sizeof(T)) { /* Fortran order: down the columns, as they are in memory */
        for (int64_t i = 0; i < rows; ++i) counts[i] = 0;
        for (int64_t j = 0; j < columns; ++j)
            for (int64_t i = 0; i < rows; ++i)
                counts[i] += CSR_NONZERO(AT(x + j * step, (ptrdiff_t)sizeof(T), i), mask);
    } else {
        for (int64_t i = 0; i < rows; ++i) counts[i] = CSR(count_row)(x + i * row_step, step, columns, mask);
    }
}

/* One element: written whether it is zero or not, and kept by moving on. No branch to mispredict; what a zero wrote,
   the next nonzero of the same row overwrites. */
#define CSR_PUT(value, j, k)                                      \
    do {                                                          \
        const T value_ = (value);                                 \
        if (data) data[k] = value_;                               \
        if (narrow) narrow[k] = (int32_t)(j);                     \
        if (wide) wide[k] = (j);                                  \
        (k) += CSR_NONZERO(value_, mask);                         \
    } while (0)

/* The nonzeros of `columns` elements of a row, the first of which is in column `first`; at most `room` of them.
   Gives their number. */
static inline int64_t CSR(put)(const char *x, ptrdiff_t step, int64_t first, int64_t columns, uint64_t mask,
                               int64_t room, T *data, int32_t *narrow, int64_t *wide) {
    int64_t j = 0, k = 0;
    for (; j + 8 <= columns && k + 8 <= room; j += 8) {
        CSR_PUT(AT(x, step, j), first + j, k);
        CSR_PUT(AT(x, step, j + 1), first + j + 1, k);
        CSR_PUT(AT(x, step, j + 2), first + j + 2, k);
        CSR_PUT(AT(x, step, j + 3), first + j + 3, k);
        CSR_PUT(AT(x, step, j + 4), first + j + 4, k);
        CSR_PUT(AT(x, step, j + 5), first + j + 5, k);
        CSR_PUT(AT(x, step, j + 6), first + j + 6, k);
        CSR_PUT(AT(x, step, j + 7), first + j + 7, k);
    }
    for (; j < columns && k < room; ++j) CSR_PUT(AT(x, step, j), first + j, k);
    return k;
}

/* As `put` for `rows` whole rows that are side by side (Fortran order), by way of small tiles turned in the cache. */
static inline void CSR(put_columns)(const char *x, ptrdiff_t step, int64_t rows, int64_t columns, uint64_t mask,
                                    const int64_t *pointers, int64_t start, T *data, int32_t *narrow, int64_t *wide) {
    T tile[CSR_TILE][CSR_TILE];
    int64_t at[CSR_TILE];
    for (int64_t i = 0; i < rows; ++i) at[i] = pointers[i] - start;
    for (int64_t first = 0; first < columns; first += CSR_TILE) {
        const int64_t width = columns - first < CSR_TILE ? columns - first : CSR_TILE;
        for (int64_t j = 0; j < width; ++j)
            for (int64_t i = 0; i < rows; ++i) tile[i][j] = AT(x + (first + j) * step, (ptrdiff_t)sizeof(T), i);
        for (int64_t i = 0; i < rows; ++i)
            at[i] += CSR(put)((const char *)tile[i], sizeof(T), first, width, mask, pointers[i + 1] - start - at[i],
                              data ? data + at[i] : data, narrow ? narrow + at[i] : narrow, wide ? wide + at[i] : wide);
    }
}

static inline void CSR(encode)(const char *x, ptrdiff_t row_step, ptrdiff_t step, int64_t rows, int64_t columns,
                               uint64_t mask, const int64_t *pointers, int64_t start, int64_t stop, T *data,
                               int32_t *narrow, int64_t *wide) {
    for (int64_t i = 0; i < rows;) {
        int64_t whole = 0; /* rows from here on that are wanted whole and are side by side */
        while (row_step == (ptrdiff_t)sizeof(T) && step != row_step && whole < CSR_TILE && i + whole < rows &&
               pointers[i + whole] >= start && pointers[i + whole + 1] <= stop)
            ++whole;
        if (whole) {
            CSR(put_columns)(x + i * row_step, step, whole, columns, mask, pointers + i, start, data, narrow, wide);
            i += whole;
            continue;
        }
        const int64_t first = pointers[i] > start ? pointers[i] : start;
        const int64_t last = pointers[i + 1] < stop ? pointers[i + 1] : stop;
        int64_t j = 0;
        for (int64_t skip = first - pointers[i]; skip > 0 && j < columns; ++j)
            skip -= CSR_NONZERO(AT(x + i * row_step, step, j), mask);
        if (first < last) {
            const int64_t to = first - start;
            CSR(put)(x + i * row_step + j * step, step, j, columns - j, mask, last - first, data ? data + to : data,
                     narrow ? narrow + to : narrow, wide ? wide + to : wide);
        }
        ++i;
    }
}

/* Entries [start, stop) of the matrix whose rows these are: values into `data`, columns into `narrow` or `wide`; a
   null pointer leaves that part out. `pointers` (rows + 1,) are the row pointers in the same counting as `start`. */
static void CSR(csr_encode)(const char *x, ptrdiff_t row_step, ptrdiff_t step, int64_t rows, int64_t columns,
                            uint64_t mask, const int64_t *pointers, int64_t start, int64_t stop, T *data,
                            int32_t *narrow, int64_t *wide) {
    /* Each pass is inlined with its constants: null pointers, and the step of C order, cost nothing inside. */
#define CSR_PASS(step_, data_, narrow_, wide_) \
    CSR(encode)(x, row_step, step_, rows, columns, mask, pointers, start, stop, data_, narrow_, wide_)
#define CSR_PASSES(step_)                                       \
    if (data && narrow) CSR_PASS(step_, data, narrow, NULL);    \
    else if (data && wide) CSR_PASS(step_, data, NULL, wide);   \
    else if (data) CSR_PASS(step_, data, NULL, NULL);           \
    else if (narrow) CSR_PASS(step_, NULL, narrow, NULL);       \
    else if (wide) CSR_PASS(step_, NULL, NULL, wide)
    if (step == (ptrdiff_t)sizeof(T)) {
        CSR_PASSES(sizeof(T));
    } else {
        CSR_PASSES(step);
    }
#undef CSR_PASSES
#undef CSR_PASS
}

#undef CSR_PUT
#undef CSR_TILE
#undef AT
#undef CSR
#undef T
#undef CSR_TYPE
#undef CSR_SUFFIX
#undef CSR_NONZERO
