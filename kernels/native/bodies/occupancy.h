// The occupancy grid's running values and its bits. Definitions: kernels/backends/reference/occupancy.py.
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

// Every third bit of a Morton index, from the lowest on.
HOST_DEVICE uint32_t gather_bits(uint32_t v) {
    v &= 0x09249249u;
    v = (v | (v >> 2)) & 0x030C30C3u;
    v = (v | (v >> 4)) & 0x0300F00Fu;
    v = (v | (v >> 8)) & 0x030000FFu;
    return (v | (v >> 16)) & 0x3FFu;
}

// Whether the sphere around a cell reaches the frustum of one view at least. planes [views, 5, 4]: unit normals that point inwards and
// their offsets, scene units; the cell's cube is centred at the origin.
template <class T>
HOST_DEVICE bool cell_seen(uint32_t cell, int32_t resolution, T size, T radius, const T* planes, int64_t views) {
    T center[3];
    for (int a = 0; a < 3; ++a) center[a] = (T(gather_bits(cell >> a)) + T(0.5) - T(resolution) / 2) * size;
    for (int64_t v = 0; v < views; ++v) {
        bool inside = true;
        for (const T* p = planes + v * 20; p < planes + v * 20 + 20; p += 4)
            inside &= p[0] * center[0] + p[1] * center[1] + p[2] * center[2] - p[3] >= -radius;
        if (inside) return true;
    }
    return false;
}

}  // namespace formfield
