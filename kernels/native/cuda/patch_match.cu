// patch_match and patch_costs: a thread per pixel, a warp per 32 pixels of a row. BEST: sources whose mean is a pixel's cost. The search is that
// of bodies/patch_match.h, whose vectors are single numbers here; a pixel's window stays in registers for all of its 13 hypotheses.
#include "cuda/thread.h"

#include "bodies/entry.h"
#include "bodies/patch_match_job.h"

namespace formfield {

static_assert(sizeof(PatchSource) == 96, "as backends/cuda/patch_match.py packs it");

typedef float F;
typedef int32_t I;
typedef uint32_t U;
typedef bool M;
#define LANE_INLINE DEVICE
#define LANE_CALL DEVICE
#define LANE_UNROLL UNROLLED

#if defined(__CUDACC_RTC__)
// Sums rounded down, words of chosen bytes, bits as a number; 23 bits of a reciprocal and a root, on the special function units.
DEVICE F add_down(F a, F b) { return __fadd_rd(a, b); }
DEVICE U bytes_of(U a, U b, U which) { return __byte_perm(a, b, which); }
DEVICE F as_number(U bits) { return __uint_as_float(bits); }
DEVICE U as_bits(F number) { return __float_as_uint(number); }
DEVICE F reciprocal(F a) {
    F r;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(a));
    return r;
}
DEVICE F square_root(F a) {
    F r;
    asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(a));
    return r;
}
DEVICE F exp_negative(F a) { return __expf(a); }
template <class T>
DEVICE T unchanging(const T* p) {
    return __ldg(p);
}
#else
DEVICE F as_number(U bits) {
    F number;
    __builtin_memcpy(&number, &bits, 4);
    return number;
}
DEVICE U as_bits(F number) {
    U bits;
    __builtin_memcpy(&bits, &number, 4);
    return bits;
}
DEVICE F add_down(F a, F b) {
    const double whole = double(a) + double(b);
    const F near = F(whole);
    return double(near) > whole ? std::nextafter(near, -INFINITY) : near;
}
DEVICE U bytes_of(U a, U b, U which) {
    const uint64_t both = uint64_t(b) << 32 | a;
    U word = 0;
    for (int k = 0; k < 4; ++k) word |= U(both >> (8 * (which >> (4 * k) & 7)) & 255) << (8 * k);
    return word;
}
DEVICE F reciprocal(F a) { return 1 / a; }
DEVICE F square_root(F a) { return sqrt(a); }
DEVICE F exp_negative(F a) { return exp(a); }
template <class T>
DEVICE T unchanging(const T* p) {
    return *p;
}
#endif

DEVICE F lanes(float a) { return a; }
DEVICE I lanes_int(int a) { return a; }
DEVICE U lanes_unsigned(uint32_t a) { return a; }
DEVICE M all_lanes(bool yes) { return yes; }
template <class T>
DEVICE T pick(M which, T yes, T no) {
    return which ? yes : no;
}
DEVICE bool any(M it) { return it; }
DEVICE F to_float(I a) { return F(a); }
DEVICE I to_int(F a) { return I(a); }
DEVICE I to_signed(U a) { return I(a); }
DEVICE U to_unsigned(I a) { return U(a); }
DEVICE F gather(const float* p, I i, M there) { return there ? p[i] : 0.f; }
DEVICE I gather(const uint8_t* p, I i, M there) { return there ? I(unchanging(p + i)) : 0; }
DEVICE void scatter(float* p, I i, F value, M there) {
    if (there) p[i] = value;
}
DEVICE constexpr int best_of(const PatchJob&) { return BEST; }

// Between 2^23 and 2^24 a float's last bits are an integer. Conversions, which a GPU does at a quarter of the rate of sums or less, are so
// left out: there would be nine for each pixel of a window.
constexpr U INTEGERS = 0x4B000000;
constexpr F INTEGER_OFFSET = 8388608.f;
DEVICE U quad_at(const PatchSource& s, F u, F v, F& fu, F& fv) {
    u = larger(u, 0.f), v = larger(v, 0.f);  // a window may reach to the border, and beyond by rounding
    const F column = add_down(u, INTEGER_OFFSET), row = add_down(v, INTEGER_OFFSET);
    fu = u - (column - INTEGER_OFFSET), fv = v - (row - INTEGER_OFFSET);
    return unchanging(s.quads + ((as_bits(row) - INTEGERS) * U(s.width) + (as_bits(column) - INTEGERS)));
}
template <int B>
DEVICE F quad_between(U quad, F fu) {
    const F left = as_number(bytes_of(quad, INTEGERS, 0x7540 + B)), right = as_number(bytes_of(quad, INTEGERS, 0x7541 + B));
    return (left - INTEGER_OFFSET) + fu * (right - left);  // exact differences
}

#include "bodies/patch_match.h"

// The grey values of a pixel and of those right, below, and right below it, a byte each.
KERNEL pack_quads(int64_t pixels, int64_t width, const uint8_t* grey, uint32_t* quads) {
    const int64_t i = thread_x();
    if (i >= pixels) return;
    const int64_t right = uint32_t(i) % uint32_t(width) + 1 < width ? 1 : 0, below = i + width < pixels ? width : 0;
    quads[i] = uint32_t(grey[i]) | uint32_t(grey[i + right]) << 8 | uint32_t(grey[i + below]) << 16 | uint32_t(grey[i + below + right]) << 24;
}

#define JOB                                                                                                                            \
    int64_t height, int64_t width, const uint8_t *grey, const uint8_t *mask, double fx, double fy, double cx, double cy,               \
        const PatchSource *sources, int64_t count, double geometric, double variance, double nearest, double farthest, float *planes, \
        float *costs
#define JOB_OF(seed, perturbation)                                                                                                     \
    {grey, mask, int32_t(width), int32_t(height), float(fx), float(fy), float(cx), float(cy), sources, int32_t(count), BEST,           \
     float(geometric), float(nearest), float(farthest), float(variance), uint32_t(seed), float(perturbation), planes, costs}

// A block has 32 places in each of four rows.
DEVICE I place_x() { return I(thread_x() / 128 * 32 + thread_x() % 32); }
DEVICE I place_y() { return I(thread_y() * 4 + thread_x() / 32 % 4); }

// First planes, of all pixels.
KERNEL match_start(JOB, int64_t seed) {
    const I x = place_x(), y = place_y();
    if (x < width && y < height) patch_start(JOB_OF(seed, 0), x, y, true);
}

// One iteration for the pixels of a colour: they look at those of the other colour only, which stay as they are.
KERNEL match_update(JOB, int64_t seed, double perturbation, int64_t colour) {
    const I y = place_y(), x = 2 * place_x() + ((y + I(colour)) & 1);
    if (x >= width || y >= height || !(planes[4 * (y * width + x)] > 0)) return;
    patch_update(JOB_OF(seed, perturbation), x, y, true);
}

// costs [count, height, width], of planes that are only read.
KERNEL match_compare(JOB) {
    const I x = place_x(), y = place_y();
    if (x < width && y < height) patch_compare(JOB_OF(0, 0), x, y, true, costs, height * width);
}

}  // namespace formfield
