// Which of the compiled instruction sets this machine can run. Chosen once; FORMFIELD_ISA=baseline|avx2|avx512 lowers it for tests.
#pragma once
#include <cstdlib>
#include <cstring>

namespace formfield {

enum class Isa { baseline, avx2, avx512 };

inline Isa detect_isa() {
    Isa best = Isa::baseline;
#if defined(FORMFIELD_HAVE_avx2)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) best = Isa::avx2;
#endif
#if defined(FORMFIELD_HAVE_avx512)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
        best = Isa::avx512;
#endif
    if (const char* asked = std::getenv("FORMFIELD_ISA")) {
        if (!std::strcmp(asked, "baseline")) best = Isa::baseline;
        if (!std::strcmp(asked, "avx2") && best > Isa::avx2) best = Isa::avx2;
    }
    return best;
}

inline Isa isa() {
    static const Isa chosen = detect_isa();
    return chosen;
}

inline const char* isa_name() {
    switch (isa()) {
        case Isa::avx512: return "avx512";
        case Isa::avx2: return "avx2";
        default:
#if defined(__aarch64__)
            return "neon";
#else
            return "baseline";
#endif
    }
}

}  // namespace formfield
