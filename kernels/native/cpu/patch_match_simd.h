// PatchMatch over rows, compiled once per instruction set.
#pragma once
#include <cstdint>

#include "bodies/patch_match_job.h"

namespace formfield {

struct PatchMatchSimd {
    int (*lanes)();
    // The first planes of n pixels of row y at columns x, and one iteration for such pixels that have a plane.
    void (*start)(const PatchJob&, const int32_t* x, int n, int y);
    void (*update)(const PatchJob&, const int32_t* x, int n, int y);
    // The cost with every source of the planes of n pixels: out[source * stride + pixel].
    void (*costs)(const PatchJob&, const int32_t* x, int n, int y, float* out, int64_t stride);
};

#define FORMFIELD_DECLARE_ISA(name)               \
    namespace isa_##name {                        \
    extern const PatchMatchSimd patch_match_simd; \
    }
FORMFIELD_DECLARE_ISA(baseline)
FORMFIELD_DECLARE_ISA(avx2)
FORMFIELD_DECLARE_ISA(avx512)
#undef FORMFIELD_DECLARE_ISA

}  // namespace formfield
