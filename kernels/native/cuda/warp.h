// What the kernels on tensor cores need of a warp and a block: matrix products, loads of fragments, exchanges and sums.
//
// Here is what NVRTC compiles. A test defines FORMFIELD_WARP_HOST and gives functions of the same names, which run the same kernel text on
// a CPU, 128 threads of a block taking turns (tests/kernels/warp_host.h).
#pragma once
#include "bodies/scalar.h"

namespace formfield {

#if defined(__CUDACC_RTC__)
#define WARP __device__ __forceinline__
#define UNROLL _Pragma("unroll")  // never the whole body of an if without braces: NVRTC 12.9 then drops what follows a false constexpr one
#define WARP_TABLE __device__ constexpr
#define BLOCK_KERNEL(resident) extern "C" __global__ void __launch_bounds__(128, resident)
#define BLOCK_POOL(name) extern __shared__ __align__(16) uint32_t name[]

WARP int lane_of() { return threadIdx.x & 31; }
WARP int warp_of() { return threadIdx.x >> 5; }
WARP int64_t block_of() { return blockIdx.x; }
WARP int64_t blocks_of() { return gridDim.x; }
WARP void block_sync() { __syncthreads(); }
WARP float as_float(uint32_t bits) { return __uint_as_float(bits); }
WARP uint32_t as_bits(float value) { return __float_as_uint(value); }
WARP uint32_t multiply_high(uint32_t a, uint32_t b) { return __umulhi(a, b); }

// Two numbers rounded to bf16, the first in the low half.
WARP uint32_t pack(float first, float second) {
    uint32_t word;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));
    return word;
}

// c += a b for c [16, 8], a [16, 16], b [16, 8] in the fragment layout of m16n8k16 (PTX ISA, "Matrix fragments for mma.m16n8k16").
WARP void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Four 8 x 8 matrices of 16-bit numbers from shared memory: lane i gives the address of row i % 8 of matrix i / 8, 16 bytes. Volatile, so
// that weights are not all loaded into registers before the loop over samples.
WARP void load_matrices(uint32_t (&r)[4], const uint32_t* row) {
    const uint32_t at = uint32_t(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}
WARP void load_transposed(uint32_t (&r)[4], const uint32_t* row) {
    const uint32_t at = uint32_t(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

// Words of shared memory: before the loop over samples, and in it, where all lanes of a warp take part.
WARP void place(uint32_t* to, uint32_t word) { *to = word; }
WARP void put(uint32_t* to, uint32_t word) { *to = word; }
WARP void get4(const uint32_t* from, uint32_t (&words)[4]) {
    const uint4 all = *reinterpret_cast<const uint4*>(from);
    words[0] = all.x, words[1] = all.y, words[2] = all.z, words[3] = all.w;
}
WARP void get2(const float* from, float& a, float& b) {
    const float2 both = *reinterpret_cast<const float2*>(from);
    a = both.x, b = both.y;
}

// Numbers of global memory that no thread of the kernel writes.
WARP float gather(const float* from) { return __ldg(from); }
WARP void gather2(const float* from, float& a, float& b) {
    const float2 both = __ldg(reinterpret_cast<const float2*>(from));
    a = both.x, b = both.y;
}
WARP void write2(float* to, float a, float b) { *reinterpret_cast<float2*>(to) = make_float2(a, b); }

WARP float from_lane(float value, int lane) { return __shfl_sync(0xFFFFFFFFu, value, lane); }
WARP float across(float value, int mask) { return __shfl_xor_sync(0xFFFFFFFFu, value, mask); }

WARP void add(float* to, float a) { atomicAdd(to, a); }
WARP void add2(float* to, float a, float b) {
#if __CUDA_ARCH__ >= 900
    asm volatile("red.relaxed.gpu.global.add.v2.f32 [%0], {%1, %2};" ::"l"(to), "f"(a), "f"(b) : "memory");
#else
    atomicAdd(to, a);
    atomicAdd(to + 1, b);
#endif
}
// On the special function units. exp: 2 + |1.2 x| units in the last place. log of 1 to 2: 4e-7 (CUDA programming guide, intrinsic functions).
WARP float fast_exp(float x) { return __expf(x); }
WARP float fast_log(float x) { return __logf(x); }
WARP float fast_inverse(float x) { return __fdividef(1.0f, x); }
WARP float exact_log1p(float x) { return log1pf(x); }
#endif

}  // namespace formfield
