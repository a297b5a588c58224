// One lane per pixel: neighbours of a colour see nearly the same lines of the sources. See bodies/patch_match.h.
#include "cpu/patch_match_simd.h"

#include "cpu/simd/vec.h"
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace formfield {
namespace FORMFIELD_ISA {
namespace {

typedef vf F;
typedef vi I;
typedef vu U;
typedef vi M;
#define LANE_INLINE INLINE
#define LANE_CALL static __attribute__((noinline))  // too long to be repeated
#define LANE_UNROLL _Pragma("GCC unroll 6")

INLINE F lanes(float s) { return splat(s); }
INLINE I lanes_int(int s) { return I{} + s; }
INLINE U lanes_unsigned(uint32_t s) { return U{} + s; }
INLINE M all_lanes(bool yes) { return lanes_int(yes ? -1 : 0); }
INLINE F pick(M m, F a, F b) { return m ? a : b; }
INLINE I pick(M m, I a, I b) { return m ? a : b; }
INLINE F to_float(I a) { return __builtin_convertvector(a, F); }
INLINE I to_int(F a) { return __builtin_convertvector(a, I); }
INLINE I to_signed(U a) { return (I)a; }
INLINE U to_unsigned(I a) { return (U)a; }
INLINE F smaller(F a, F b) { return a < b ? a : b; }
INLINE F larger(F a, F b) { return a < b ? b : a; }

#if defined(__AVX512F__)
INLINE bool any(M m) { return _mm512_test_epi32_mask((__m512i)m, (__m512i)m) != 0; }
INLINE F reciprocal(F a) {
    const F r = (F)_mm512_maskz_rcp14_ps(0xffff, (__m512)a);
    return r * (2.f - a * r);
}
INLINE F square_root(F a) { return (F)_mm512_maskz_sqrt_ps(0xffff, (__m512)a); }
INLINE U gather_quad(const uint32_t* p, I i) { return (U)_mm512_mask_i32gather_epi32(_mm512_setzero_si512(), 0xffff, (__m512i)i, p, 4); }
INLINE F gather(const float* p, I i, M m) {
    const __mmask16 k = _mm512_test_epi32_mask((__m512i)m, (__m512i)m);
    return (F)_mm512_mask_i32gather_ps(_mm512_setzero_ps(), k, (__m512i)i, p, 4);
}
#elif defined(__AVX2__)
INLINE bool any(M m) { return _mm256_movemask_epi8((__m256i)m) != 0; }
INLINE F reciprocal(F a) {
    F r = (F)_mm256_rcp_ps((__m256)a);
    r = r * (2.f - a * r);
    return r * (2.f - a * r);
}
INLINE F square_root(F a) { return (F)_mm256_sqrt_ps((__m256)a); }
INLINE U gather_quad(const uint32_t* p, I i) { return (U)_mm256_i32gather_epi32((const int*)p, (__m256i)i, 4); }
INLINE F gather(const float* p, I i, M m) {
    return (F)_mm256_mask_i32gather_ps(_mm256_setzero_ps(), p, (__m256i)i, (__m256)m, 4);
}
#else
INLINE bool any(M m) {
    int32_t one = 0;
    for (int l = 0; l < W; ++l) one |= m[l];
    return one != 0;
}
INLINE F reciprocal(F a) { return 1.f / a; }
INLINE F square_root(F a) {
    F r;
    for (int l = 0; l < W; ++l) r[l] = __builtin_sqrtf(a[l]);
    return r;
}
INLINE U gather_quad(const uint32_t* p, I i) {
    U r;
    for (int l = 0; l < W; ++l) r[l] = p[i[l]];
    return r;
}
INLINE F gather(const float* p, I i, M m) {
    F r;
    for (int l = 0; l < W; ++l) r[l] = m[l] ? p[i[l]] : 0.f;
    return r;
}
#endif
INLINE I gather(const uint8_t* p, I i, M m) {
    int32_t at[W], there[W], r[W];
    __builtin_memcpy(at, &i, sizeof at);
    __builtin_memcpy(there, &m, sizeof there);
    for (int l = 0; l < W; ++l) r[l] = there[l] ? p[at[l]] : 0;
    I result;
    __builtin_memcpy(&result, r, sizeof r);
    return result;
}
INLINE void scatter(float* p, I i, F v, M m) {
    for (int l = 0; l < W; ++l)
        if (m[l]) p[i[l]] = v[l];
}
template <int B>
INLINE F quad_byte(U quad) {
    return to_float((I)(B == 3 ? quad >> 24 : (quad >> (8 * B)) & 255u));
}

INLINE U quad_at(const PatchSource& s, F u, F v, F& fu, F& fv) {
    const F left = to_float(to_int(u)), top = to_float(to_int(v));
    fu = u - left, fv = v - top;
    return gather_quad(s.quads, to_int(top * float(s.width) + left));
}
template <int B>
INLINE F quad_between(U quad, F fu) {
    const F left = quad_byte<B>(quad), right = quad_byte<B + 1>(quad);
    return left + fu * (right - left);
}
INLINE int best_of(const PatchJob& job) { return job.best; }

#include "bodies/patch_match.h"

// f(columns, mask) for all of n columns, W at a time.
template <class T>
INLINE void each_group(const int32_t* x, int n, T&& f) {
    for (int first = 0; first < n; first += W) {
        I column, active;
        for (int l = 0; l < W; ++l) {
            active[l] = first + l < n ? -1 : 0;
            column[l] = x[first + l < n ? first + l : n - 1];
        }
        f(column, active);
    }
}

int lane_count() { return W; }

void start(const PatchJob& job, const int32_t* x, int n, int y) {
    each_group(x, n, [&](I column, M active) { patch_start(job, column, y, active); });
}

void update(const PatchJob& job, const int32_t* x, int n, int y) {
    each_group(x, n, [&](I column, M active) { patch_update(job, column, y, active); });
}

void costs(const PatchJob& job, const int32_t* x, int n, int y, float* out, int64_t stride) {
    each_group(x, n, [&](I column, M active) { patch_compare(job, column, y, active, out, stride); });
}

}  // namespace

extern const PatchMatchSimd patch_match_simd;
const PatchMatchSimd patch_match_simd = {lane_count, start, update, costs};

}  // namespace FORMFIELD_ISA
}  // namespace formfield
