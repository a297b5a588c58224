// sample_pdf: rays over threads.
#include "bodies/sampling.h"

#include <nanobind/nanobind.h>

#include <limits>

#include "cpu/arrays.h"
#include "cpu/bindings.h"
#include "cpu/parallel.h"

namespace formfield {
namespace {

template <class T>
void sample_pdf(
    Array<const T> bins, Array<const T> weights, Array<const T> u, Array<const int64_t> offsets, Array<T> out, int threads
) {
    const T *x = bins.data(), *w = weights.data(), *uniform = u.data();
    const int64_t *first = offsets.data(), rays = int64_t(u.shape(0)), samples = int64_t(u.shape(1));
    T* result = out.data();
    nb::gil_scoped_release release;
    each_ray_with_scratch<T>(first, rays, threads, [&](int64_t r, int64_t s, int64_t n, T* cdf) {
        T* to = result + r * samples;
        if (n == 0) {
            std::fill(to, to + samples, std::numeric_limits<T>::quiet_NaN());
            return;
        }
        const bool flat = accumulate_pdf(n, x + s, w + s, cdf);
        for (int64_t i = 0; i < samples; ++i) to[i] = invert_cdf(n, x + s, w + s, cdf, flat, uniform[r * samples + i]);
    });
}

const Bindings bindings([](nb::module_& m) {
    both(
        m, "sample_pdf", &sample_pdf<float>, &sample_pdf<double>, "bins"_a, "weights"_a, "u"_a, "offsets"_a, "samples"_a, "threads"_a,
        "kernels/native/cpu/sampling.cpp"
    );
});

}  // namespace
}  // namespace formfield
