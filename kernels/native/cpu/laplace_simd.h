// The Laplace density of many points in float32, compiled once per instruction set.
#pragma once
#include <cstdint>

namespace formfield {

struct LaplaceSimd {
    void (*forward)(const float* sdf, float beta, int64_t n, float* density);
    // by_sdf may be null; returns the sum over points of grad * d density / d beta
    double (*backward)(const float* sdf, float beta, const float* grad, int64_t n, float* by_sdf);
};

#define FORMFIELD_DECLARE_ISA(name)        \
    namespace isa_##name {                 \
    extern const LaplaceSimd laplace_simd; \
    }
FORMFIELD_DECLARE_ISA(baseline)
FORMFIELD_DECLARE_ISA(avx2)
FORMFIELD_DECLARE_ISA(avx512)
#undef FORMFIELD_DECLARE_ISA

}  // namespace formfield
