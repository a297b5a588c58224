// A few numbers one after another.
#pragma once
#include "bodies/scalar.h"

namespace formfield {

HOST_DEVICE constexpr int lowest_bit(int n) { return n & -n; }

// F of them, which begin at a multiple of the largest power of two in their size (of 16 bytes at most): read and written in pieces as large.
template <class T, int F>
struct alignas(lowest_bit(F * int(sizeof(T))) < 16 ? lowest_bit(F * int(sizeof(T))) : 16) Entry {
    T v[F];
    HOST_DEVICE T operator[](int f) const { return v[f]; }
};
// As many as only the reader knows, where they are.
template <class T>
struct Entry<T, 0> {
    const T* v;
    HOST_DEVICE T operator[](int f) const { return v[f]; }
};
template <int F, class T>
HOST_DEVICE Entry<T, F> entry_at(const T* rows, int64_t row, int count) {
    if constexpr (F > 0)
        return reinterpret_cast<const Entry<T, F>*>(rows)[row];
    else
        return {rows + row * count};
}

}  // namespace formfield
