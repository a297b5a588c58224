// The radial functions of one point's neighbours, and their adjoint: everything of rbf_encode but the sines over channels.
// S is T or Dual<T>. Definitions: kernels/backends/reference/rbf.py.
#pragma once
#include "bodies/dual.h"

#if !defined(EACH_NEIGHBOR)
#define EACH_NEIGHBOR  // in front of the loops over neighbours: UNROLLED where their number is known to the compiler and small
#endif

namespace formfield {

constexpr int RBF_MAX_NEIGHBORS = 64;

enum class RbfKernel : int { inverse_quadratic = 0, gauss = 1, hat = 2 };

struct RbfSpec {
    RbfKernel kernel;
    int width;    // shape parameters: 1 (scale), D (diagonal) or D(D+1)/2 (upper triangle row by row)
    int columns;  // neighbours given
    bool normalize, taper, detach_normalizer;

    HOST_DEVICE int used() const { return taper ? columns - 1 : columns; }
};

// Z = sum + this; a taper's radius is that of the farthest neighbour times the root of 1 + TAPER_MARGIN
constexpr double RBF_NORMALIZER = 1e-8;
constexpr double RBF_TAPER_MARGIN = 1e-3;

template <int D, class S, class T>
HOST_DEVICE S rbf_quadratic(const S* d, const T* shape, int width) {
    S sum = S(0);
    if (width == 1 || width == D) {
        for (int a = 0; a < D; ++a) sum += S(shape[width == 1 ? 0 : a]) * d[a] * d[a];
        return sum;
    }
    int i = 0;
    UNROLLED
    for (int a = 0; a < D; ++a) {
        UNROLLED
        for (int b = a; b < D; ++b, ++i) sum += S(shape[i] * T(a == b ? 1 : 2)) * d[a] * d[b];
    }
    return sum;
}

// The function without its taper.
template <int D, class S, class T>
HOST_DEVICE S rbf_function(const RbfSpec& spec, const S* d, const T* shape) {
    if (spec.kernel == RbfKernel::hat) {
        S product = S(1);
        for (int a = 0; a < D; ++a) {
            const S distance = value_of(d[a]) < 0 ? -d[a] : d[a];
            const S factor = S(1) - distance * S(shape[spec.width == 1 ? 0 : a]);
            product *= value_of(factor) > 0 ? factor : S(0);
        }
        return product;
    }
    const S r2 = rbf_quadratic<D>(d, shape, spec.width);
    return spec.kernel == RbfKernel::gauss ? exp(S(T(-0.5)) * r2) : S(1) / (S(1) + r2);
}

// Adjoint of rbf_function: adds to grad_d [D], writes grad_shape [width]. `phi` is its value.
template <int D, class S, class T>
HOST_DEVICE void rbf_function_backward(const RbfSpec& spec, const S* d, const T* shape, S phi, S grad, S* grad_d, S* grad_shape) {
    for (int i = 0; i < spec.width; ++i) grad_shape[i] = S(0);
    if (spec.kernel == RbfKernel::hat) {
        for (int a = 0; a < D; ++a) {
            S others = grad;
            for (int b = 0; b < D; ++b) {
                const S distance = value_of(d[b]) < 0 ? -d[b] : d[b];
                const S factor = S(1) - distance * S(shape[spec.width == 1 ? 0 : b]);
                if (!(value_of(factor) > 0)) {
                    others = S(0);
                } else if (b != a) {
                    others *= factor;
                }
            }
            const int i = spec.width == 1 ? 0 : a;
            const T sign = T((value_of(d[a]) > 0) - (value_of(d[a]) < 0));
            grad_d[a] -= others * S(sign * shape[i]);
            grad_shape[i] -= others * S(sign) * d[a];
        }
        return;
    }
    const S by_r2 = grad * (spec.kernel == RbfKernel::gauss ? S(T(-0.5)) * phi : -(phi * phi));
    if (spec.width == 1 || spec.width == D) {
        for (int a = 0; a < D; ++a) {
            const int i = spec.width == 1 ? 0 : a;
            grad_d[a] += S(2 * shape[i]) * d[a] * by_r2;
            grad_shape[i] += d[a] * d[a] * by_r2;
        }
        return;
    }
    int i = 0;
    UNROLLED
    for (int a = 0; a < D; ++a) {
        UNROLLED
        for (int b = a; b < D; ++b, ++i) {
            grad_d[a] += S(2 * shape[i]) * d[b] * by_r2;
            if (b != a) grad_d[b] += S(2 * shape[i]) * d[a] * by_r2;
            grad_shape[i] = S(T(a == b ? 1 : 2)) * d[a] * d[b] * by_r2;
        }
    }
}

template <int D, class S, class T>
HOST_DEVICE void rbf_difference(const S* x, const T* center, S* d) {
    for (int a = 0; a < D; ++a) d[a] = x[a] - S(center[a]);
}
template <int D, class S>
HOST_DEVICE S squared_norm(const S* d) {
    S sum = S(0);
    for (int a = 0; a < D; ++a) sum += d[a] * d[a];
    return sum;
}

// Squared radius at which functions have faded out: a little more than the farthest neighbour's distance; 0 for no fading.
template <int D, class S, class T>
HOST_DEVICE S taper_limit(const RbfSpec& spec, const S* x, const T* centers, const int32_t* ids) {
    const int32_t id = spec.taper ? ids[spec.columns - 1] : -1;
    if (id < 0) return S(0);
    S d[D];
    rbf_difference<D>(x, centers + int64_t(id) * D, d);
    return squared_norm<D>(d) * S(T(1 + RBF_TAPER_MARGIN));
}

// 1 - |d|^2 / limit, not below 0
template <int D, class S>
HOST_DEVICE S taper_inside(const S* d, S limit) {
    const S inside = S(1) - squared_norm<D>(d) / limit;
    return value_of(inside) > 0 ? inside : S(0);
}

// p [used]: the values, normalised if asked (0 for missing neighbours); returns what they were divided by.
template <int D, class S, class T>
HOST_DEVICE S rbf_values(const RbfSpec& spec, const S* x, const T* centers, const T* shapes, const int32_t* ids, S* p) {
    const S limit = taper_limit<D>(spec, x, centers, ids);
    S total = S(T(RBF_NORMALIZER));
    EACH_NEIGHBOR
    for (int k = 0; k < spec.used(); ++k) {
        p[k] = S(0);
        if (ids[k] < 0) continue;
        S d[D];
        rbf_difference<D>(x, centers + int64_t(ids[k]) * D, d);
        p[k] = rbf_function<D>(spec, d, shapes + int64_t(ids[k]) * spec.width);
        if (value_of(limit) > 0) {
            const S inside = taper_inside<D>(d, limit);
            p[k] *= inside * inside;
        }
        total += p[k];
    }
    if (!spec.normalize) return S(1);
    const S inverse = S(1) / total;
    EACH_NEIGHBOR
    for (int k = 0; k < spec.used(); ++k) p[k] *= inverse;
    return total;
}

// Adjoint of rbf_values: from dp [used] to the point, grad_x [D] (written), and per neighbour its centre and shape, handed to
// emit(column, grad_center [D] of S, grad_shape [width] of S or null).
template <int D, class S, class T, class Emit>
HOST_DEVICE void rbf_values_backward(
    const RbfSpec& spec, const S* x, const T* centers, const T* shapes, const int32_t* ids, const S* dp, S* grad_x, Emit&& emit
) {
    S p[RBF_MAX_NEIGHBORS];
    const S total = rbf_values<D>(spec, x, centers, shapes, ids, p);
    const S inverse = S(1) / total;
    S shared = S(0);
    if (spec.normalize && !spec.detach_normalizer) {
        EACH_NEIGHBOR
        for (int k = 0; k < spec.used(); ++k) shared += dp[k] * p[k];
    }
    const S limit = taper_limit<D>(spec, x, centers, ids);
    const bool fades = value_of(limit) > 0;
    S grad_limit = S(0);
    for (int a = 0; a < D; ++a) grad_x[a] = S(0);
    EACH_NEIGHBOR
    for (int k = 0; k < spec.used(); ++k) {
        if (ids[k] < 0) continue;
        S grad = spec.normalize ? (dp[k] - shared) * inverse : dp[k];
        S d[D], grad_d[D], grad_shape[D * (D + 1) / 2];
        rbf_difference<D>(x, centers + int64_t(ids[k]) * D, d);
        for (int a = 0; a < D; ++a) grad_d[a] = S(0);
        const T* shape = shapes + int64_t(ids[k]) * spec.width;
        const S phi = rbf_function<D>(spec, d, shape);
        if (fades) {
            const S inside = taper_inside<D>(d, limit);
            const S grad_inside = grad * phi * S(2) * inside;
            const S by_square = -grad_inside / limit;
            grad_limit -= by_square * squared_norm<D>(d) / limit;
            for (int a = 0; a < D; ++a) grad_d[a] += S(2) * d[a] * by_square;
            grad *= inside * inside;
        }
        rbf_function_backward<D>(spec, d, shape, phi, grad, grad_d, grad_shape);
        for (int a = 0; a < D; ++a) {
            grad_x[a] += grad_d[a];
            grad_d[a] = -grad_d[a];
        }
        emit(k, grad_d, grad_shape);
    }
    if (fades) {
        S d[D];
        rbf_difference<D>(x, centers + int64_t(ids[spec.columns - 1]) * D, d);
        for (int a = 0; a < D; ++a) {
            const S grad = S(T(2 * (1 + RBF_TAPER_MARGIN))) * d[a] * grad_limit;
            grad_x[a] += grad;
            d[a] = -grad;
        }
        emit(spec.columns - 1, d, static_cast<S*>(nullptr));
    }
}

}  // namespace formfield
