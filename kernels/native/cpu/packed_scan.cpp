// Running sums and products of packed data, and searches in it: chunk after chunk, each given by its start and its length.
#include <nanobind/nanobind.h>

#include <algorithm>

#include "cpu/arrays.h"
#include "cpu/bindings.h"
#include "cpu/parallel.h"

namespace formfield {
namespace {

struct Chunks {
    const int64_t *starts, *counts;
    int64_t n, there;
    bool fits(int64_t c) const { return starts[c] >= 0 && counts[c] >= 0 && starts[c] + counts[c] <= there; }
};

template <class F>
void each_chunk(const Chunks& chunks, int threads, F&& f) {
    parallel_ranges(threads, chunks.n, RAY_GRAIN, [&](int64_t begin, int64_t end) {
        for (int64_t c = begin; c < end; ++c)
            if (chunks.fits(c)) f(chunks.starts[c], chunks.counts[c]);
    });
}

// Running sum or product, in double precision; exclusive of the element itself or inclusive; from the front or from the back.
template <class T>
void scan(
    Array<const int64_t> starts, Array<const int64_t> counts, Array<const T> in, Array<T> out, bool product, bool exclusive, bool reverse,
    int threads
) {
    const Chunks chunks{starts.data(), counts.data(), int64_t(starts.shape(0)), int64_t(in.shape(0))};
    const T* x = in.data();
    T* y = out.data();
    nb::gil_scoped_release release;
    each_chunk(chunks, threads, [&](int64_t start, int64_t n) {
        double running = product ? 1 : 0;
        for (int64_t k = 0; k < n; ++k) {
            const int64_t i = reverse ? start + n - 1 - k : start + k;
            const double value = x[i];
            if (exclusive) y[i] = T(running);
            running = product ? running * value : running + value;
            if (!exclusive) y[i] = T(running);
        }
    });
}

// Gradient of a running product, exact at zeros: what is before an element times what follows it, R_k = g_k + x_{k+1} R_{k+1}.
template <class T>
void product_backward(
    Array<const int64_t> starts, Array<const int64_t> counts, Array<const T> in, Array<const T> grad, Array<T> out, bool exclusive,
    int threads
) {
    const Chunks chunks{starts.data(), counts.data(), int64_t(starts.shape(0)), int64_t(in.shape(0))};
    const T *x = in.data(), *g = grad.data();
    T* dx = out.data();
    nb::gil_scoped_release release;
    each_chunk(chunks, threads, [&](int64_t start, int64_t n) {
        double behind = 0;
        for (int64_t k = n - 1; k >= 0; --k) {
            const int64_t i = start + k;
            if (exclusive) {
                if (k + 1 < n) behind = g[i + 1] + x[i + 1] * behind;
            } else {
                behind = g[i] + (k + 1 < n ? x[i + 1] * behind : 0);
            }
            dx[i] = T(behind);
        }
        double before = 1;
        for (int64_t i = start; i < start + n; ++i) {
            dx[i] = T(before * dx[i]);
            before *= x[i];
        }
    });
}

// For every value: the first place in [first, last) of its row's sorted numbers that holds a greater one, or last.
template <class T>
void upper_bound(
    Array<const T> values, Array<const int64_t> rows, Array<const T> sorted, Array<const int64_t> firsts, Array<const int64_t> lasts,
    Array<int64_t> out, int threads
) {
    const T *v = values.data(), *s = sorted.data();
    const int64_t *row = rows.data(), *first = firsts.data(), *last = lasts.data(), n = int64_t(values.shape(0));
    int64_t* place = out.data();
    nb::gil_scoped_release release;
    parallel_ranges(threads, n, 4096, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) place[i] = std::upper_bound(s + first[row[i]], s + last[row[i]], v[i]) - s;
    });
}

const Bindings bindings([](nb::module_& m) {
    both(
        m, "packed_scan", &scan<float>, &scan<double>, "starts"_a, "counts"_a, "x"_a, "out"_a, "product"_a, "exclusive"_a, "reverse"_a,
        "threads"_a, "kernels/native/cpu/packed_scan.cpp"
    );
    both(
        m, "packed_product_backward", &product_backward<float>, &product_backward<double>, "starts"_a, "counts"_a, "x"_a, "grad"_a, "out"_a,
        "exclusive"_a, "threads"_a, "kernels/native/cpu/packed_scan.cpp"
    );
    both(
        m, "packed_upper_bound", &upper_bound<float>, &upper_bound<double>, "values"_a, "rows"_a, "sorted_values"_a, "firsts"_a, "lasts"_a,
        "out"_a, "threads"_a, "kernels/native/cpu/packed_scan.cpp"
    );
});

}  // namespace
}  // namespace formfield
