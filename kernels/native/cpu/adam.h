// The rule of Adam, and its SIMD version.
#pragma once
#include <cstdint>

#include "cpu/isa.h"

namespace formfield {

template <class T>
struct AdamRule {
    T beta1, beta2, eps, decay;

    // One number. `root` is the square root, passed in so that code compiled for several instruction sets calls its own.
    template <class Root>
    inline __attribute__((always_inline)) void update(T* w, const T* g, T* m, T* v, T rate, Root root) const {
        const T gradient = *g + decay * *w;
        *m = beta1 * *m + (1 - beta1) * gradient;
        *v = beta2 * *v + (1 - beta2) * gradient * gradient;
        *w -= rate * *m / (root(*v) + eps);
    }
};

struct AdamSimd {
    // With `clear` the gradient is 0 afterwards.
    void (*every)(const AdamRule<float>&, float* w, float* g, float* m, float* v, int64_t count, float rate, bool clear);
    // Rows with a gradient that is not 0; rates[t] is the rate of step t, the last one holding from there on. Returns how many rows it
    // took from the front: the caller does the rest.
    int64_t (*touched_rows)(const AdamRule<float>&, float* w, float* g, float* m, float* v, int32_t* steps, int64_t rows, int width,
                            const float* rates, int32_t last_rate, bool clear);
};

namespace isa_baseline {
extern const AdamSimd adam_simd;
}
namespace isa_avx2 {
extern const AdamSimd adam_simd;
}
namespace isa_avx512 {
extern const AdamSimd adam_simd;
}

}  // namespace formfield
