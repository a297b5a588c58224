// Numbers with a derivative along one direction. A body that is templated on its scalar computes, given them, its own directional
// derivative: the backward pass of an op evaluated at x + epsilon v is the second backward pass, in its part in epsilon.
#pragma once
#include "bodies/scalar.h"

namespace formfield {

template <class T>
struct Dual {
    T v, e;  // v + e epsilon

    Dual() = default;
    HOST_DEVICE Dual(T value, T epsilon = 0) : v(value), e(epsilon) {}
};

template <class T>
HOST_DEVICE Dual<T> operator+(Dual<T> a, Dual<T> b) {
    return {a.v + b.v, a.e + b.e};
}
template <class T>
HOST_DEVICE Dual<T> operator-(Dual<T> a, Dual<T> b) {
    return {a.v - b.v, a.e - b.e};
}
template <class T>
HOST_DEVICE Dual<T> operator-(Dual<T> a) {
    return {-a.v, -a.e};
}
template <class T>
HOST_DEVICE Dual<T> operator*(Dual<T> a, Dual<T> b) {
    return {a.v * b.v, a.v * b.e + a.e * b.v};
}
template <class T>
HOST_DEVICE Dual<T> operator/(Dual<T> a, Dual<T> b) {
    const T q = a.v / b.v;
    return {q, (a.e - q * b.e) / b.v};
}
template <class T>
HOST_DEVICE Dual<T>& operator+=(Dual<T>& a, Dual<T> b) {
    return a = a + b;
}
template <class T>
HOST_DEVICE Dual<T>& operator-=(Dual<T>& a, Dual<T> b) {
    return a = a - b;
}
template <class T>
HOST_DEVICE Dual<T>& operator*=(Dual<T>& a, Dual<T> b) {
    return a = a * b;
}
template <class T>
HOST_DEVICE Dual<T> exp(Dual<T> a) {
    const T y = exp(a.v);
    return {y, y * a.e};
}

template <class T>
HOST_DEVICE T value_of(T a) {
    return a;
}
template <class T>
HOST_DEVICE T value_of(Dual<T> a) {
    return a.v;
}
// What a first backward (plain numbers) or a second one (duals) hands out.
template <class T>
HOST_DEVICE T result_of(T a) {
    return a;
}
template <class T>
HOST_DEVICE T result_of(Dual<T> a) {
    return a.e;
}

}  // namespace formfield
