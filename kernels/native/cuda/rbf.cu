// rbf_encode: one thread per point. DIMS: dimensions of a point. Definitions: bodies/rbf.h, kernels/backends/reference/rbf.py.
#include "cuda/thread.h"

#include "bodies/rbf.h"

namespace formfield {

DEVICE RbfSpec spec_of(int64_t kernel, int64_t flags, int64_t width, int64_t columns) {
    return {RbfKernel(int(kernel)), int(width), int(columns), (flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0};
}

// sin(m p) and its first two derivatives by p; without frequencies p, 1, 0
struct Wave {
    REAL value, first, second;
};
DEVICE Wave wave_at(REAL p, const REAL* frequencies, int64_t c) {
    if (!frequencies) return {p, REAL(1), REAL(0)};
    const REAL m = frequencies[c], s = sin(p * m);
    return {s, m * cos(p * m), -m * m * s};
}

DEVICE REAL epsilon_of(REAL) { return 0; }
DEVICE REAL epsilon_of(Dual<REAL> a) { return a.e; }
DEVICE void load(REAL& to, REAL value, REAL) { to = value; }
DEVICE void load(Dual<REAL>& to, REAL value, REAL epsilon) { to = {value, epsilon}; }

KERNEL rbf_forward_rows(int64_t n, const REAL* x, const REAL* centers, const REAL* shapes, const REAL* weights, const int32_t* ids,
                        const REAL* frequencies, int64_t kernel, int64_t flags, int64_t width, int64_t columns, int64_t channels,
                        REAL* out) {
    const int64_t i = thread_x();
    if (i >= n) return;
    const RbfSpec spec = spec_of(kernel, flags, width, columns);
    REAL p[RBF_MAX_NEIGHBORS];
    const int32_t* mine = ids + i * columns;
    rbf_values<DIMS>(spec, x + i * DIMS, centers, shapes, mine, p);
    for (int64_t c = 0; c < channels; ++c) {
        REAL sum = 0;
        for (int k = 0; k < spec.used(); ++k)
            if (mine[k] >= 0) sum += wave_at(p[k], frequencies, c).value * weights[int64_t(mine[k]) * channels + c];
        out[i * channels + c] = sum;
    }
}

// Adds what one neighbour gets to its centre and shape.
template <class S>
struct ToFunctions {
    const int32_t* ids;
    int width;
    REAL *centers, *shapes;
    HOST_DEVICE void operator()(int k, const S* by_center, const S* by_shape) const {
        if (centers)
            for (int a = 0; a < DIMS; ++a) SharedAdd()(centers + int64_t(ids[k]) * DIMS + a, result_of(by_center[a]));
        if (shapes && by_shape)
            for (int a = 0; a < width; ++a) SharedAdd()(shapes + int64_t(ids[k]) * width + a, result_of(by_shape[a]));
    }
};

// First backward (S a number), or its derivative along `direction` (S a dual). Results may be null; by_grad only for the second.
template <class S>
DEVICE void rbf_adjoint(int64_t i, const RbfSpec& spec, const REAL* x, const REAL* centers, const REAL* shapes, const REAL* weights,
                        const int32_t* mine, const REAL* frequencies, int64_t channels, const REAL* grad, const REAL* direction,
                        REAL* by_grad, REAL* by_x, REAL* by_centers, REAL* by_shapes, REAL* by_weights) {
    S point[DIMS], p[RBF_MAX_NEIGHBORS], dp[RBF_MAX_NEIGHBORS], by_point[DIMS];
    for (int a = 0; a < DIMS; ++a) load(point[a], x[i * DIMS + a], direction ? direction[i * DIMS + a] : REAL(0));
    rbf_values<DIMS>(spec, point, centers, shapes, mine, p);
    for (int k = 0; k < spec.used(); ++k) {
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
        for (int k = 0; k < spec.used(); ++k)
            if (mine[k] >= 0)
                sum += wave_at(value_of(p[k]), frequencies, c).first * epsilon_of(p[k]) * weights[int64_t(mine[k]) * channels + c];
        by_grad[i * channels + c] = sum;
    }
    if (!by_x && !by_centers && !by_shapes) return;
    const ToFunctions<S> to = {mine, spec.width, by_centers, by_shapes};
    rbf_values_backward<DIMS>(spec, point, centers, shapes, mine, dp, by_point, to);
    for (int a = 0; by_x && a < DIMS; ++a) by_x[i * DIMS + a] = result_of(by_point[a]);
}

KERNEL rbf_backward_rows(int64_t n, const REAL* x, const REAL* centers, const REAL* shapes, const REAL* weights, const int32_t* ids,
                         const REAL* frequencies, int64_t kernel, int64_t flags, int64_t width, int64_t columns, int64_t channels,
                         const REAL* grad, REAL* by_x, REAL* by_centers, REAL* by_shapes, REAL* by_weights) {
    const int64_t i = thread_x();
    if (i >= n) return;
    rbf_adjoint<REAL>(i, spec_of(kernel, flags, width, columns), x, centers, shapes, weights, ids + i * columns, frequencies, channels, grad,
                      nullptr, nullptr, by_x, by_centers, by_shapes, by_weights);
}

KERNEL rbf_second_rows(int64_t n, const REAL* x, const REAL* centers, const REAL* shapes, const REAL* weights, const int32_t* ids,
                       const REAL* frequencies, int64_t kernel, int64_t flags, int64_t width, int64_t columns, int64_t channels,
                       const REAL* grad, const REAL* direction, REAL* by_grad, REAL* by_x, REAL* by_centers, REAL* by_shapes,
                       REAL* by_weights) {
    const int64_t i = thread_x();
    if (i >= n) return;
    rbf_adjoint<Dual<REAL>>(i, spec_of(kernel, flags, width, columns), x, centers, shapes, weights, ids + i * columns, frequencies, channels,
                            grad, direction, by_grad, by_x, by_centers, by_shapes, by_weights);
}

}  // namespace formfield
