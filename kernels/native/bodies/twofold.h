// Numbers as unevaluated sums of two: about twice the digits, where double precision is a sixty-fourth as fast (Dekker 1971; Knuth, The Art of
// Computer Programming 2, 4.2.2). On the host it takes
// -ffp-contract=off.
#pragma once
#include "bodies/scalar.h"

namespace formfield {

#if !defined(__CUDACC_RTC__)
using std::fma;
#endif

template <class T>
struct Twofold {
    T hi, lo;  // |lo| is at most half a unit in the last place of hi
};

template <class T>
HOST_DEVICE Twofold<T> sum_of(T a, T b) {
    const T s = a + b, from_b = s - a;
    return {s, (a - (s - from_b)) + (b - from_b)};
}
// |a| >= |b|
template <class T>
HOST_DEVICE Twofold<T> sum_of_sorted(T a, T b) {
    const T s = a + b;
    return {s, b - (s - a)};
}
// A product that is rounded whatever is done with it.
HOST_DEVICE float rounded_product(float a, float b) {
#if defined(__CUDA_ARCH__)
    return __fmul_rn(a, b);
#else
    return a * b;
#endif
}
HOST_DEVICE double rounded_product(double a, double b) {
#if defined(__CUDA_ARCH__)
    return __dmul_rn(a, b);
#else
    return a * b;
#endif
}
template <class T>
HOST_DEVICE Twofold<T> product_of(T a, T b) {
    const T p = rounded_product(a, b);
    return {p, fma(a, b, -p)};
}

template <class T>
HOST_DEVICE Twofold<T> operator+(Twofold<T> a, T b) {
    const Twofold<T> s = sum_of(a.hi, b);
    return sum_of_sorted(s.hi, s.lo + a.lo);
}
template <class T>
HOST_DEVICE Twofold<T> operator+(Twofold<T> a, Twofold<T> b) {
    const Twofold<T> s = sum_of(a.hi, b.hi), low = sum_of(a.lo, b.lo);
    const Twofold<T> most = sum_of_sorted(s.hi, s.lo + low.hi);
    return sum_of_sorted(most.hi, most.lo + low.lo);
}
template <class T>
HOST_DEVICE Twofold<T> operator-(Twofold<T> a) {
    return {-a.hi, -a.lo};
}
template <class T>
HOST_DEVICE Twofold<T> operator*(Twofold<T> a, Twofold<T> b) {
    const Twofold<T> p = product_of(a.hi, b.hi);
    return sum_of_sorted(p.hi, p.lo + fma(a.hi, b.lo, a.lo * b.hi));
}
template <class T>
HOST_DEVICE Twofold<T> operator*(Twofold<T> a, T b) {
    const Twofold<T> p = product_of(a.hi, b);
    return sum_of_sorted(p.hi, fma(a.lo, b, p.lo));
}

}  // namespace formfield
