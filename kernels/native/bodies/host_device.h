// HOST_DEVICE marks functions that g++ and NVRTC both compile. UNROLLED: the loop that follows is written out on a GPU, so that arrays indexed
// in it can be registers. ONE_BY_ONE: it is not, so that no thread keeps what several rounds need. A CPU's compiler does as it likes.
#pragma once
#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define HOST_DEVICE __host__ __device__ inline
#define UNROLLED _Pragma("unroll")
#define ONE_BY_ONE _Pragma("unroll 1")
#else
#define HOST_DEVICE inline
#define UNROLLED
#define ONE_BY_ONE
#endif
