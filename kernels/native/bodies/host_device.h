// HOST_DEVICE marks functions that g++ and NVRTC both compile.
#pragma once
#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define HOST_DEVICE __host__ __device__ inline
#else
#define HOST_DEVICE inline
#endif
