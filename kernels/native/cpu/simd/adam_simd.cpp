// Adam with the parameters in SIMD lanes; compiled once per instruction set.
#include <string.h>

#include "cpu/adam.h"
#include "cpu/simd/vec.h"

namespace formfield {
namespace FORMFIELD_ISA {
namespace {

INLINE vf root(vf x) {
    float lanes[W];
    store(lanes, x);
    UNROLL for (int i = 0; i < W; ++i) lanes[i] = __builtin_sqrtf(lanes[i]);
    return load(lanes);
}

void every(const AdamRule<float>& rule, float* w, float* g, float* m, float* v, int64_t count, float rate, bool clear) {
    int64_t i = 0;
    for (; i + W <= count; i += W) {
        const vf gradient = load(g + i) + rule.decay * load(w + i);
        const vf mean = rule.beta1 * load(m + i) + (1.f - rule.beta1) * gradient;
        const vf square = rule.beta2 * load(v + i) + (1.f - rule.beta2) * gradient * gradient;
        store(m + i, mean);
        store(v + i, square);
        store(w + i, load(w + i) - rate * mean / (root(square) + rule.eps));
        if (clear) store(g + i, zero());
    }
    for (; i < count; ++i) {
        rule.update(w + i, g + i, m + i, v + i, rate, __builtin_sqrtf);
        if (clear) g[i] = 0.f;
    }
}

// W numbers at a time: W / width whole rows.
int64_t touched_rows(const AdamRule<float>& rule, float* w, float* g, float* m, float* v, int32_t* steps, int64_t rows, int width,
                     const float* rates, int32_t last_rate, bool clear) {
    if (width > W || W % width) return 0;
    const int per = W / width;
    int64_t row = 0;
    for (; row + per <= rows; row += per) {
        const int64_t i = row * width;
        uint64_t bits[W / 2], any = 0;
        memcpy(bits, g + i, sizeof bits);
        UNROLL for (int k = 0; k < W / 2; ++k) any |= bits[k];
        if (!(any & 0x7fffffff7fffffffull)) continue;  // all +0 or -0
        float rate[W];
        int32_t keep[W];
        for (int r = 0; r < per; ++r) {
            bool touched = false;
            for (int k = 0; k < width; ++k) touched |= g[i + r * width + k] != 0.f;
            const int32_t t = steps[row + r] += touched;
            const float value = rates[t < last_rate ? t : last_rate];
            for (int k = 0; k < width; ++k) {
                rate[r * width + k] = value;
                keep[r * width + k] = touched ? -1 : 0;
            }
        }
        vi mask;
        memcpy(&mask, keep, sizeof mask);
        const vf old = load(w + i), m0 = load(m + i), v0 = load(v + i);
        const vf gradient = load(g + i) + rule.decay * old;
        const vf mean = rule.beta1 * m0 + (1.f - rule.beta1) * gradient;
        const vf square = rule.beta2 * v0 + (1.f - rule.beta2) * gradient * gradient;
        store(m + i, mask ? mean : m0);
        store(v + i, mask ? square : v0);
        store(w + i, mask ? old - load(rate) * mean / (root(square) + rule.eps) : old);
        if (clear) store(g + i, zero());
    }
    return row;
}

}  // namespace

extern const AdamSimd adam_simd;
const AdamSimd adam_simd = {every, touched_rows};

}  // namespace FORMFIELD_ISA
}  // namespace formfield
