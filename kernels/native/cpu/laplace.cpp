// laplace_density and the error bound. The gradient by a shared beta is summed per piece of fixed size, then over the pieces in order, so
// that it does not depend on the number of threads.
#include "bodies/laplace.h"

#include <nanobind/nanobind.h>

#include <vector>

#include "cpu/arrays.h"
#include "cpu/bindings.h"
#include "cpu/isa.h"
#include "cpu/laplace_simd.h"
#include "cpu/parallel.h"

namespace formfield {
namespace {

constexpr int64_t POINT_GRAIN = 8192;

const LaplaceSimd& laplace_simd() {
    switch (isa()) {
#if defined(FORMFIELD_HAVE_avx512)
        case Isa::avx512: return isa_avx512::laplace_simd;
#endif
#if defined(FORMFIELD_HAVE_avx2)
        case Isa::avx2: return isa_avx2::laplace_simd;
#endif
        default: return isa_baseline::laplace_simd;
    }
}

// One beta for all points; returns the sum of grad * d density / d beta.
void forward_range(const float* sdf, float beta, int64_t n, float* density) { laplace_simd().forward(sdf, beta, n, density); }
void forward_range(const double* sdf, double beta, int64_t n, double* density) {
    for (int64_t i = 0; i < n; ++i) density[i] = laplace_value(sdf[i], beta);
}
double backward_range(const float* sdf, float beta, const float* grad, int64_t n, float* by_sdf) {
    return laplace_simd().backward(sdf, beta, grad, n, by_sdf);
}
double backward_range(const double* sdf, double beta, const double* grad, int64_t n, double* by_sdf) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) {
        const LaplaceDensity<double> d = laplace_density(sdf[i], beta);
        if (by_sdf) by_sdf[i] = grad[i] * d.by_sdf;
        sum += grad[i] * d.by_beta;
    }
    return sum;
}

template <class T>
void forward(Array<const T> sdf, Array<const T> beta, Array<T> density, int threads) {
    const T *f = sdf.data(), *b = beta.data();
    const int64_t n = int64_t(sdf.shape(0));
    const bool shared = beta.size() == 1;
    T* out = density.data();
    nb::gil_scoped_release release;
    parallel_ranges(threads, n, POINT_GRAIN, [&](int64_t begin, int64_t end) {
        if (shared) return forward_range(f + begin, *b, end - begin, out + begin);
        for (int64_t i = begin; i < end; ++i) out[i] = laplace_value(f[i], b[i]);
    });
}

template <class T>
void backward(
    Array<const T> sdf, Array<const T> beta, Array<const T> grad, MaybeArray<T> grad_sdf, MaybeArray<T> grad_beta, int threads
) {
    const T *f = sdf.data(), *b = beta.data(), *g = grad.data();
    const int64_t n = int64_t(sdf.shape(0));
    const bool shared = beta.size() == 1;
    T *gs = data_or_null(grad_sdf), *gb = data_or_null(grad_beta);
    nb::gil_scoped_release release;
    std::vector<double> sums(size_t((n + POINT_GRAIN - 1) / POINT_GRAIN), 0.0);
    parallel_ranges(threads, n, POINT_GRAIN, [&](int64_t begin, int64_t end) {
        if (shared) {
            sums[size_t(begin / POINT_GRAIN)] = backward_range(f + begin, *b, g + begin, end - begin, gs ? gs + begin : nullptr);
            return;
        }
        for (int64_t i = begin; i < end; ++i) {
            const LaplaceDensity<T> d = laplace_density(f[i], b[i]);
            if (gs) gs[i] = g[i] * d.by_sdf;
            if (gb) gb[i] = g[i] * d.by_beta;
        }
    });
    if (!gb || !shared) return;
    double sum = 0;
    for (double s : sums) sum += s;
    gb[0] = T(sum);
}

template <class T>
void bound(
    Array<const T> sdf, Array<const T> t, Array<const int64_t> offsets, Array<const T> beta, MaybeArray<T> per_ray,
    MaybeArray<T> per_sample, int threads
) {
    const T *f = sdf.data(), *x = t.data(), *b = beta.data();
    const int64_t *first = offsets.data(), rays = int64_t(offsets.shape(0)) - 1, stride = beta.size() == 1 ? 0 : 1;
    T *ray = data_or_null(per_ray), *each = data_or_null(per_sample);
    nb::gil_scoped_release release;
    parallel_ranges(threads, rays, RAY_GRAIN, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
            const int64_t s = first[r];
            const T worst = error_bound_ray(first[r + 1] - s, f + s, x + s, b[r * stride], each ? each + s : nullptr);
            if (ray) ray[r] = worst;
        }
    });
}

template <class T>
void solve(
    Array<const T> sdf, Array<const T> t, Array<const int64_t> offsets, Array<const T> beta, double epsilon, int iterations, Array<T> out,
    int threads
) {
    const T *f = sdf.data(), *x = t.data(), *b = beta.data();
    const int64_t *first = offsets.data(), rays = int64_t(offsets.shape(0)) - 1, stride = beta.size() == 1 ? 0 : 1;
    T* result = out.data();
    const T log_epsilon = T(std::log1p(epsilon));
    nb::gil_scoped_release release;
    each_ray_with_scratch<T>(first, rays, threads, [&](int64_t r, int64_t s, int64_t n, T* distance) {
        result[r] = solve_beta_ray(n, f + s, x + s, b[r * stride], T(epsilon), log_epsilon, iterations, distance);
    });
}

const Bindings bindings([](nb::module_& m) {
    both(
        m, "laplace_forward", &forward<float>, &forward<double>, "sdf"_a, "beta"_a, "density"_a, "threads"_a,
        "kernels/native/cpu/laplace.cpp"
    );
    both(
        m, "laplace_backward", &backward<float>, &backward<double>, "sdf"_a, "beta"_a, "grad"_a, "grad_sdf"_a.none(), "grad_beta"_a.none(),
        "threads"_a, "kernels/native/cpu/laplace.cpp"
    );
    both(
        m, "error_bound", &bound<float>, &bound<double>, "sdf"_a, "t"_a, "offsets"_a, "beta"_a, "per_ray"_a.none(), "per_sample"_a.none(),
        "threads"_a, "kernels/native/cpu/laplace.cpp"
    );
    both(
        m, "solve_beta", &solve<float>, &solve<double>, "sdf"_a, "t"_a, "offsets"_a, "beta"_a, "epsilon"_a, "iterations"_a, "result"_a,
        "threads"_a, "kernels/native/cpu/laplace.cpp"
    );
});

}  // namespace
}  // namespace formfield
