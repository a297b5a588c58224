// How well photographs agree on a small piece of plane: weighted normalised cross-correlation of the window about a pixel with where the
// plane takes it in others, and how that changes with the plane (see kernels/backends/reference/patch_agreement.py).
#pragma once
#include "bodies/entry.h"

namespace formfield {

constexpr int AGREEMENT_MAX_REACH = 5;
constexpr int AGREEMENT_SAMPLES = (2 * AGREEMENT_MAX_REACH + 1) * (2 * AGREEMENT_MAX_REACH + 1);
constexpr int AGREEMENT_COVERED = 250;     // of 255: what covers less shows something else, too
constexpr double AGREEMENT_LIKENESS = 0.2; // of grey in [0, 1]: pixels that differ by so much from the middle count 1/e
constexpr double AGREEMENT_NONE = 2;       // the cost of what cannot be compared: that of opposite patches

// Photographs one after the other, row by row: red, green, blue, coverage.
struct Pictures {
    const uint8_t* pixels;  // [N][4]
    const int64_t* starts;  // [views + 1]
    const int64_t* widths;  // [views]
};

// One of them.
template <class T>
struct Picture {
    const uint8_t* pixels;
    int64_t width;
    T right, bottom;  // the last column and row
};
template <class T>
HOST_DEVICE Picture<T> picture_of(const Pictures& pictures, int64_t view) {
    const int64_t start = pictures.starts[view], width = pictures.widths[view];
    const uint32_t rows = uint32_t(pictures.starts[view + 1] - start) / uint32_t(width);  // 64 bits divide slowly on a GPU
    return {pictures.pixels + 4 * start, width, T(width - 1), T(int64_t(rows) - 1)};
}

HOST_DEVICE Entry<uint8_t, 4> pixel_at(const uint8_t* p) {
#if defined(__CUDA_ARCH__)
    return *reinterpret_cast<const Entry<uint8_t, 4>*>(p);  // one request
#else
    return {{p[0], p[1], p[2], p[3]}};
#endif
}
template <class T>
HOST_DEVICE T grey_of(const Entry<uint8_t, 4>& p) {
    return (T(0.299) * p[0] + T(0.587) * p[1] + T(0.114) * p[2]) * T(1.0 / 255);
}

// Grey between the four pixels about (u, v), and its derivatives; false outside, and where one of them is not covered.
template <class T>
HOST_DEVICE bool look(const Picture<T>& picture, T u, T v, T& grey, T& by_u, T& by_v) {
    const T x = u - T(0.5), y = v - T(0.5);
    if (!(x >= 0 && y >= 0 && x < picture.right && y < picture.bottom)) return false;
    const int32_t column = int32_t(x), row = int32_t(y);
    const uint8_t *p = picture.pixels + 4 * (row * picture.width + column), *below = p + 4 * picture.width;
    const Entry<uint8_t, 4> p00 = pixel_at(p), p01 = pixel_at(p + 4), p10 = pixel_at(below), p11 = pixel_at(below + 4);
    if (p00[3] < AGREEMENT_COVERED || p01[3] < AGREEMENT_COVERED || p10[3] < AGREEMENT_COVERED || p11[3] < AGREEMENT_COVERED) return false;
    const T fx = x - T(column), fy = y - T(row);
    const T g00 = grey_of<T>(p00), g01 = grey_of<T>(p01), g10 = grey_of<T>(p10), g11 = grey_of<T>(p11);
    const T above = g00 + fx * (g01 - g00), under = g10 + fx * (g11 - g10);
    grey = above + fy * (under - above);
    by_u = (g01 - g00) + fy * ((g11 - g10) - (g01 - g00));
    by_v = under - above;
    return true;
}

// How much a pixel of a window counts, but for a factor: it is like the middle one, and near it.
template <class T>
HOST_DEVICE T agreement_weight(T grey, T middle, T dx, T dy, int reach) {
    return exp(-fabs(grey - middle) * T(1 / AGREEMENT_LIKENESS) - (dx * dx + dy * dy) * (1 / T(4 * reach * reach)));
}

// Where a plane takes the window about a pixel. Pixel (u, v) of the window's photograph, where the plane has the inverse depth w, lies at
// (X / Z, Y / Z) of the other with (X, Y, Z) = A (u, v, 1) + w b; warp is [3][4], A beside b. plane: w at the middle, and its change by a
// pixel to the right and by one down.
template <class T>
struct WindowMap {
    T plane[3], b[3], at[3], right[3], down[3];
};
template <class T>
HOST_DEVICE WindowMap<T> window_map(const T* middle, const T* warp, const T* plane) {
    WindowMap<T> map;
    for (int k = 0; k < 3; ++k) {
        const T* row = warp + 4 * k;
        map.plane[k] = plane[k], map.b[k] = row[3];
        map.at[k] = row[0] * middle[0] + row[1] * middle[1] + row[2] + row[3] * plane[0];
        map.right[k] = row[0] + row[3] * plane[1];
        map.down[k] = row[1] + row[3] * plane[2];
    }
    return map;
}

// Sums over a window in the other photograph, of the grey there less the window's mean and of its changes with the three numbers of the plane.
template <class T>
struct AgreementSums {
    T plain[4], square[4], cross[4];
};

// Adds a pixel of the window, dx and dy from its middle. False where it cannot be compared.
template <class T>
HOST_DEVICE bool agreement_add(const Picture<T>& other, const WindowMap<T>& map, T dx, T dy, T weight, T centred, T mean,
                               AgreementSums<T>& sums) {
    const T z = map.at[2] + map.right[2] * dx + map.down[2] * dy;
    if (!(z > 0 && map.plane[0] + map.plane[1] * dx + map.plane[2] * dy > 0)) return false;  // before both cameras
    const T per = 1 / z, u = (map.at[0] + map.right[0] * dx + map.down[0] * dy) * per,
            v = (map.at[1] + map.right[1] * dx + map.down[1] * dy) * per;
    T grey, by_u, by_v;
    if (!look(other, u, v, grey, by_u, by_v)) return false;
    const T value = grey - mean;  // small numbers: no cancellation in the variance
    const T by_w = (by_u * (map.b[0] - u * map.b[2]) + by_v * (map.b[1] - v * map.b[2])) * per;
    const T by[4] = {value, by_w, by_w * dx, by_w * dy}, weighted = weight * value;
    for (int j = 0; j < 4; ++j) {
        sums.plain[j] += weight * by[j];
        sums.square[j] += weighted * by[j];
        sums.cross[j] += centred * by[j];
    }
    return true;
}

// 1 - NCC and its derivatives by the plane. variance: of the window in its own photograph. noise: variance that says nothing.
template <class T>
HOST_DEVICE T agreement_of(const AgreementSums<T>& sums, T variance, T noise, T* slope) {
    const T power = larger(sums.square[0] - sums.plain[0] * sums.plain[0], T(0)) + noise;
    const T norm = 1 / sqrt((variance + noise) * power);
    for (int j = 0; j < 3; ++j)
        slope[j] = norm * (sums.cross[0] * (sums.square[j + 1] - sums.plain[0] * sums.plain[j + 1]) / power - sums.cross[j + 1]);
    return 1 - sums.cross[0] * norm;
}

template <class T>
struct AgreementPatch {
    T weight[AGREEMENT_SAMPLES];   // sum 1
    T centred[AGREEMENT_SAMPLES];  // weight times (grey - mean)
    T mean = 0, variance = 0;
};

// The window about a pixel of its own photograph. False where it is not all there.
template <class T>
HOST_DEVICE bool agreement_patch(const Picture<T>& picture, const T* middle, int reach, AgreementPatch<T>& out) {
    const int side = 2 * reach + 1, count = side * side;
    T grey[AGREEMENT_SAMPLES], unused[2];
    for (int k = 0; k < count; ++k)
        if (!look(picture, middle[0] + T(k % side - reach), middle[1] + T(k / side - reach), grey[k], unused[0], unused[1])) return false;
    T total = 0;
    out.mean = 0;
    for (int k = 0; k < count; ++k) {
        const T w = agreement_weight(grey[k], grey[count / 2], T(k % side - reach), T(k / side - reach), reach);
        out.weight[k] = w;
        total += w;
        out.mean += w * grey[k];
    }
    out.mean /= total;
    out.variance = 0;
    for (int k = 0; k < count; ++k) {
        out.weight[k] /= total;
        out.centred[k] = out.weight[k] * (grey[k] - out.mean);
        out.variance += out.centred[k] * (grey[k] - out.mean);
    }
    return true;
}

// The cost with one other photograph and its slope, which is 0 where they cannot be compared.
template <class T>
HOST_DEVICE T agreement_cost(const Picture<T>& other, const AgreementPatch<T>& patch, const WindowMap<T>& map, int reach, T noise, T* slope) {
    const int side = 2 * reach + 1, count = side * side;
    slope[0] = slope[1] = slope[2] = 0;
    AgreementSums<T> sums = {};
    for (int k = 0; k < count; ++k)
        if (!agreement_add(other, map, T(k % side - reach), T(k / side - reach), patch.weight[k], patch.centred[k], patch.mean, sums))
            return T(AGREEMENT_NONE);
    return agreement_of(sums, patch.variance, noise, slope);
}

}  // namespace formfield
