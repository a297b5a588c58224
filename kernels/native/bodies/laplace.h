// VolSDF: the Laplace density at one point, and the bound on the opacity error along one ray (see kernels/backends/reference/laplace.py).
#pragma once
#include "bodies/scalar.h"

namespace formfield {

template <class T>
struct LaplaceDensity {
    T value, by_sdf, by_beta;
};

template <class T>
HOST_DEVICE LaplaceDensity<T> laplace_density(T sdf, T beta) {
    const T inverse = 1 / beta, e = exp(-fabs(sdf) * inverse);
    const T value = (sdf >= 0 ? e / 2 : 1 - e / 2) * inverse;
    const T by_sdf = -e / 2 * inverse * inverse;
    return {value, by_sdf, -(value + sdf * by_sdf) * inverse};
}

template <class T>
HOST_DEVICE T laplace_value(T sdf, T beta) {
    const T e = exp(-fabs(sdf) / beta) / 2;
    return (sdf >= 0 ? e : 1 - e) / beta;
}

// Lower bound of the distance to the surface on an interval of length a with signed distances f, g at its ends.
template <class T>
HOST_DEVICE T surface_distance(T f, T g, T a) {
    if (!(f > 0 && g > 0) && !(f < 0 && g < 0)) return 0;
    const T b = fabs(f), c = fabs(g);
    if (a * a + b * b <= c * c) return b;
    if (a * a + c * c <= b * b) return c;
    if (!(b + c > a)) return 0;
    const T s = (a + b + c) / 2;
    return 2 * sqrt(larger(s * (s - a) * (s - b) * (s - c), T(0))) / a;
}

// Bound on one interval, given the bound E of the depth's error at its end and the depth R at its start; capped at 1e6.
template <class T>
HOST_DEVICE T interval_bound(T error, T depth) {
    if (error < 1) return exp(-depth) * expm1(error);
    return exp(smaller(error - depth, T(13.815510557964274))) - exp(-depth);
}

// The largest interval bound of a ray; each of them goes to `each` [n] if that is not null (0 for the last sample).
template <class T>
HOST_DEVICE T error_bound_ray(int64_t n, const T* sdf, const T* t, T beta, T* each) {
    T depth = 0, error = 0, worst = 0;
    const T scale = 1 / (4 * beta * beta);
    for (int64_t i = 0; i + 1 < n; ++i) {
        const T delta = t[i + 1] - t[i];
        error += delta * delta * scale * exp(-surface_distance(sdf[i], sdf[i + 1], delta) / beta);
        const T bound = interval_bound(error, depth);
        if (each) each[i] = bound;
        worst = larger(worst, bound);
        depth += laplace_value(sdf[i], beta) * delta;
    }
    if (each && n > 0) each[n - 1] = 0;
    return worst;
}

// Whether the bound of a ray is at most epsilon; distance [n-1] holds its surface distances. E grows along the ray and R >= 0, so as long
// as E <= log(1 + epsilon) nothing else needs to be computed.
template <class T>
HOST_DEVICE bool bound_holds(int64_t n, const T* sdf, const T* t, const T* distance, T beta, T epsilon, T log_epsilon) {
    T depth = 0, error = 0;
    const T scale = 1 / (4 * beta * beta), inverse = 1 / beta;
    for (int64_t i = 0; i + 1 < n; ++i) {
        const T delta = t[i + 1] - t[i];
        error += delta * delta * scale * exp(-distance[i] * inverse);
        if (error > log_epsilon && interval_bound(error, depth) > epsilon) return false;
        depth += laplace_value(sdf[i], beta) * delta;
    }
    return true;
}

template <class T>
HOST_DEVICE T solve_beta_ray(int64_t n, const T* sdf, const T* t, T beta, T epsilon, T log_epsilon, int iterations, T* distance) {
    T squares = 0;
    for (int64_t i = 0; i + 1 < n; ++i) {
        const T delta = t[i + 1] - t[i];
        distance[i] = surface_distance(sdf[i], sdf[i + 1], delta);
        squares += delta * delta;
    }
    if (bound_holds(n, sdf, t, distance, beta, epsilon, log_epsilon)) return beta;
    T low = beta, high = larger(sqrt(squares / (4 * log_epsilon)), beta);
    for (int i = 0; i < iterations; ++i) {
        const T middle = (low + high) / 2;
        (bound_holds(n, sdf, t, distance, middle, epsilon, log_epsilon) ? high : low) = middle;
    }
    return high;
}

}  // namespace formfield
