/* ext/kernels/small_linear.h — systems of a few linear equations, as least-squares fits have them. */
#ifndef H5BURST_SMALL_LINEAR_H
#define H5BURST_SMALL_LINEAR_H

#include <math.h>

#define SMALL_MAX 8 /* unknowns */

/* Solve matrix · x = vector for `size` unknowns, both given as scratch; x is left in `vector`. 0: singular. */
static inline int solve_small(double matrix[SMALL_MAX][SMALL_MAX], double vector[SMALL_MAX], int size) {
    for (int column = 0; column < size; column++) {
        int pivot = column;
        for (int row = column + 1; row < size; row++)
            if (fabs(matrix[row][column]) > fabs(matrix[pivot][column])) pivot = row;
        if (!(fabs(matrix[pivot][column]) > 1e-300)) return 0;
        for (int k = 0; k < size; k++) {
            const double kept = matrix[column][k];
            matrix[column][k] = matrix[pivot][k];
            matrix[pivot][k] = kept;
        }
        {
            const double kept = vector[column];
            vector[column] = vector[pivot];
            vector[pivot] = kept;
        }
        for (int row = column + 1; row < size; row++) {
            const double factor = matrix[row][column] / matrix[column][column];
            for (int k = column; k < size; k++) matrix[row][k] -= factor * matrix[column][k];
            vector[row] -= factor * vector[column];
        }
    }
    for (int row = size - 1; row >= 0; row--) {
        for (int k = row + 1; k < size; k++) vector[row] -= matrix[row][k] * vector[k];
        vector[row] /= matrix[row][row];
    }
    return 1;
}

#endif
