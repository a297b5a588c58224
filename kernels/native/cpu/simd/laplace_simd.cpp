// See bodies/laplace.h for the formulas. Beyond 60 beta outside, the density is 0 here.
#include "cpu/laplace_simd.h"

#include <string.h>

#include "cpu/simd/vec.h"

namespace formfield {
namespace FORMFIELD_ISA {
namespace {

INLINE vf load_some(const float* p, int64_t lanes) {
    if (lanes >= W) return load(p);
    vf v = zero();
    memcpy(&v, p, lanes * sizeof(float));
    return v;
}
INLINE void store_some(float* p, vf v, int64_t lanes) {
    if (lanes >= W)
        store(p, v);
    else
        memcpy(p, &v, lanes * sizeof(float));
}

void forward(const float* sdf, float beta, int64_t n, float* density) {
    const float inverse = 1 / beta;
    for (int64_t i = 0; i < n; i += W) {
        const vf s = load_some(sdf + i, n - i);
        const vf half = 0.5f * exp_negative(-absolute(s) * inverse);
        store_some(density + i, (s >= 0.f ? half : 1.f - half) * inverse, n - i);
    }
}

double backward(const float* sdf, float beta, const float* grad, int64_t n, float* by_sdf) {
    const float inverse = 1 / beta;
    double total = 0;
    for (int64_t first = 0; first < n; first += 64 * W) {  // float sums over short stretches only
        const int64_t end = first + 64 * W < n ? first + 64 * W : n;
        vf sum = zero();
        for (int64_t i = first; i < end; i += W) {
            const vf s = load_some(sdf + i, n - i), g = load_some(grad + i, n - i);
            const vf half = 0.5f * exp_negative(-absolute(s) * inverse);
            const vf slope = -half * (inverse * inverse);
            if (by_sdf) store_some(by_sdf + i, g * slope, n - i);
            sum += g * ((s >= 0.f ? half : 1.f - half) * inverse + s * slope);
        }
        for (int l = 0; l < W; ++l) total += sum[l];
    }
    return -total * inverse;
}

}  // namespace

extern const LaplaceSimd laplace_simd;
const LaplaceSimd laplace_simd = {forward, backward};

}  // namespace FORMFIELD_ISA
}  // namespace formfield
