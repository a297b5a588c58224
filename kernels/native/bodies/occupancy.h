// The occupancy grid's running values and its bits. Definitions: kernels/reference/occupancy.py.
#pragma once
#include "bodies/scalar.h"

namespace formfield {

// Eight cells to a byte, the first in the lowest bit; what is not a number is not occupied.
template <class T>
HOST_DEVICE uint8_t occupied_byte(const T* values, T threshold) {
    uint32_t bits = 0;
    for (int i = 0; i < 8; ++i) bits |= uint32_t(values[i] > threshold) << i;
    return uint8_t(bits);
}

// The larger of the decayed old value and the fresh one, which does not count if it is not a number; negative cells are left alone.
template <class T>
HOST_DEVICE T decayed(T value, T decay, T fresh) {
    if (value < 0) return value;
    const T less = decay * value;
    return fresh > less ? fresh : less;
}

}  // namespace formfield
