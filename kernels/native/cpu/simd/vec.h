// Vectors of float in the compiler's own vector extensions: the same source for AVX-512, AVX2, SSE2 and NEON.
// Everything in cpu/simd lives in the namespace of its instruction set and calls nothing inline from outside: the linker would
// otherwise be free to keep the AVX-512 copy of a function for every machine.
#pragma once
#include <stdint.h>

namespace formfield {
namespace FORMFIELD_ISA {

#if defined(__AVX512F__)
constexpr int W = 16;
#define FORMFIELD_W 16
#elif defined(__AVX2__)
constexpr int W = 8;
#define FORMFIELD_W 8
#else
constexpr int W = 4;
#define FORMFIELD_W 4
#endif
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr bool MANY_REGISTERS = true;  // 32 vector registers instead of 16
#else
constexpr bool MANY_REGISTERS = false;
#endif

typedef float vf __attribute__((vector_size(W * 4)));
typedef int32_t vi __attribute__((vector_size(W * 4)));
typedef uint32_t vu __attribute__((vector_size(W * 4)));
typedef float vf_unaligned __attribute__((vector_size(W * 4), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

INLINE vf load(const float* p) { return *reinterpret_cast<const vf_unaligned*>(p); }
INLINE void store(float* p, vf v) { *reinterpret_cast<vf_unaligned*>(p) = v; }
INLINE vf zero() { return vf{}; }
INLINE vf splat(float s) {
#if FORMFIELD_W == 16
    return vf{s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s};
#elif FORMFIELD_W == 8
    return vf{s, s, s, s, s, s, s, s};
#else
    return vf{s, s, s, s};
#endif
}
INLINE vf max(vf a, vf b) { return a < b ? b : a; }  // a where it is not a number: errors must show
INLINE vf absolute(vf a) { return (vf)((vi)a & 0x7fffffff); }

#if FORMFIELD_W == 16
#define SHUFFLE_LOW(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define SHUFFLE_HIGH(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define SHUFFLE_EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define SHUFFLE_ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)
#elif FORMFIELD_W == 8
#define SHUFFLE_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define SHUFFLE_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define SHUFFLE_EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14)
#define SHUFFLE_ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15)
#else
#define SHUFFLE_LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define SHUFFLE_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#define SHUFFLE_EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6)
#define SHUFFLE_ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7)
#endif

// v holds F numbers of W samples one after another (W*F floats as F vectors); afterwards v[f] holds number f of all samples.
template <int F>
INLINE void deinterleave(vf* v) {
    if constexpr (F > 1) {
        vf even[F / 2], odd[F / 2];
        UNROLL for (int i = 0; i < F / 2; ++i) {
            even[i] = SHUFFLE_EVEN(v[2 * i], v[2 * i + 1]);
            odd[i] = SHUFFLE_ODD(v[2 * i], v[2 * i + 1]);
        }
        deinterleave<F / 2>(even);
        deinterleave<F / 2>(odd);
        UNROLL for (int i = 0; i < F / 2; ++i) {
            v[2 * i] = even[i];
            v[2 * i + 1] = odd[i];
        }
    }
}

// The inverse.
template <int F>
INLINE void interleave(vf* v) {
    if constexpr (F > 1) {
        vf even[F / 2], odd[F / 2];
        UNROLL for (int i = 0; i < F / 2; ++i) {
            even[i] = v[2 * i];
            odd[i] = v[2 * i + 1];
        }
        interleave<F / 2>(even);
        interleave<F / 2>(odd);
        UNROLL for (int i = 0; i < F / 2; ++i) {
            v[2 * i] = SHUFFLE_LOW(even[i], odd[i]);
            v[2 * i + 1] = SHUFFLE_HIGH(even[i], odd[i]);
        }
    }
}

// exp(x) for x <= 0, to 2 ulp; 0 below -60, so that no denormal follows.
INLINE vf exp_negative(vf x) {
    const vf shifted = max(x, splat(-61.f)) * 1.44269504088896341f + 12582912.f;  // 1.5 * 2^23: the sum rounds to an integer
    const vf n = shifted - 12582912.f;
    const vf clamped = max(x, splat(-61.f));
    const vf r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;
    vf p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.f;
    const vf power = (vf)(((vi)shifted + 127) << 23);
    return x < -60.f ? zero() : p * power;
}

// log(1 + t) for 0 <= t <= 1, as 2 atanh(w) with w = t / (2 + t).
INLINE vf log1p_of_ratio(vf w) {
    const vf q = w * w;
    vf p = q * (1.f / 13.f) + 1.f / 11.f;
    p = p * q + 1.f / 9.f;
    p = p * q + 1.f / 7.f;
    p = p * q + 1.f / 5.f;
    p = p * q + 1.f / 3.f;
    p = p * q + 1.f;
    return 2.f * w * p;
}

}  // namespace FORMFIELD_ISA
}  // namespace formfield
