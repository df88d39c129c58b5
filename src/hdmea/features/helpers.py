"""Compiled helpers of the extractors: arrays in, arrays or numbers out. Extend them here, in plain Python.

Importing this module imports Numba: extractors do it inside their functions. Each helper has an obvious counterpart
in the tests' references that it is compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """`numba.njit(cache=True, nogil=True)`; without the cache where no folder for it can be written to."""
    try:
        return cast(Function, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:
        return cast(Function, numba.njit(nogil=True)(function))


@compiled
def _solve(matrix: Floats, vector: Floats) -> bool:
    """Gaussian elimination with pivoting, in place; False for a singular matrix."""
    n = len(vector)
    for column in range(n):
        pivot = column
        for row in range(column + 1, n):
            if abs(matrix[row, column]) > abs(matrix[pivot, column]):
                pivot = row
        if abs(matrix[pivot, column]) < 1e-300:
            return False
        if pivot != column:
            for k in range(n):
                matrix[column, k], matrix[pivot, k] = matrix[pivot, k], matrix[column, k]
            vector[column], vector[pivot] = vector[pivot], vector[column]
        for row in range(column + 1, n):
            factor = matrix[row, column] / matrix[column, column]
            for k in range(column, n):
                matrix[row, k] -= factor * matrix[column, k]
            vector[row] -= factor * vector[column]
    for row in range(n - 1, -1, -1):
        for k in range(row + 1, n):
            vector[row] -= matrix[row, k] * vector[k]
        vector[row] /= matrix[row, row]
    return True


@compiled
def _gaussian_equations(image: Floats, p: Floats, normal: Floats, gradient: Floats) -> float:
    """Normal equations of the least-squares fit at parameters `p`; returns the sum of squared residuals."""
    derivative = np.empty(6)
    normal[:] = 0.0
    gradient[:] = 0.0
    squares = 0.0
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            u = (column - p[1]) / p[3]
            v = (row - p[2]) / p[4]
            bell = np.exp(-(u * u + v * v) / 2)
            residual = image[row, column] - p[0] * bell - p[5]
            derivative[0] = bell
            derivative[1] = p[0] * bell * u / p[3]
            derivative[2] = p[0] * bell * v / p[4]
            derivative[3] = p[0] * bell * u * u / p[3]
            derivative[4] = p[0] * bell * v * v / p[4]
            derivative[5] = 1.0
            squares += residual * residual
            for i in range(6):
                gradient[i] += derivative[i] * residual
                for j in range(6):
                    normal[i, j] += derivative[i] * derivative[j]
    return squares


@compiled
def fit_gaussian(image: Floats, start: Floats, max_steps: int) -> tuple[Floats, float, bool]:
    """Least-squares fit of amplitude · exp(−((x − x0)/σx)²/2 − ((y − y0)/σy)²/2) + offset to an image (rows, columns).

    start, and what is returned: (amplitude, x0, y0, σx, σy, offset), float64; then the sum of squared residuals, and
    whether the fit converged. Levenberg–Marquardt (Marquardt 1963) with analytic derivatives.
    """
    p, trial = start.copy(), start.copy()
    normal, damped = np.empty((6, 6)), np.empty((6, 6))
    gradient, step = np.empty(6), np.empty(6)
    squares = _gaussian_equations(image, p, normal, gradient)
    damping = 1e-3
    for _ in range(max_steps):
        damped[:] = normal
        for i in range(6):
            damped[i, i] += damping * (normal[i, i] + 1e-12)
        step[:] = gradient
        if not _solve(damped, step):
            return p, squares, False
        trial[:] = p + step
        trial[3:5] = np.maximum(np.abs(trial[3:5]), 1e-3)
        trial_normal, trial_gradient = np.empty((6, 6)), np.empty(6)
        trial_squares = _gaussian_equations(image, trial, trial_normal, trial_gradient)
        if trial_squares <= squares:
            done = squares - trial_squares <= 1e-10 * squares
            p[:], normal[:], gradient[:] = trial, trial_normal, trial_gradient
            squares = trial_squares
            damping = max(damping / 10, 1e-12)
            if done:
                return p, squares, True
        else:
            damping *= 10
            if damping > 1e12:
                return p, squares, True
    return p, squares, False


def warm_up() -> None:
    """Load or compile every compiled function of the extractors for the types that they call it with."""
    from hdmea.features import harmonics, psth, resampling

    for module in (psth, resampling, harmonics):
        module.warm_up()
    fit_gaussian(np.ones((3, 3)), np.ones(6), 1)
