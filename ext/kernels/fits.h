/* ext/kernels/fits.h — least squares of a few surfaces by Levenberg-Marquardt (Marquardt 1963), within bounds. */
#ifndef H5BURST_FITS_H
#define H5BURST_FITS_H

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "medians.h"
#include "small_linear.h"

enum { ROUND_GAUSSIAN, MONOPOLE, GAUSSIAN, GAUSSIAN_ON_OFFSET, GAUSSIANS_DIFFERENCE, SURFACES };

static const int SURFACE_PARAMETERS[SURFACES] = {4, 4, 6, 7, 8};

typedef struct {
    int surface;
    const double *x, *y, *values;
    ptrdiff_t count;
    double (*normal)[SMALL_MAX]; /* of the equations at the parameters last accepted */
    double *gradient;
} surface_fit;

/* What a surface needs of its parameters once for all points. */
typedef struct {
    double wide, narrow, cosine, sine; /* reciprocal squares of the two widths; axes */
    double ratio;                      /* reciprocal square of surround over centre */
} surface_constants;

static inline surface_constants constants_of(int surface, const double *p) {
    surface_constants c = {exp(-2 * p[3]), 0, 1, 0, 1};
    if (surface == MONOPOLE) c.wide /= 1.6 * 1.6;
    if (surface >= GAUSSIAN) {
        c.narrow = exp(-2 * p[4]);
        c.cosine = cos(p[5]);
        c.sine = sin(p[5]);
    }
    if (surface == GAUSSIANS_DIFFERENCE) c.ratio = exp(-2 * p[7]);
    return c;
}

/* The surface at (x, y), and its derivatives by the parameters. */
static inline double surface_at(int surface, const double *p, surface_constants c, double x, double y, double *d) {
    const double dx = x - p[1], dy = y - p[2];
    if (surface == ROUND_GAUSSIAN || surface == MONOPOLE) {
        const double square = (dx * dx + dy * dy) * c.wide;
        const double bell = surface == MONOPOLE ? 1 / ((1 + square) * sqrt(1 + square)) : exp(-0.5 * square);
        const double slope = p[0] * bell * c.wide * (surface == MONOPOLE ? 3 / (1 + square) : 1);
        d[0] = bell;
        d[1] = slope * dx;
        d[2] = slope * dy;
        d[3] = slope * (dx * dx + dy * dy);
        return p[0] * bell;
    } else {
        const double u = c.cosine * dx + c.sine * dy, v = c.cosine * dy - c.sine * dx;
        const double uu = u * u * c.wide, vv = v * v * c.narrow;
        const double centre = exp(-0.5 * (uu + vv));
        const int has_surround = surface == GAUSSIANS_DIFFERENCE;
        const double surround = has_surround ? exp(-0.5 * c.ratio * (uu + vv)) : 0;
        const double share = has_surround ? p[6] : 0;
        const double steep = p[0] * (centre - share * surround * c.ratio);
        d[0] = centre - share * surround;
        d[1] = steep * (u * c.wide * c.cosine - v * c.narrow * c.sine);
        d[2] = steep * (u * c.wide * c.sine + v * c.narrow * c.cosine);
        d[3] = steep * uu;
        d[4] = steep * vv;
        d[5] = steep * u * v * (c.narrow - c.wide);
        if (has_surround) {
            d[6] = -p[0] * surround;
            d[7] = -p[0] * share * surround * c.ratio * (uu + vv);
        } else {
            d[6] = 1; /* the offset, where there is one */
        }
        return p[0] * d[0] + (surface == GAUSSIAN_ON_OFFSET ? p[6] : 0);
    }
}

/* Fill the normal equations at `p`; returns the sum of squared residuals. */
static inline double surface_equations(const surface_fit *fit, const double *p, double normal[SMALL_MAX][SMALL_MAX],
                                       double *gradient) {
    const int size = SURFACE_PARAMETERS[fit->surface];
    const surface_constants constants = constants_of(fit->surface, p);
    double squares = 0, d[SMALL_MAX];
    memset(normal, 0, SMALL_MAX * sizeof *normal);
    memset(gradient, 0, SMALL_MAX * sizeof *gradient);
    for (ptrdiff_t k = 0; k < fit->count; k++) {
        const double residual = fit->values[k] - surface_at(fit->surface, p, constants, fit->x[k], fit->y[k], d);
        squares += residual * residual;
        for (int i = 0; i < size; i++) {
            gradient[i] += d[i] * residual;
            for (int j = 0; j <= i; j++) normal[i][j] += d[i] * d[j];
        }
    }
    for (int i = 0; i < size; i++)
        for (int j = i + 1; j < size; j++) normal[i][j] = normal[j][i];
    return squares;
}

/* Move `p` to the least squares within [low, high]; returns the squares there, and whether that converged. */
static inline double fit_surface(surface_fit *fit, double *p, const double *low, const double *high, int max_steps,
                                 double tolerance, int *converged) {
    const int size = SURFACE_PARAMETERS[fit->surface];
    double trial[SMALL_MAX], step[SMALL_MAX], damped[SMALL_MAX][SMALL_MAX];
    double trial_normal[SMALL_MAX][SMALL_MAX], trial_gradient[SMALL_MAX];
    double squares = surface_equations(fit, p, fit->normal, fit->gradient), damping = 1e-3;
    const double min_gain = 1e-8 + 1e-3 / (fit->count > size ? fit->count - size : 1);
    *converged = 0;
    for (int taken = 0; taken < max_steps;) {
        double trial_squares;
        int small = 1;
        memcpy(damped, fit->normal, sizeof damped);
        memcpy(step, fit->gradient, sizeof step);
        for (int i = 0; i < size; i++) damped[i][i] += damping * (damped[i][i] + 1e-12);
        if (!solve_small(damped, step, size)) return squares;
        for (int i = 0; i < size; i++) {
            trial[i] = fmin(fmax(p[i] + step[i], low[i]), high[i]);
            small &= fabs(trial[i] - p[i]) <= tolerance * (fabs(p[i]) + 1e-3);
        }
        trial_squares = surface_equations(fit, trial, trial_normal, trial_gradient);
        if (trial_squares <= squares) {
            *converged = small || squares - trial_squares <= min_gain * squares;
            memcpy(p, trial, size * sizeof *p);
            memcpy(fit->normal, trial_normal, sizeof trial_normal);
            memcpy(fit->gradient, trial_gradient, sizeof trial_gradient);
            squares = trial_squares;
            damping = fmax(damping / 10, 1e-9);
            taken++;
        } else {
            damping *= 10;
            *converged = damping > 1e6;
        }
        if (*converged) break;
    }
    return squares;
}

/* Tukey's weight of a residual. */
static inline double biweight(double residual, double limit) {
    const double part = residual / limit;
    return part < 1 && part > -1 ? (1 - part * part) * (1 - part * part) : 0;
}

/* Polynomial of `degree` in u fitted to v, weights · robust, robust found by `rounds` of reweighting; limits in units
 * of the residuals' scale = 1.4826 · MAD, at least `min_scale`. robust: weights to begin with, and found; scratch
 * (count). 0: singular. */
static inline int fit_polynomial(const double *u, const double *v, const double *weights, ptrdiff_t count, int degree,
                                 double tuning, double min_scale, int rounds, double *coefficients, double *robust,
                                 const double *prior, double *scratch) {
    const int size = degree + 1;
    for (ptrdiff_t k = 0; k < count; k++) robust[k] = prior[k];
    for (int round = 0; round < rounds; round++) {
        double normal[SMALL_MAX][SMALL_MAX] = {{0}}, right[SMALL_MAX] = {0}, scale, powers[SMALL_MAX];
        for (ptrdiff_t k = 0; k < count; k++) {
            const double weight = weights[k] * robust[k];
            powers[0] = 1;
            for (int i = 1; i < size; i++) powers[i] = powers[i - 1] * u[k];
            for (int i = 0; i < size; i++) {
                right[i] += weight * powers[i] * v[k];
                for (int j = 0; j < size; j++) normal[i][j] += weight * powers[i] * powers[j];
            }
        }
        for (int i = 0; i < size; i++) normal[i][i] += 1e-9;
        if (!solve_small(normal, right, size)) return 0;
        for (ptrdiff_t k = 0; k < count; k++) {
            double value = right[degree];
            for (int i = degree - 1; i >= 0; i--) value = value * u[k] + right[i];
            robust[k] = v[k] - value;
            scratch[k] = fabs(robust[k]);
        }
        scale = fmax(1.4826 * median_in_place(scratch, count), min_scale);
        for (ptrdiff_t k = 0; k < count; k++) robust[k] = prior[k] * biweight(robust[k], tuning * scale);
        for (int i = 0; i < size; i++) coefficients[i] = right[i];
    }
    return 1;
}

#endif
