// What the launchers need around the bodies: which thread this is, and sums that many threads add to.
//
// NVRTC compiles a kernel for a GPU. A host compiler makes an ordinary function of it, which a test calls once for every thread, one at a time
// (tests/kernels/lanes_host.h): the arithmetic and the indexing are then checked without a GPU, and what threads of a block do together.
// Integers are int64_t and real numbers double in the arguments of every kernel, whatever REAL is.
#pragma once
#include "bodies/scalar.h"

#if !defined(REAL)
#define REAL float
#endif

namespace formfield {

#if defined(__CUDACC_RTC__)
using ::exp;  // beside the one for duals, which would otherwise hide it
#define KERNEL extern "C" __global__ void
#define DEVICE __device__ inline
DEVICE int64_t thread_x() { return int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }
DEVICE int64_t thread_y() { return blockIdx.y; }
DEVICE void shared_add(REAL* to, REAL value) { atomicAdd(to, value); }
// F numbers one after another, at a multiple of their size (of 16 bytes at most): one request to the memory for up to four of them from
// sm_90 on.
template <int F>
DEVICE void shared_add_all(float* to, const float* values) {
#if __CUDA_ARCH__ >= 900
    constexpr int AT_ONCE = F % 4 == 0 ? 4 : F % 2 == 0 ? 2 : 1;
#else
    constexpr int AT_ONCE = 1;
#endif
    for (int f = 0; f < F; f += AT_ONCE) {
#if __CUDA_ARCH__ >= 900
        if constexpr (AT_ONCE == 4)
            atomicAdd(reinterpret_cast<float4*>(to + f), make_float4(values[f], values[f + 1], values[f + 2], values[f + 3]));
        else if constexpr (AT_ONCE == 2)
            atomicAdd(reinterpret_cast<float2*>(to + f), make_float2(values[f], values[f + 1]));
        else
#endif
            atomicAdd(to + f, values[f]);
    }
}
template <int F>
DEVICE void shared_add_all(double* to, const double* values) {
    for (int f = 0; f < F; ++f) atomicAdd(to + f, values[f]);
}
// Of numbers that are not negative: their bits are in the same order.
DEVICE void shared_max(float* to, float value) { atomicMax(reinterpret_cast<int*>(to), __float_as_int(value)); }
DEVICE void shared_max(double* to, double value) { atomicMax(reinterpret_cast<long long*>(to), __double_as_longlong(value)); }
// The same address for all threads of a warp, none of which may be missing: one atomic for 32 sums.
DEVICE void warp_add(REAL* to, REAL value) {
    for (int shift = 16; shift > 0; shift /= 2) value += __shfl_down_sync(0xFFFFFFFFu, value, shift);
    if (threadIdx.x % 32 == 0) atomicAdd(to, value);
}
#else
#define KERNEL extern "C" void
#define DEVICE inline
inline int64_t current_thread[2];  // of the launch, along x and y: set by whoever calls a kernel
DEVICE int64_t thread_x() { return current_thread[0]; }
DEVICE int64_t thread_y() { return current_thread[1]; }
DEVICE void shared_add(REAL* to, REAL value) { *to += value; }
template <int F>
DEVICE void shared_add_all(REAL* to, const REAL* values) {
    for (int f = 0; f < F; ++f) to[f] += values[f];
}
DEVICE void shared_max(REAL* to, REAL value) { *to = *to < value ? value : *to; }
DEVICE void warp_add(REAL* to, REAL value) { *to += value; }
#endif

struct SharedAdd {
    HOST_DEVICE void operator()(REAL* to, REAL value) const {
#if defined(__CUDA_ARCH__) || !defined(__CUDACC_RTC__)
        shared_add(to, value);
#endif
    }
    template <int F>
    HOST_DEVICE void all(REAL* to, const REAL* values) const {
#if defined(__CUDA_ARCH__) || !defined(__CUDACC_RTC__)
        shared_add_all<F>(to, values);
#endif
    }
};
struct WarpAdd {
    HOST_DEVICE void operator()(REAL* to, REAL value) const {
#if defined(__CUDA_ARCH__) || !defined(__CUDACC_RTC__)
        warp_add(to, value);
#endif
    }
};

}  // namespace formfield
