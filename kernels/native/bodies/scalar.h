// Integers and mathematics of the bodies on rays, for a host compiler and for NVRTC.
#pragma once
#include "bodies/host_device.h"

#if defined(__CUDACC_RTC__)
using int32_t = int;
using int64_t = long long;
using uint8_t = unsigned char;
using uint32_t = unsigned int;
using uint64_t = unsigned long long;
#else
#include <cmath>
#include <cstdint>
#endif

namespace formfield {

#if !defined(__CUDACC_RTC__)
using std::atan2;
using std::ceil;
using std::exp;
using std::expm1;
using std::fabs;
using std::floor;
using std::log;
using std::sqrt;
#endif

template <class T>
HOST_DEVICE T smaller(T a, T b) {
    return a < b ? a : b;
}
template <class T>
HOST_DEVICE T larger(T a, T b) {
    return a > b ? a : b;
}

// a * b + c rounded twice on every machine: compilers for GPUs fuse it by default, and then the same point would fall into another cell.
// On the host it takes -ffp-contract=off.
HOST_DEVICE float multiply_then_add(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
    return __fadd_rn(__fmul_rn(a, b), c);
#else
    return a * b + c;
#endif
}
HOST_DEVICE double multiply_then_add(double a, double b, double c) {
#if defined(__CUDA_ARCH__)
    return __dadd_rn(__dmul_rn(a, b), c);
#else
    return a * b + c;
#endif
}

// 1 - exp(-x) for x >= 0, given e = exp(-x), without the cancellation for small x
HOST_DEVICE float one_minus_exp(float x, float e) {
    if (!(x < 0.25f)) return 1.0f - e;
    return x * (1 - x * (1.0f / 2) * (1 - x * (1.0f / 3) * (1 - x * (1.0f / 4) * (1 - x * (1.0f / 5) * (1 - x * (1.0f / 6))))));
}
HOST_DEVICE double one_minus_exp(double x, double) { return -expm1(-x); }

}  // namespace formfield
