// rbf_encode: one thread per point. DIMS: dimensions of a point. KIND, WIDTH, COLUMNS, NORMALIZE, TAPER, DETACH: see RbfSpec. WAVES: 1 with
// frequencies. Definitions: bodies/rbf.h, kernels/backends/reference/rbf.py.
#include "cuda/thread.h"

// Up to 16 neighbours have their numbers in registers, more in memory.
#if COLUMNS <= 16
#define EACH_NEIGHBOR UNROLLED
#endif
#include "bodies/rbf.h"

namespace formfield {

DEVICE RbfSpec spec_of_unit() { return {RbfKernel(KIND), WIDTH, COLUMNS, NORMALIZE != 0, TAPER != 0, DETACH != 0}; }
constexpr int USED = TAPER ? COLUMNS - 1 : COLUMNS;

// Both at once. |x| up to a million: less its quarter turns in three parts (Cody and Waite 1980), then the first terms of the series, which
// up to pi / 4 leave less than rounding does. The library's reduce large arguments in memory and in double precision.
DEVICE void sine_cosine(float x, float& sine, float& cosine) {
    const float turns = rint(x * 0.63661975f);
    const float r = fma(-turns, -1.7151245e-15f, fma(-turns, -4.3711388e-8f, fma(-turns, 1.5707964f, x))), r2 = r * r;
    const float s = r + r * r2 * (-1.0f / 6 + r2 * (1.0f / 120 + r2 * (-1.0f / 5040 + r2 * (1.0f / 362880))));
    const float c = 1 + r2 * (-0.5f + r2 * (1.0f / 24 + r2 * (-1.0f / 720 + r2 * (1.0f / 40320 - r2 * (1.0f / 3628800)))));
    const int quarter = int(turns) & 3;
    sine = quarter & 1 ? c : s;
    cosine = quarter & 1 ? s : c;
    if (quarter >= 2) sine = -sine;
    if (quarter == 1 || quarter == 2) cosine = -cosine;
}
DEVICE void sine_cosine(double x, double& sine, double& cosine) { sine = sin(x), cosine = cos(x); }

// sin(m p) and its first two derivatives by p; without frequencies p, 1, 0
struct Wave {
    REAL value, first, second;
};
DEVICE Wave wave_at(REAL p, const REAL* frequencies, int64_t c) {
    if (!WAVES) return {p, REAL(1), REAL(0)};
    const REAL m = frequencies[c];
    REAL sine, cosine;
    sine_cosine(p * m, sine, cosine);
    return {sine, m * cosine, -m * m * sine};
}

DEVICE REAL epsilon_of(REAL) { return 0; }
DEVICE REAL epsilon_of(Dual<REAL> a) { return a.e; }
DEVICE void load(REAL& to, REAL value, REAL) { to = value; }
DEVICE void load(Dual<REAL>& to, REAL value, REAL epsilon) { to = {value, epsilon}; }

KERNEL rbf_forward_rows(int64_t n, const REAL* x, const REAL* centers, const REAL* shapes, const REAL* weights, const int32_t* ids,
                        const REAL* frequencies, int64_t channels, REAL* out) {
    const int64_t i = thread_x();
    if (i >= n) return;
    int32_t mine[COLUMNS];
    for (int k = 0; k < COLUMNS; ++k) mine[k] = ids[i * COLUMNS + k];
    REAL point[DIMS], p[COLUMNS];
    for (int a = 0; a < DIMS; ++a) point[a] = x[i * DIMS + a];
    rbf_values<DIMS>(spec_of_unit(), point, centers, shapes, mine, p);
    for (int64_t c = 0; c < channels; ++c) {
        REAL sum = 0;
        EACH_NEIGHBOR
        for (int k = 0; k < USED; ++k)
            if (mine[k] >= 0) sum += wave_at(p[k], frequencies, c).value * weights[int64_t(mine[k]) * channels + c];
        out[i * channels + c] = sum;
    }
}

// Adds what one neighbour gets to its centre and shape.
template <class S>
struct ToFunctions {
    const int32_t* ids;
    REAL *centers, *shapes;
    HOST_DEVICE void operator()(int k, const S* by_center, const S* by_shape) const {
        if (centers)
            for (int a = 0; a < DIMS; ++a) SharedAdd()(centers + int64_t(ids[k]) * DIMS + a, result_of(by_center[a]));
        if (shapes && by_shape)
            for (int a = 0; a < WIDTH; ++a) SharedAdd()(shapes + int64_t(ids[k]) * WIDTH + a, result_of(by_shape[a]));
    }
};

// First backward (S a number), or its derivative along `direction` (S a dual). Results may be null; by_grad only for the second.
template <class S>
DEVICE void rbf_adjoint(int64_t i, const REAL* x, const REAL* centers, const REAL* shapes, const REAL* weights, const int32_t* ids,
                        const REAL* frequencies, int64_t channels, const REAL* grad, const REAL* direction, REAL* by_grad, REAL* by_x,
                        REAL* by_centers, REAL* by_shapes, REAL* by_weights) {
    int32_t mine[COLUMNS];
    for (int k = 0; k < COLUMNS; ++k) mine[k] = ids[i * COLUMNS + k];
    S point[DIMS], p[COLUMNS], dp[COLUMNS], by_point[DIMS];
    for (int a = 0; a < DIMS; ++a) load(point[a], x[i * DIMS + a], direction ? direction[i * DIMS + a] : REAL(0));
    rbf_values<DIMS>(spec_of_unit(), point, centers, shapes, mine, p);
    EACH_NEIGHBOR
    for (int k = 0; k < USED; ++k) {
        REAL first = 0, second = 0;
        for (int64_t c = 0; mine[k] >= 0 && c < channels; ++c) {
            const int64_t at = int64_t(mine[k]) * channels + c;
            const REAL g = grad[i * channels + c], along = epsilon_of(p[k]);
            const Wave wave = wave_at(value_of(p[k]), frequencies, c);
            first += g * weights[at] * wave.first;
            second += g * weights[at] * wave.second * along;
            if (by_weights) SharedAdd()(by_weights + at, g * (direction ? wave.first * along : wave.value));
        }
        load(dp[k], first, second);
    }
    for (int64_t c = 0; by_grad && c < channels; ++c) {
        REAL sum = 0;
        EACH_NEIGHBOR
        for (int k = 0; k < USED; ++k)
            if (mine[k] >= 0)
                sum += wave_at(value_of(p[k]), frequencies, c).first * epsilon_of(p[k]) * weights[int64_t(mine[k]) * channels + c];
        by_grad[i * channels + c] = sum;
    }
    if (!by_x && !by_centers && !by_shapes) return;
    const ToFunctions<S> to = {mine, by_centers, by_shapes};
    rbf_values_backward<DIMS>(spec_of_unit(), point, centers, shapes, mine, dp, by_point, to);
    for (int a = 0; by_x && a < DIMS; ++a) by_x[i * DIMS + a] = result_of(by_point[a]);
}

KERNEL rbf_backward_rows(int64_t n, const REAL* x, const REAL* centers, const REAL* shapes, const REAL* weights, const int32_t* ids,
                         const REAL* frequencies, int64_t channels, const REAL* grad, REAL* by_x, REAL* by_centers, REAL* by_shapes,
                         REAL* by_weights) {
    const int64_t i = thread_x();
    if (i >= n) return;
    rbf_adjoint<REAL>(i, x, centers, shapes, weights, ids, frequencies, channels, grad, nullptr, nullptr, by_x, by_centers, by_shapes,
                      by_weights);
}

KERNEL rbf_second_rows(int64_t n, const REAL* x, const REAL* centers, const REAL* shapes, const REAL* weights, const int32_t* ids,
                       const REAL* frequencies, int64_t channels, const REAL* grad, const REAL* direction, REAL* by_grad, REAL* by_x,
                       REAL* by_centers, REAL* by_shapes, REAL* by_weights) {
    const int64_t i = thread_x();
    if (i >= n) return;
    rbf_adjoint<Dual<REAL>>(i, x, centers, shapes, weights, ids, frequencies, channels, grad, direction, by_grad, by_x, by_centers, by_shapes,
                            by_weights);
}

}  // namespace formfield
