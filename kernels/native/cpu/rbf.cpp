// rbf_encode: groups of points; values of the neighbours' functions (bodies/rbf.h), then the sums over channels (cpu/rbf_channels.h).
// Nothing of size points x neighbours x channels exists. Gradients of centres are added by the thread that owns the centre, points in
// order: no atomics, and the same bits for any number of threads.
#include "bodies/rbf.h"

#include <nanobind/nanobind.h>

#include <algorithm>
#include <vector>

#include "cpu/arrays.h"
#include "cpu/bindings.h"
#include "cpu/parallel.h"
#include "cpu/rbf_channels.h"

namespace formfield {
namespace {

constexpr int64_t GROUP = 1 << 14;  // points at a time: with K = 8 the buffers below take 5 MiB
constexpr int64_t GRAIN = 256;

template <class T>
struct RbfInputs {
    RbfSpec spec;
    const T *x, *centers, *shapes, *weights, *frequencies;
    const int32_t* ids;
    int channels;
    int64_t n;
    std::vector<float> turns;
};

template <class T>
RbfInputs<T> inputs_of(
    const Array<const T>& x, const Array<const T>& centers, const Array<const T>& shapes, const Array<const T>& weights,
    const Array<const int32_t>& ids, const MaybeArray<const T>& frequencies, int kernel, int flags
) {
    RbfInputs<T> in{};
    in.spec = {RbfKernel(kernel), int(shapes.shape(1)), int(ids.shape(1)), (flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0};
    in.x = x.data(), in.centers = centers.data(), in.shapes = shapes.data(), in.weights = weights.data();
    in.frequencies = data_or_null(frequencies);
    in.ids = ids.data();
    in.channels = int(weights.shape(1));
    in.n = int64_t(x.shape(0));
    if (in.frequencies)
        for (int c = 0; c < in.channels; ++c) in.turns.push_back(float(double(in.frequencies[c]) / 6.283185307179586));
    return in;
}

Channels<float> channels_of(const RbfInputs<float>& in, int64_t first, int64_t n) {
    return {{in.ids + first * in.spec.columns, in.spec.columns, in.spec.used(), in.weights,
             in.frequencies ? in.turns.data() : nullptr, in.channels, n}};
}
Channels<double> channels_of(const RbfInputs<double>& in, int64_t first, int64_t n) {
    return {in.ids + first * in.spec.columns, in.spec.columns, in.spec.used(), in.weights, in.frequencies, in.channels, n};
}

template <class T>
T part(T a, int) {
    return a;
}
template <class T>
T part(Dual<T> a, int which) {
    return which ? a.e : a.v;
}
template <class T>
void set_epsilon(T&, T) {}
template <class T>
void set_epsilon(Dual<T>& a, T e) {
    a.e = e;
}

template <int D, class S, class T>
void load_point(const RbfInputs<T>& in, const T* direction, int64_t i, S* x) {
    for (int a = 0; a < D; ++a) {
        x[a] = S(in.x[i * D + a]);
        if (direction) set_epsilon(x[a], direction[i * D + a]);
    }
}

// Random points find their neighbours' centres and shapes far apart in memory: ask for them a few points ahead.
template <int D, class T>
void prefetch_point(const RbfInputs<T>& in, int64_t i) {
    if (i >= in.n) return;
    for (int k = 0; k < in.spec.columns; ++k) {
        const int64_t id = in.ids[i * in.spec.columns + k];
        if (id < 0) continue;
        __builtin_prefetch(in.centers + id * D);
        __builtin_prefetch(in.shapes + id * in.spec.width);
    }
}

// p (and pdot, for duals) of points [first + begin, first + end), at [begin * used, ...)
template <int D, class S, class T>
void point_values(const RbfInputs<T>& in, const T* direction, int64_t first, int64_t begin, int64_t end, T* p, T* pdot) {
    const int K = in.spec.used();
    for (int64_t i = begin; i < end; ++i) {
        prefetch_point<D>(in, first + i + 4);
        S x[D], values[RBF_MAX_NEIGHBORS];
        load_point<D>(in, direction, first + i, x);
        rbf_values<D>(in.spec, x, in.centers, in.shapes, in.ids + (first + i) * in.spec.columns, values);
        for (int k = 0; k < K; ++k) {
            p[i * K + k] = part(values[k], 0);
            if (pdot) pdot[i * K + k] = part(values[k], 1);
        }
    }
}

template <int D, class T>
void encode(const RbfInputs<T>& in, T* out, int threads) {
    const int K = in.spec.used();
    std::vector<T> p(static_cast<size_t>(std::min(GROUP, in.n) * K));
    for (int64_t first = 0; first < in.n; first += GROUP) {
        const int64_t n = std::min(GROUP, in.n - first);
        const Channels<T> channels = channels_of(in, first, n);
        parallel_ranges(threads, n, GRAIN, [&](int64_t begin, int64_t end) {
            point_values<D, T, T>(in, nullptr, first, begin, end, p.data(), nullptr);
            channels.forward(p.data(), nullptr, begin, end, out + first * in.channels);
        });
    }
}

template <class T>
struct RbfAdjoints {
    T *grad, *x, *centers, *shapes, *weights;  // null: not wanted. grad only for the second backward
};

// First backward (S = T, no direction), or the derivative of the first backward along `direction` (S = Dual<T>).
template <int D, class S, class T>
void adjoint(const RbfInputs<T>& in, const T* grad, const T* direction, const RbfAdjoints<T>& out, int threads) {
    const int K = in.spec.used(), columns = in.spec.columns, width = in.spec.width, F = in.channels, pair = D + width;
    const size_t group = static_cast<size_t>(std::min(GROUP, in.n));
    const bool values_wanted = out.x || out.centers || out.shapes, pairs_wanted = out.centers || out.shapes;
    std::vector<T> p(group * K), pdot(direction ? group * K : 0), dp(values_wanted ? group * K : 0),
        dpdot(values_wanted && direction ? group * K : 0), pairs(pairs_wanted ? group * columns * pair : 0);
    T* const along = direction ? pdot.data() : nullptr;
    const uint32_t owners = uint32_t(std::max(threads, 1));
    for (int64_t first = 0; first < in.n; first += GROUP) {
        const int64_t n = std::min(GROUP, in.n - first);
        const Channels<T> channels = channels_of(in, first, n);
        const T* g = grad + first * F;
        parallel_ranges(threads, n, GRAIN, [&](int64_t begin, int64_t end) {
            point_values<D, S, T>(in, direction, first, begin, end, p.data(), along);
            if (out.grad) channels.forward(p.data(), along, begin, end, out.grad + first * F);
            if (!values_wanted) return;
            channels.to_values(p.data(), along, g, begin, end, dp.data(), dpdot.data());
            for (int64_t i = begin; i < end; ++i) {
                S x[D], by_value[RBF_MAX_NEIGHBORS], by_x[D];
                load_point<D>(in, direction, first + i, x);
                for (int k = 0; k < K; ++k) {
                    by_value[k] = S(dp[i * K + k]);
                    if (direction) set_epsilon(by_value[k], dpdot[i * K + k]);
                }
                const auto keep = [&](int k, const S* by_center, const S* by_shape) {
                    if (!pairs_wanted) return;
                    T* to = pairs.data() + (i * columns + k) * pair;
                    for (int a = 0; a < D; ++a) to[a] = result_of(by_center[a]);
                    for (int a = 0; a < width; ++a) to[D + a] = by_shape ? result_of(by_shape[a]) : T(0);
                };
                rbf_values_backward<D>(in.spec, x, in.centers, in.shapes, in.ids + (first + i) * columns, by_value, by_x, keep);
                if (out.x)
                    for (int a = 0; a < D; ++a) out.x[(first + i) * D + a] = result_of(by_x[a]);
            }
        });
        if (!out.weights && !pairs_wanted) continue;
        parallel_tasks(threads, owners, [&](int64_t owner, int) {
            if (out.weights) channels.to_weights(p.data(), along, g, uint32_t(owner), owners, out.weights);
            for (int64_t i = 0; pairs_wanted && i < n; ++i) {
                for (int k = 0; k < columns; ++k) {
                    const int32_t id = in.ids[(first + i) * columns + k];
                    if (id < 0 || uint32_t(id) % owners != uint32_t(owner)) continue;
                    const T* from = pairs.data() + (i * columns + k) * pair;
                    for (int a = 0; out.centers && a < D; ++a) out.centers[int64_t(id) * D + a] += from[a];
                    for (int a = 0; out.shapes && a < width; ++a) out.shapes[int64_t(id) * width + a] += from[D + a];
                }
            }
        });
    }
}

template <class T>
void forward(
    Array<const T> x, Array<const T> centers, Array<const T> shapes, Array<const T> weights, Array<const int32_t> ids,
    MaybeArray<const T> frequencies, int kernel, int flags, Array<T> out, int threads
) {
    const auto in = inputs_of(x, centers, shapes, weights, ids, frequencies, kernel, flags);
    T* to = out.data();
    const bool flat = x.shape(1) == 2;
    nb::gil_scoped_release release;
    flat ? encode<2>(in, to, threads) : encode<3>(in, to, threads);
}

template <class T>
void backward(
    Array<const T> x, Array<const T> centers, Array<const T> shapes, Array<const T> weights, Array<const int32_t> ids,
    MaybeArray<const T> frequencies, int kernel, int flags, Array<const T> grad, MaybeArray<const T> direction, MaybeArray<T> by_grad,
    MaybeArray<T> by_x, MaybeArray<T> by_centers, MaybeArray<T> by_shapes, MaybeArray<T> by_weights, int threads
) {
    const auto in = inputs_of(x, centers, shapes, weights, ids, frequencies, kernel, flags);
    const RbfAdjoints<T> out{
        data_or_null(by_grad), data_or_null(by_x), data_or_null(by_centers), data_or_null(by_shapes), data_or_null(by_weights)
    };
    const T *g = grad.data(), *v = data_or_null(direction);
    const bool flat = x.shape(1) == 2;
    nb::gil_scoped_release release;
    if (v)
        flat ? adjoint<2, Dual<T>>(in, g, v, out, threads) : adjoint<3, Dual<T>>(in, g, v, out, threads);
    else
        flat ? adjoint<2, T>(in, g, v, out, threads) : adjoint<3, T>(in, g, v, out, threads);
}

const Bindings bindings([](nb::module_& m) {
    both(
        m, "rbf_forward", &forward<float>, &forward<double>, "x"_a, "centers"_a, "shapes"_a, "weights"_a, "neighbors"_a,
        "frequencies"_a.none(), "kernel"_a, "flags"_a, "out"_a, "threads"_a, "kernels/native/cpu/rbf.cpp"
    );
    both(
        m, "rbf_backward", &backward<float>, &backward<double>, "x"_a, "centers"_a, "shapes"_a, "weights"_a, "neighbors"_a,
        "frequencies"_a.none(), "kernel"_a, "flags"_a, "grad"_a, "direction"_a.none(), "by_grad"_a.none(), "by_x"_a.none(),
        "by_centers"_a.none(), "by_shapes"_a.none(), "by_weights"_a.none(), "threads"_a, "kernels/native/cpu/rbf.cpp"
    );
});

}  // namespace
}  // namespace formfield
