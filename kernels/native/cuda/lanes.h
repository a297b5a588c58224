// What the 32 lanes of a warp and the threads of a block do together. A lane that takes part in an exchange waits for all 32 of its warp.
//
// For a host compiler a test gives functions of the same names before (tests/kernels/lanes_host.h): there the threads of a block take turns.
#pragma once
#include "cuda/thread.h"

#if defined(__CUDACC_RTC__)
namespace formfield {

#define SHARED __shared__
DEVICE int lane_of() { return int(threadIdx.x & 31); }
DEVICE int thread_of() { return int(threadIdx.x); }
DEVICE int64_t block_of() { return blockIdx.x; }
DEVICE int64_t blocks_of() { return gridDim.x; }
DEVICE void sync_block() { __syncthreads(); }
DEVICE void sync_warp() { __syncwarp(); }
// The value of the lane `by` below or above (one's own where there is none), of one that differs in the bits of a mask, of a given one.
template <class T>
DEVICE T from_below(T value, int by) {
    return __shfl_up_sync(0xFFFFFFFFu, value, by);
}
template <class T>
DEVICE T from_above(T value, int by) {
    return __shfl_down_sync(0xFFFFFFFFu, value, by);
}
template <class T>
DEVICE T from_across(T value, int mask) {
    return __shfl_xor_sync(0xFFFFFFFFu, value, mask);
}
template <class T>
DEVICE T from_lane(T value, int lane) {
    return __shfl_sync(0xFFFFFFFFu, value, lane);
}
DEVICE bool any_lane(bool it) { return __any_sync(0xFFFFFFFFu, it) != 0; }

}  // namespace formfield
#endif

namespace formfield {

constexpr int LANES = 32;

// The sum of all lanes, for each.
template <class T>
DEVICE T warp_sum(T value) {
    for (int mask = 16; mask > 0; mask /= 2) value += from_across(value, mask);
    return value;
}
// The sum of a lane and those below it, or above it.
template <class T>
DEVICE T sum_below(T value) {
    for (int by = 1; by < LANES; by *= 2) {
        const T other = from_below(value, by);
        if (lane_of() >= by) value += other;
    }
    return value;
}
template <class T>
DEVICE T sum_above(T value) {
    for (int by = 1; by < LANES; by *= 2) {
        const T other = from_above(value, by);
        if (lane_of() + by < LANES) value += other;
    }
    return value;
}

}  // namespace formfield
