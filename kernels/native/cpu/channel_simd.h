// The part of rbf_encode that runs over channels, compiled once per instruction set: sums over neighbours of w_kf sin(m_f p_k).
// Given pdot, every function computes its derivative along a direction in which p changes by pdot.
#pragma once
#include <cstdint>

namespace formfield {

struct ChannelJob {
    const int32_t* ids;    // [n, columns]; negative: missing
    int columns, used;     // the first `used` columns count
    const float* weights;  // [centres, channels]
    const float* turns;    // frequency / 2 pi, [channels]; null: no sine, the channel is p itself
    int channels;
    int64_t n;
};

struct ChannelSimd {
    // out [n, channels], for points [begin, end). pdot may be null.
    void (*forward)(const ChannelJob&, const float* p, const float* pdot, int64_t begin, int64_t end, float* out);
    // dp [n, used] from grad [n, channels], and dpdot if pdot is given
    void (*to_values)(const ChannelJob&, const float* p, const float* pdot, const float* grad, int64_t begin, int64_t end, float* dp,
                      float* dpdot);
    // dweights [centres, channels] += ..., for the centres that `owner` of `owners` owns, points in order
    void (*to_weights)(const ChannelJob&, const float* p, const float* pdot, const float* grad, uint32_t owner, uint32_t owners,
                       float* dweights);
};

#define FORMFIELD_DECLARE_ISA(name)        \
    namespace isa_##name {                 \
    extern const ChannelSimd channel_simd; \
    }
FORMFIELD_DECLARE_ISA(baseline)
FORMFIELD_DECLARE_ISA(avx2)
FORMFIELD_DECLARE_ISA(avx512)
#undef FORMFIELD_DECLARE_ISA

}  // namespace formfield
