// adam_step: one pass over the parameters. Plain loops that the compiler vectorises; the step is bound by memory.
#include <nanobind/nanobind.h>

#include <cmath>

#include "cpu/arrays.h"
#include "cpu/parallel.h"

namespace formfield {
namespace {

constexpr int64_t GRAIN = 16384;

template <class T>
struct Rule {
    T beta1, beta2, eps, decay;
    void operator()(T* w, const T* g, T* m, T* v, int64_t count, T rate) const {
        for (int64_t i = 0; i < count; ++i) {
            const T gradient = g[i] + decay * w[i];
            m[i] = beta1 * m[i] + (1 - beta1) * gradient;
            v[i] = beta2 * v[i] + (1 - beta2) * gradient * gradient;
            w[i] -= rate * m[i] / (std::sqrt(v[i]) + eps);
        }
    }
};

double rate_at(int32_t t, double lr, double beta1, double beta2) { return lr * std::sqrt(1 - std::pow(beta2, t)) / (1 - std::pow(beta1, t)); }

template <class T>
void adam_step(const Array<T>& param, const Array<T>& grad, const Array<T>& exp_avg, const Array<T>& exp_avg_sq,
               const Array<int32_t>& steps, double lr, double beta1, double beta2, double eps, double decay, bool skip_zero, bool zero_grad,
               int threads) {
    const int64_t size = int64_t(param.size()), rows = param.ndim() ? int64_t(param.shape(0)) : 0;
    if (!rows || !size) {
        if (!skip_zero) ++*steps.data();
        return;
    }
    const int64_t width = size / rows;
    T *w = param.data(), *g = grad.data(), *m = exp_avg.data(), *v = exp_avg_sq.data();
    int32_t* count = steps.data();
    const Rule<T> rule{T(beta1), T(beta2), T(eps), T(decay)};
    nb::gil_scoped_release release;
    if (!skip_zero) {
        const T rate = T(rate_at(++*count, lr, beta1, beta2));
        parallel_ranges(threads, size, GRAIN, [&](int64_t begin, int64_t end) {
            rule(w + begin, g + begin, m + begin, v + begin, end - begin, rate);
            if (zero_grad) std::fill(g + begin, g + end, T(0));
        });
        return;
    }
    // the correction of the two averages is 1 to the last bit long before the end of this list
    std::vector<T> rates;
    for (int32_t t = 0; t < 4096; ++t) rates.push_back(t ? T(rate_at(t, lr, beta1, beta2)) : T(0));
    parallel_ranges(threads, rows, std::max<int64_t>(1, GRAIN / width), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
            T* gradient = g + row * width;
            bool touched = false;
            for (int64_t i = 0; i < width; ++i) touched |= gradient[i] != 0;
            if (!touched) continue;
            const int32_t t = ++count[row];
            const T rate = t < 4096 ? rates[size_t(t)] : T(rate_at(t, lr, beta1, beta2));
            rule(w + row * width, gradient, m + row * width, v + row * width, width, rate);
            if (zero_grad) std::fill(gradient, gradient + width, T(0));
        }
    });
}

}  // namespace

void register_adam(nb::module_& m) {
    m.def("adam_step", adam_step<float>);
    m.def("adam_step", adam_step<double>);
}

}  // namespace formfield
