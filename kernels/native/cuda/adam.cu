// adam_step: one thread per row of `width` parameters.
#include "cuda/thread.h"

namespace formfield {

#if !defined(__CUDACC_RTC__)
using std::expm1;
#endif

// steps: one count for all, already raised, or (skip) one per row, raised here. Logarithms of the betas make 1 - beta^t exact for small t.
KERNEL adam_rows(int64_t rows, int64_t width, REAL* param, const REAL* grad, REAL* m, REAL* v, int32_t* steps, double lr, double beta1,
                 double beta2, double log1, double log2, double eps, double decay, int64_t skip) {
    const int64_t row = thread_x();
    if (row >= rows) return;
    const REAL* g = grad + row * width;
    if (skip) {
        bool touched = false;
        for (int64_t k = 0; k < width; ++k) touched |= g[k] != 0;
        if (!touched) return;
    }
    const int32_t t = skip ? ++steps[row] : steps[0];
    const REAL rate = REAL(lr) * sqrt(-expm1(REAL(log2) * REAL(t))) / -expm1(REAL(log1) * REAL(t));
    for (int64_t k = 0; k < width; ++k) {
        const int64_t i = row * width + k;
        const REAL gradient = g[k] + REAL(decay) * param[i];
        m[i] = REAL(beta1) * m[i] + REAL(1 - beta1) * gradient;
        v[i] = REAL(beta2) * v[i] + REAL(1 - beta2) * gradient * gradient;
        param[i] -= rate * m[i] / (sqrt(v[i]) + REAL(eps));
    }
}

}  // namespace formfield
