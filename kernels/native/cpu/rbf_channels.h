// The work over channels for either precision: SIMD in float32, plain loops in float64 (for gradient checks). See cpu/channel_simd.h.
#pragma once
#include <cmath>

#include "cpu/channel_simd.h"
#include "cpu/isa.h"

namespace formfield {

template <class T>
struct Channels;

inline const ChannelSimd& channel_simd() {
    switch (isa()) {
#if defined(FORMFIELD_HAVE_avx512)
        case Isa::avx512: return isa_avx512::channel_simd;
#endif
#if defined(FORMFIELD_HAVE_avx2)
        case Isa::avx2: return isa_avx2::channel_simd;
#endif
        default: return isa_baseline::channel_simd;
    }
}

template <>
struct Channels<float> {
    ChannelJob job;

    void forward(const float* p, const float* pdot, int64_t begin, int64_t end, float* out) const {
        channel_simd().forward(job, p, pdot, begin, end, out);
    }
    void to_values(const float* p, const float* pdot, const float* grad, int64_t begin, int64_t end, float* dp, float* dpdot) const {
        channel_simd().to_values(job, p, pdot, grad, begin, end, dp, dpdot);
    }
    void to_weights(const float* p, const float* pdot, const float* grad, uint32_t owner, uint32_t owners, float* dweights) const {
        channel_simd().to_weights(job, p, pdot, grad, owner, owners, dweights);
    }
};

template <>
struct Channels<double> {
    const int32_t* ids;
    int columns, used;
    const double *weights, *frequencies;
    int channels;
    int64_t n;

    double wave(double p, int c) const { return frequencies ? std::sin(p * frequencies[c]) : p; }
    double slope(double p, int c) const { return frequencies ? std::cos(p * frequencies[c]) * frequencies[c] : 1.0; }

    // f(point, neighbour, entry of p, row of weights)
    template <class F>
    void each(int64_t begin, int64_t end, F&& f) const {
        for (int64_t i = begin; i < end; ++i)
            for (int k = 0; k < used; ++k)
                if (ids[i * columns + k] >= 0) f(i, i * used + k, int64_t(ids[i * columns + k]) * channels);
    }
    void forward(const double* p, const double* pdot, int64_t begin, int64_t end, double* out) const {
        for (int64_t j = begin * channels; j < end * channels; ++j) out[j] = 0;
        each(begin, end, [&](int64_t i, int64_t e, int64_t row) {
            for (int c = 0; c < channels; ++c) out[i * channels + c] += (pdot ? slope(p[e], c) * pdot[e] : wave(p[e], c)) * weights[row + c];
        });
    }
    void to_values(const double* p, const double* pdot, const double* grad, int64_t begin, int64_t end, double* dp, double* dpdot) const {
        for (int64_t j = begin * used; j < end * used; ++j) {
            dp[j] = 0;
            if (pdot) dpdot[j] = 0;
        }
        each(begin, end, [&](int64_t i, int64_t e, int64_t row) {
            for (int c = 0; c < channels; ++c) {
                const double g = grad[i * channels + c] * weights[row + c];
                dp[e] += g * slope(p[e], c);
                if (pdot && frequencies) dpdot[e] -= g * frequencies[c] * frequencies[c] * wave(p[e], c) * pdot[e];
            }
        });
    }
    void to_weights(const double* p, const double* pdot, const double* grad, uint32_t owner, uint32_t owners, double* dweights) const {
        each(0, n, [&](int64_t i, int64_t e, int64_t row) {
            if (uint64_t(row / channels) % owners != owner) return;
            for (int c = 0; c < channels; ++c)
                dweights[row + c] += (pdot ? slope(p[e], c) * pdot[e] : wave(p[e], c)) * grad[i * channels + c];
        });
    }
};

}  // namespace formfield
