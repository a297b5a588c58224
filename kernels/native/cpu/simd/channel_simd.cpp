// See cpu/channel_simd.h. Lanes are channels. sin and cos are those of turns: r = p * frequency / 2 pi, minus the nearest integer, then an odd
// and an even polynomial in t in [-1/2, 1/2] that vanish where they should; absolute error 3e-7.
#include "cpu/channel_simd.h"

#include <string.h>

#include "cpu/simd/vec.h"

namespace formfield {
namespace FORMFIELD_ISA {
namespace {

constexpr float TWO_PI = 6.28318530717958648f;

INLINE vf fraction(vf turns, float p) {
    const vf r = turns * p;
    const vf n = (r + 12582912.f) - 12582912.f;  // 1.5 * 2^23: rounds to the nearest integer
    return turns * p - n;
}
INLINE vf sine(vf t) {
    const vf z = t * t;
    vf q = z * -3.193372977f + 14.06550465f;
    q = q * z + -38.4984189f;
    q = q * z + 67.07675869f;
    q = q * z + -64.83582258f;
    q = q * z + 25.13274108f;
    return t * (0.25f - z) * q;
}
INLINE vf cosine(vf t) {
    const vf z = t * t;
    vf q = z * -6.540885639f + 25.56765369f;
    q = q * z + -58.57197778f;
    q = q * z + 81.78964949f;
    q = q * z + -59.82727418f;
    q = q * z + 15.99999981f;
    return (0.0625f - z) * q;
}

// Channels from `c` on, `lanes` of them; the others read as 0 and are not written.
INLINE vf load_some(const float* p, int lanes) {
    if (lanes == W) return load(p);
    vf v = zero();
    memcpy(&v, p, lanes * sizeof(float));
    return v;
}
INLINE void store_some(float* p, vf v, int lanes) {
    if (lanes == W)
        store(p, v);
    else
        memcpy(p, &v, lanes * sizeof(float));
}
INLINE float sum(vf v) {
    float s = 0;
    for (int i = 0; i < W; ++i) s += v[i];
    return s;
}

INLINE void prefetch_rows(const ChannelJob& job, int64_t i) {
    if (i >= job.n) return;
    for (int k = 0; k < job.used; ++k) {
        const int32_t id = job.ids[i * job.columns + k];
        if (id < 0) continue;
        const float* row = job.weights + int64_t(id) * job.channels;
        for (int c = 0; c < job.channels; c += 16) __builtin_prefetch(row + c);
    }
}

// The wave of a channel, or with TANGENT its derivative along pdot.
template <bool SINE, bool TANGENT>
INLINE vf wave(vf turns, float p, float pdot) {
    if constexpr (!SINE) return splat(TANGENT ? pdot : p);
    const vf t = fraction(turns, p);
    if constexpr (!TANGENT) return sine(t);
    return cosine(t) * (turns * (TWO_PI * pdot));
}

template <bool SINE, bool TANGENT>
void forward_points(const ChannelJob& job, const float* p, const float* pdot, int64_t begin, int64_t end, float* out) {
    const int F = job.channels, K = job.used;
    for (int64_t i = begin; i < end; ++i) {
        prefetch_rows(job, i + 6);
        const int32_t* ids = job.ids + i * job.columns;
        for (int c = 0; c < F; c += W) {
            const int lanes = F - c < W ? F - c : W;
            const vf turns = SINE ? load_some(job.turns + c, lanes) : zero();
            vf acc = zero();
            for (int k = 0; k < K; ++k) {
                if (ids[k] < 0) continue;
                acc += wave<SINE, TANGENT>(turns, p[i * K + k], TANGENT ? pdot[i * K + k] : 0.f) *
                       load_some(job.weights + int64_t(ids[k]) * F + c, lanes);
            }
            store_some(out + i * F + c, acc, lanes);
        }
    }
}

template <bool SINE, bool TANGENT>
void values_points(
    const ChannelJob& job, const float* p, const float* pdot, const float* grad, int64_t begin, int64_t end, float* dp, float* dpdot
) {
    const int F = job.channels, K = job.used;
    for (int64_t i = begin; i < end; ++i) {
        prefetch_rows(job, i + 6);
        const int32_t* ids = job.ids + i * job.columns;
        for (int k = 0; k < K; ++k) {
            vf first = zero(), second = zero();
            for (int c = 0; ids[k] >= 0 && c < F; c += W) {
                const int lanes = F - c < W ? F - c : W;
                vf product = load_some(grad + i * F + c, lanes) * load_some(job.weights + int64_t(ids[k]) * F + c, lanes);
                if constexpr (SINE) {
                    const vf turns = load_some(job.turns + c, lanes), t = fraction(turns, p[i * K + k]);
                    product *= turns * TWO_PI;
                    if constexpr (TANGENT) second -= product * (turns * TWO_PI) * sine(t);
                    product *= cosine(t);
                }
                first += product;
            }
            dp[i * K + k] = sum(first);
            if constexpr (TANGENT) dpdot[i * K + k] = sum(second) * pdot[i * K + k];
        }
    }
}

template <bool SINE, bool TANGENT>
void weights_points(
    const ChannelJob& job, const float* p, const float* pdot, const float* grad, uint32_t owner, uint32_t owners, float* dweights
) {
    const int F = job.channels, K = job.used;
    for (int64_t i = 0; i < job.n; ++i) {
        const int32_t* ids = job.ids + i * job.columns;
        for (int k = 0; k < K; ++k) {
            if (ids[k] < 0) continue;
            // 16 centres at a time, spread over the owners by a hash: balanced whether neighbouring centres have near numbers or not
            const uint32_t hash = (uint32_t(ids[k]) >> 4) * 2654435761u;
            if (uint32_t((uint64_t(hash) * owners) >> 32) != owner) continue;
            for (int c = 0; c < F; c += W) {
                const int lanes = F - c < W ? F - c : W;
                const vf turns = SINE ? load_some(job.turns + c, lanes) : zero();
                float* to = dweights + int64_t(ids[k]) * F + c;
                const vf added = wave<SINE, TANGENT>(turns, p[i * K + k], TANGENT ? pdot[i * K + k] : 0.f) *
                                 load_some(grad + i * F + c, lanes);
                store_some(to, load_some(to, lanes) + added, lanes);
            }
        }
    }
}

void forward(const ChannelJob& job, const float* p, const float* pdot, int64_t begin, int64_t end, float* out) {
    if (job.turns)
        (pdot ? forward_points<true, true> : forward_points<true, false>)(job, p, pdot, begin, end, out);
    else
        (pdot ? forward_points<false, true> : forward_points<false, false>)(job, p, pdot, begin, end, out);
}
void to_values(
    const ChannelJob& job, const float* p, const float* pdot, const float* grad, int64_t begin, int64_t end, float* dp, float* dpdot
) {
    if (job.turns)
        (pdot ? values_points<true, true> : values_points<true, false>)(job, p, pdot, grad, begin, end, dp, dpdot);
    else
        (pdot ? values_points<false, true> : values_points<false, false>)(job, p, pdot, grad, begin, end, dp, dpdot);
}
void to_weights(
    const ChannelJob& job, const float* p, const float* pdot, const float* grad, uint32_t owner, uint32_t owners, float* dweights
) {
    if (job.turns)
        (pdot ? weights_points<true, true> : weights_points<true, false>)(job, p, pdot, grad, owner, owners, dweights);
    else
        (pdot ? weights_points<false, true> : weights_points<false, false>)(job, p, pdot, grad, owner, owners, dweights);
}

}  // namespace

extern const ChannelSimd channel_simd;
const ChannelSimd channel_simd = {forward, to_values, to_weights};

}  // namespace FORMFIELD_ISA
}  // namespace formfield
