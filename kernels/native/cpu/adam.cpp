// adam_step: one pass over the parameters; bound by memory.
#include "cpu/adam.h"

#include <nanobind/nanobind.h>

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "cpu/arrays.h"
#include "cpu/bindings.h"
#include "cpu/parallel.h"

namespace formfield {
namespace {

constexpr int64_t GRAIN = 16384;

const AdamSimd& simd() {
    switch (isa()) {
#if defined(FORMFIELD_HAVE_avx512)
        case Isa::avx512: return isa_avx512::adam_simd;
#endif
#if defined(FORMFIELD_HAVE_avx2)
        case Isa::avx2: return isa_avx2::adam_simd;
#endif
        default: return isa_baseline::adam_simd;
    }
}

double root(double x) { return std::sqrt(x); }

// lr * sqrt(1 - beta2^t) / (1 - beta1^t) for t = 0 .. until the correction is 1 in double precision.
std::vector<double> rates_of(double lr, double beta1, double beta2) {
    std::vector<double> rates{0.0};
    double power1 = beta1, power2 = beta2;
    while ((power1 > 1e-17 || power2 > 1e-17) && rates.size() < (1u << 22)) {
        rates.push_back(lr * std::sqrt(1 - power2) / (1 - power1));
        power1 *= beta1, power2 *= beta2;
    }
    rates.push_back(lr);
    return rates;
}

template <class T>
void adam_step(const Array<T>& param, const Array<T>& grad, const Array<T>& exp_avg, const Array<T>& exp_avg_sq,
               const Array<int32_t>& steps, double lr, double beta1, double beta2, double eps, double decay, bool skip_zero, bool clear,
               int threads) {
    const int64_t size = int64_t(param.size()), rows = param.ndim() ? int64_t(param.shape(0)) : 0;
    T *w = param.data(), *g = grad.data(), *m = exp_avg.data(), *v = exp_avg_sq.data();
    int32_t* count = steps.data();
    const AdamRule<T> rule{T(beta1), T(beta2), T(eps), T(decay)};
    nb::gil_scoped_release release;
    if (!skip_zero) {
        const int32_t t = ++*count;
        const T rate = T(lr * std::sqrt(1 - std::pow(beta2, t)) / (1 - std::pow(beta1, t)));
        parallel_ranges(threads, size, GRAIN, [&](int64_t begin, int64_t end) {
            if constexpr (std::is_same_v<T, float>)
                simd().every(rule, w + begin, g + begin, m + begin, v + begin, end - begin, rate, clear);
            else
                for (int64_t i = begin; i < end; ++i) {
                    rule.update(w + i, g + i, m + i, v + i, rate, root);
                    if (clear) g[i] = 0;
                }
        });
        return;
    }
    if (!size) return;
    const int64_t width = size / rows;
    const std::vector<double> exact = rates_of(lr, beta1, beta2);
    const std::vector<T> rates(exact.begin(), exact.end());
    const int32_t last = int32_t(rates.size()) - 1;
    parallel_ranges(threads, rows, std::max<int64_t>(1, GRAIN / width), [&](int64_t begin, int64_t end) {
        int64_t row = begin;
        if constexpr (std::is_same_v<T, float>)
            row += simd().touched_rows(rule, w + begin * width, g + begin * width, m + begin * width, v + begin * width, count + begin,
                                       end - begin, int(std::min<int64_t>(width, 1 << 20)), rates.data(), last, clear);
        for (; row < end; ++row) {
            bool touched = false;
            for (int64_t i = row * width; i < (row + 1) * width; ++i) touched |= g[i] != 0;
            if (!touched) continue;
            const T rate = rates[size_t(std::min(++count[row], last))];
            for (int64_t i = row * width; i < (row + 1) * width; ++i) {
                rule.update(w + i, g + i, m + i, v + i, rate, [](T x) { return T(std::sqrt(x)); });
                if (clear) g[i] = 0;
            }
        }
    });
}

const Bindings bindings([](nb::module_& m) {
    both(
        m, "adam_step", &adam_step<float>, &adam_step<double>, "param"_a, "grad"_a, "exp_avg"_a, "exp_avg_sq"_a, "steps"_a, "lr"_a,
        "beta1"_a, "beta2"_a, "eps"_a, "weight_decay"_a, "skip_zero"_a, "clear"_a, "threads"_a, "kernels/native/cpu/adam.cpp"
    );
});

}  // namespace
}  // namespace formfield
