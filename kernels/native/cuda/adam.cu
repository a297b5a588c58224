// adam_step: one thread per row, or per AT_ONCE parameters where all have one count of steps. WIDTH: parameters of a row, 0 if it is only
// known at run time. AT_ONCE: 4, or 1 where a tensor does not begin at a multiple of 16 bytes.
#include "cuda/thread.h"

#include "bodies/entry.h"

namespace formfield {

#if !defined(__CUDACC_RTC__)
using std::expm1;
#endif

// The numbers of a step, rounded where they are used. `log1`, `log2`: logarithms of the betas, which make 1 - beta^t exact for small t.
struct AdamStep {
    REAL rate, beta1, rest1, beta2, rest2, eps, decay;

    DEVICE AdamStep(int32_t t, double lr, double beta1, double rest1, double beta2, double rest2, double log1, double log2, double eps,
                    double decay)
        : rate(REAL(lr) * sqrt(-expm1(REAL(log2) * REAL(t))) / -expm1(REAL(log1) * REAL(t))), beta1(REAL(beta1)), rest1(REAL(rest1)),
          beta2(REAL(beta2)), rest2(REAL(rest2)), eps(REAL(eps)), decay(REAL(decay)) {}
    DEVICE void operator()(REAL& param, REAL grad, REAL& m, REAL& v) const {
        const REAL gradient = grad + decay * param;
        m = beta1 * m + rest1 * gradient;
        v = beta2 * v + rest2 * gradient * gradient;
        param -= rate * m / (sqrt(v) + eps);
    }
};

template <int N>
DEVICE void move_all(const AdamStep& step, int64_t i, REAL* param, REAL* grad, REAL* m, REAL* v, bool clear) {
    using Some = Entry<REAL, N>;
    Some some[4] = {reinterpret_cast<Some*>(param)[i], reinterpret_cast<Some*>(grad)[i], reinterpret_cast<Some*>(m)[i],
                    reinterpret_cast<Some*>(v)[i]};
    for (int k = 0; k < N; ++k) step(some[0].v[k], some[1].v[k], some[2].v[k], some[3].v[k]);
    reinterpret_cast<Some*>(param)[i] = some[0];
    reinterpret_cast<Some*>(m)[i] = some[2];
    reinterpret_cast<Some*>(v)[i] = some[3];
    if (clear) reinterpret_cast<Some*>(grad)[i] = {};
}

// steps: one count for all, already raised. `rest1` is 1 - beta1; with `clear` the gradient is 0 afterwards.
KERNEL adam_all(int64_t n, REAL* param, REAL* grad, REAL* m, REAL* v, const int32_t* steps, double lr, double beta1, double rest1,
                double beta2, double rest2, double log1, double log2, double eps, double decay, int64_t clear) {
    const int64_t i = thread_x();
    if (i * AT_ONCE >= n) return;
    const AdamStep step(steps[0], lr, beta1, rest1, beta2, rest2, log1, log2, eps, decay);
    if (i * AT_ONCE + AT_ONCE <= n)
        move_all<AT_ONCE>(step, i, param, grad, m, v, clear != 0);
    else
        for (int64_t k = i * AT_ONCE; k < n; ++k) move_all<1>(step, k, param, grad, m, v, clear != 0);
}

// steps: a count per row, raised here where the row's gradient is not 0 everywhere. Other rows are left alone.
KERNEL adam_rows(int64_t rows, int64_t width, REAL* param, REAL* grad, REAL* m, REAL* v, int32_t* steps, double lr, double beta1,
                 double rest1, double beta2, double rest2, double log1, double log2, double eps, double decay, int64_t clear) {
    const int64_t row = thread_x();
    if (row >= rows) return;
    bool touched = false;
    if constexpr (WIDTH > 0) {
        const Entry<REAL, (WIDTH > 0 ? WIDTH : 1)> g = reinterpret_cast<const Entry<REAL, (WIDTH > 0 ? WIDTH : 1)>*>(grad)[row];
        for (int k = 0; k < WIDTH; ++k) touched |= g[k] != 0;
    } else {
        for (int64_t k = row * width; k < (row + 1) * width; ++k) touched |= grad[k] != 0;
    }
    if (!touched) return;
    const int32_t t = steps[row] + 1;
    steps[row] = t;
    const AdamStep step(t, lr, beta1, rest1, beta2, rest2, log1, log2, eps, decay);
    if constexpr (WIDTH > 0)
        move_all<(WIDTH > 0 ? WIDTH : 1)>(step, row, param, grad, m, v, clear != 0);
    else
        for (int64_t k = row * width; k < (row + 1) * width; ++k) move_all<1>(step, k, param, grad, m, v, clear != 0);
}

}  // namespace formfield
