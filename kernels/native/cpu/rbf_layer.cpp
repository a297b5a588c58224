// rbf_layer: tiles over threads. Parameter gradients are summed per piece of the batch, then over the pieces in order: the pieces do not
// depend on the number of threads.
#include <nanobind/nanobind.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "cpu/arrays.h"
#include "cpu/bindings.h"
#include "cpu/isa.h"
#include "cpu/parallel.h"
#include "cpu/rbf_layer_simd.h"
#include "cpu/simd/rbf_layer_tile.h"

namespace formfield {
namespace {

// float64, for gradient checks: vectors of one number
struct Doubles {
    using T = double;
    using V = double;
    static constexpr int LANES = 1;
    static double splat(double s) { return s; }
    static double exp_negative(double x) { return std::exp(x); }
    static double sum(double v) { return v; }
};

const LayerSimd<double>& layer_simd(double) {
    static const LayerSimd<double> plain = {
        RbfLayerTile<Doubles>::scratch_size, RbfLayerTile<Doubles>::forward, RbfLayerTile<Doubles>::backward
    };
    return plain;
}
const LayerSimd<float>& layer_simd(float) {
    switch (isa()) {
#if defined(FORMFIELD_HAVE_avx512)
        case Isa::avx512: return isa_avx512::rbf_layer_simd;
#endif
#if defined(FORMFIELD_HAVE_avx2)
        case Isa::avx2: return isa_avx2::rbf_layer_simd;
#endif
        default: return isa_baseline::rbf_layer_simd;
    }
}

constexpr int64_t PIECE = 4096;
constexpr int64_t MAX_PIECES = 64;  // more samples than that make longer pieces: bounds the memory of the partial sums

template <class T>
LayerJob<T> job_of(
    const Array<const T>& x, const Array<const T>& centers, const std::vector<T>& betas, const Array<const T>& weight, const T* bias
) {
    return {int(x.shape(1)), int(centers.shape(0)), int(weight.shape(0)), centers.data(), betas.data(), weight.data(), bias,
            int64_t(x.shape(0))};
}

template <class T>
std::vector<T> exponentials(const Array<const T>& logs) {
    std::vector<T> out(logs.size());
    for (size_t i = 0; i < out.size(); ++i) out[i] = std::exp(logs.data()[i]);
    return out;
}

// f(piece, begin, end, scratch of the worker) over fixed pieces of [0, n)
template <class T, class F>
void each_piece(const LayerJob<T>& job, int threads, F&& f) {
    const int64_t rounded = (job.n + MAX_PIECES - 1) / MAX_PIECES, length = std::max(PIECE, (rounded + 63) / 64 * 64);
    const int64_t size = (layer_simd(T{}).scratch(job) + 15) / 16 * 16;
    std::vector<T> memory(static_cast<size_t>(size * std::max(threads, 1) + 16));
    const uintptr_t address = reinterpret_cast<uintptr_t>(memory.data());
    T* aligned = reinterpret_cast<T*>((address + 63) / 64 * 64);
    parallel_tasks(threads, (job.n + length - 1) / length, [&](int64_t piece, int worker) {
        f(piece, piece * length, std::min(job.n, (piece + 1) * length), aligned + size * worker);
    });
}

template <class T>
void forward(
    Array<const T> x, Array<const T> centers, Array<const T> log_betas, Array<const T> weight, Array<const T> bias, Array<T> out, int threads
) {
    const std::vector<T> betas = exponentials<T>(log_betas);
    const LayerJob<T> job = job_of<T>(x, centers, betas, weight, bias.data());
    const T* in = x.data();
    T* y = out.data();
    nb::gil_scoped_release release;
    each_piece(job, threads, [&](int64_t, int64_t begin, int64_t end, T* scratch) {
        layer_simd(T{}).forward(job, in, nullptr, begin, end, y, scratch);
    });
}

template <class T>
void backward(
    Array<const T> x, Array<const T> centers, Array<const T> log_betas, Array<const T> weight, Array<const T> grad,
    MaybeArray<const T> direction, MaybeArray<T> by_grad, MaybeArray<T> by_x, MaybeArray<T> parameters, int threads
) {
    const std::vector<T> betas = exponentials<T>(log_betas);
    const LayerJob<T> job = job_of<T>(x, centers, betas, weight, nullptr);
    const T *in = x.data(), *dy = grad.data(), *v = data_or_null(direction);
    T *dg = data_or_null(by_grad), *dx = data_or_null(by_x), *sums = data_or_null(parameters);
    nb::gil_scoped_release release;
    const int64_t count = layer_parameters(job);
    std::vector<T> partial(static_cast<size_t>(sums ? count * std::min(MAX_PIECES, (job.n + PIECE - 1) / PIECE) : 0));
    each_piece(job, threads, [&](int64_t piece, int64_t begin, int64_t end, T* scratch) {
        const LayerSimd<T>& simd = layer_simd(T{});
        if (dg) simd.forward(job, in, v, begin, end, dg, scratch);
        if (dx || sums) simd.backward(job, in, v, dy, begin, end, dx, sums ? partial.data() + piece * count : nullptr, scratch);
    });
    if (sums)
        for (size_t i = 0; i < partial.size(); ++i) sums[i % size_t(count)] += partial[i];
}

const Bindings bindings([](nb::module_& m) {
    both(
        m, "rbf_layer_forward", &forward<float>, &forward<double>, "features"_a, "centers"_a, "log_betas"_a, "weight"_a, "bias"_a, "out"_a,
        "threads"_a, "kernels/native/cpu/rbf_layer.cpp"
    );
    both(
        m, "rbf_layer_backward", &backward<float>, &backward<double>, "features"_a, "centers"_a, "log_betas"_a, "weight"_a, "grad"_a,
        "direction"_a.none(), "by_grad"_a.none(), "by_features"_a.none(), "sums"_a.none(), "threads"_a, "kernels/native/cpu/rbf_layer.cpp"
    );
});

}  // namespace
}  // namespace formfield
