# ext/kernels/fits.pyx — least squares of a few surfaces, robust polynomials, and rates of counts by maximum likelihood.
from libc.math cimport exp, fabs, fmax, fmin, isfinite, log
from libc.stdlib cimport free, malloc

cdef extern from "fits.h" nogil:
    enum:
        SMALL_MAX
        SURFACES
    ctypedef struct surface_fit:
        int surface
        const double *x
        const double *y
        const double *values
        Py_ssize_t count
        double (*normal)[SMALL_MAX]
        double *gradient
    const int SURFACE_PARAMETERS[SURFACES]
    double c_fit_surface "fit_surface" (
        surface_fit *, double *, const double *, const double *, int, double, int *)
    int c_fit_polynomial "fit_polynomial" (
        const double *, const double *, const double *, Py_ssize_t, int, double, double, int, double *, double *,
        const double *, double *)
    int solve_small(double (*)[SMALL_MAX], double *, int)

PARAMETERS = tuple([SURFACE_PARAMETERS[surface] for surface in range(SURFACES)])

cdef enum:
    EXPONENTIAL
    LOGISTIC

cdef double LARGEST_EXPONENT = 30, SMALLEST_RATE = 1e-9


def fit_surface(
    int surface, const double[::1] x, const double[::1] y, const double[::1] values, double[::1] parameters,
    const double[::1] low, const double[::1] high, int max_steps, double tolerance, double[:, ::1] normal
) -> tuple[float, bool]:
    """Move `parameters` to the least squares of surface − values; returns the squares, and whether that converged.

    x, y, values (points,), at least one; parameters, low, high (PARAMETERS[surface],); normal, as wide: JᵀJ there.
    """
    cdef double equations[SMALL_MAX][SMALL_MAX]
    cdef double gradient[SMALL_MAX]
    cdef surface_fit fit
    cdef double squares
    cdef int converged = 0, i, j, size = SURFACE_PARAMETERS[surface]
    fit.surface, fit.count = surface, x.shape[0]
    fit.x, fit.y, fit.values = &x[0], &y[0], &values[0]
    fit.normal, fit.gradient = equations, gradient
    with nogil:
        squares = c_fit_surface(&fit, &parameters[0], &low[0], &high[0], max_steps, tolerance, &converged)
        for i in range(size):
            for j in range(size):
                normal[i, j] = equations[i][j]
    return squares, bool(converged)


def fit_polynomial(
    const double[::1] u, const double[::1] v, const double[::1] weights, const double[::1] prior, double tuning,
    double min_scale, int rounds, double[::1] coefficients, double[::1] robust
) -> bool:
    """Robust polynomial v(u), the lowest power first; False where it is singular.

    u, v, weights, prior, robust (points,), at least one; coefficients (degree + 1,). robust: prior · Tukey's weights.
    """
    cdef int done
    cdef double *scratch = <double *>malloc(u.shape[0] * sizeof(double))
    if scratch == NULL:
        raise MemoryError
    with nogil:
        done = c_fit_polynomial(
            &u[0], &v[0], &weights[0], u.shape[0], coefficients.shape[0] - 1, tuning, min_scale, rounds,
            &coefficients[0], &robust[0], &prior[0], scratch
        )
    free(scratch)
    return bool(done)


cdef double poisson_equations(
    int kind, const double *drive, const double *counts, const double *frames, Py_ssize_t points, const double *p,
    double (*information)[SMALL_MAX], double *gradient
) noexcept nogil:
    """Gradient and expected information of Σ counts · ln(rate) − frames · rate, which is returned."""
    cdef double d[3]
    cdef double total = 0, rate, exponent, share, top, inverse
    cdef Py_ssize_t k
    cdef int i, j, size = 2 if kind == EXPONENTIAL else 3
    for i in range(3):
        gradient[i] = 0
        for j in range(3):
            information[i][j] = 0
    top = exp(fmin(fmax(p[0], -LARGEST_EXPONENT), LARGEST_EXPONENT)) if kind == LOGISTIC else 0
    for k in range(points):
        if kind == EXPONENTIAL:
            exponent = fmin(fmax(p[0] + p[1] * drive[k], -LARGEST_EXPONENT), LARGEST_EXPONENT)
            rate = exp(exponent)
            d[0] = rate
            d[1] = rate * drive[k]
        else:
            exponent = fmin(fmax(p[1] + p[2] * drive[k], -LARGEST_EXPONENT), LARGEST_EXPONENT)
            share = 1 / (1 + exp(-exponent))
            rate = top * share
            d[0] = rate
            d[1] = rate * (1 - share)
            d[2] = d[1] * drive[k]
        rate = fmax(rate, SMALLEST_RATE)
        inverse = 1 / rate
        total -= frames[k] * rate
        if counts[k] > 0:
            total += counts[k] * log(rate)
        for i in range(size):
            gradient[i] += d[i] * (counts[k] * inverse - frames[k])
            for j in range(i + 1):
                information[i][j] += d[i] * d[j] * (inverse * frames[k])
    for i in range(size):
        for j in range(i + 1, size):
            information[i][j] = information[j][i]
    return total


def fit_rate(
    int kind, const double[::1] drive, const double[::1] counts, const double[::1] frames, double[::1] parameters,
    int max_steps
) -> tuple[float, bool]:
    """Move `parameters` to the largest Poisson likelihood; gives Σ counts · ln(rate) − frames · rate, and convergence.

    kind 0: rate = exp(p0 + p1 · drive); 1: rate = exp(p0) / (1 + exp(−p1 − p2 · drive)). Exponents are cut at ±30,
    rates at 1e-9. drive, counts, frames (points,): spikes in so many frames with that drive. Fisher scoring, damped
    where a step does not climb.
    """
    cdef double information[SMALL_MAX][SMALL_MAX]
    cdef double damped[SMALL_MAX][SMALL_MAX]
    cdef double trial_information[SMALL_MAX][SMALL_MAX]
    cdef double gradient[SMALL_MAX]
    cdef double step[SMALL_MAX]
    cdef double trial_gradient[SMALL_MAX]
    cdef double trial[3]
    cdef double reached, tried, damping = 1e-6
    cdef int i, j, size = parameters.shape[0], taken = 0
    cdef bint converged = False
    cdef Py_ssize_t points = drive.shape[0]
    with nogil:
        reached = poisson_equations(
            kind, &drive[0], &counts[0], &frames[0], points, &parameters[0], information, gradient
        )
        while taken < max_steps and isfinite(reached):
            taken += 1
            for i in range(size):
                step[i] = gradient[i]
                for j in range(size):
                    damped[i][j] = information[i][j]
                damped[i][i] += damping * (damped[i][i] + 1e-9)
            if not solve_small(damped, step, size):
                break
            for i in range(size):
                trial[i] = parameters[i] + step[i]
            tried = poisson_equations(
                kind, &drive[0], &counts[0], &frames[0], points, trial, trial_information, trial_gradient
            )
            if tried >= reached:
                converged = tried - reached <= 1e-4  # of a log likelihood; steps shrink quadratically
                reached = tried
                for i in range(size):
                    parameters[i] = trial[i]
                    gradient[i] = trial_gradient[i]
                    for j in range(size):
                        information[i][j] = trial_information[i][j]
                damping = fmax(damping / 10, 1e-9)
            else:
                damping *= 10
                converged = damping > 1e6
            if converged:
                break
    return reached, bool(converged)
