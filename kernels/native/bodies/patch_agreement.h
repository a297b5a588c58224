// How well photographs agree on a small piece of plane: weighted normalised cross-correlation of the window about a pixel with where the
// plane takes it in others, and how that changes with the plane (see kernels/backends/reference/patch_agreement.py).
#pragma once
#include "bodies/scalar.h"

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

template <class T>
HOST_DEVICE T grey_of(const uint8_t* p) {
    return (T(0.299) * p[0] + T(0.587) * p[1] + T(0.114) * p[2]) / 255;
}

// Grey between the four pixels about (u, v), and its derivatives; false outside, and where one of them is not covered.
template <class T>
HOST_DEVICE bool look(const Pictures& pictures, int64_t view, T u, T v, T& grey, T& by_u, T& by_v) {
    const int64_t start = pictures.starts[view], width = pictures.widths[view], height = (pictures.starts[view + 1] - start) / width;
    const T x = u - T(0.5), y = v - T(0.5);
    if (!(x >= 0 && y >= 0 && x < T(width - 1) && y < T(height - 1))) return false;
    const int64_t column = int64_t(x), row = int64_t(y);
    const uint8_t *p = pictures.pixels + 4 * (start + row * width + column), *below = p + 4 * width;
    if (p[3] < AGREEMENT_COVERED || p[7] < AGREEMENT_COVERED || below[3] < AGREEMENT_COVERED || below[7] < AGREEMENT_COVERED) return false;
    const T fx = x - T(column), fy = y - T(row);
    const T g00 = grey_of<T>(p), g01 = grey_of<T>(p + 4), g10 = grey_of<T>(below), g11 = grey_of<T>(below + 4);
    const T above = g00 + fx * (g01 - g00), under = g10 + fx * (g11 - g10);
    grey = above + fy * (under - above);
    by_u = (g01 - g00) + fy * ((g11 - g10) - (g01 - g00));
    by_v = under - above;
    return true;
}

template <class T>
struct AgreementPatch {
    T weight[AGREEMENT_SAMPLES];   // sum 1
    T centred[AGREEMENT_SAMPLES];  // weight times (grey - mean)
    T mean, variance;
};

// The window about a pixel of its own photograph. False where it is not all there.
template <class T>
HOST_DEVICE bool agreement_patch(const Pictures& pictures, int64_t view, const T* middle, int reach, AgreementPatch<T>& out) {
    const int side = 2 * reach + 1, count = side * side;
    T grey[AGREEMENT_SAMPLES], unused[2];
    for (int k = 0; k < count; ++k)
        if (!look(pictures, view, middle[0] + T(k % side - reach), middle[1] + T(k / side - reach), grey[k], unused[0], unused[1])) return false;
    T total = 0;
    out.mean = 0;
    for (int k = 0; k < count; ++k) {
        const T dx = T(k % side - reach), dy = T(k / side - reach);
        const T w = exp(-fabs(grey[k] - grey[count / 2]) / T(AGREEMENT_LIKENESS) - (dx * dx + dy * dy) / T(4 * reach * reach));
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

// 1 - NCC with one other photograph and its derivatives by the plane. Pixel (u, v) of the patch's photograph, where the plane has the
// inverse depth w, lies at (X / Z, Y / Z) of the other with (X, Y, Z) = A (u, v, 1) + w b; warp is [3][4], A beside b. plane: w at the
// middle, and its change by a pixel to the right and by one down. noise: variance that says nothing.
template <class T>
HOST_DEVICE T agreement_cost(const Pictures& pictures, const AgreementPatch<T>& patch, int64_t other, const T* middle, int reach,
                             const T* warp, const T* plane, T noise, T* slope) {
    const int side = 2 * reach + 1, count = side * side;
    T at[3], right[3], down[3];
    for (int k = 0; k < 3; ++k) {
        const T* row = warp + 4 * k;
        at[k] = row[0] * middle[0] + row[1] * middle[1] + row[2] + row[3] * plane[0];
        right[k] = row[0] + row[3] * plane[1];
        down[k] = row[1] + row[3] * plane[2];
    }
    slope[0] = slope[1] = slope[2] = 0;
    T sum = 0, squares = 0, cross = 0;
    T sum_by[3] = {0, 0, 0}, squares_by[3] = {0, 0, 0}, cross_by[3] = {0, 0, 0};
    for (int k = 0; k < count; ++k) {
        const T dx = T(k % side - reach), dy = T(k / side - reach);
        const T z = at[2] + right[2] * dx + down[2] * dy;
        if (!(z > 0 && plane[0] + plane[1] * dx + plane[2] * dy > 0)) return T(AGREEMENT_NONE);  // before both cameras
        const T per = 1 / z, u = (at[0] + right[0] * dx + down[0] * dy) * per, v = (at[1] + right[1] * dx + down[1] * dy) * per;
        T grey, by_u, by_v;
        if (!look(pictures, other, u, v, grey, by_u, by_v)) return T(AGREEMENT_NONE);
        const T value = grey - patch.mean;  // small numbers: no cancellation in the variance
        const T by_w = (by_u * (warp[3] - u * warp[11]) + by_v * (warp[7] - v * warp[11])) * per;
        const T weighted = patch.weight[k] * value;
        sum += weighted;
        squares += weighted * value;
        cross += patch.centred[k] * value;
        const T by[3] = {by_w, by_w * dx, by_w * dy};
        for (int j = 0; j < 3; ++j) {
            sum_by[j] += patch.weight[k] * by[j];
            squares_by[j] += weighted * by[j];
            cross_by[j] += patch.centred[k] * by[j];
        }
    }
    const T power = larger(squares - sum * sum, T(0)) + noise;
    const T norm = 1 / sqrt((patch.variance + noise) * power);
    for (int j = 0; j < 3; ++j) slope[j] = norm * (cross * (squares_by[j] - sum * sum_by[j]) / power - cross_by[j]);
    return 1 - cross * norm;
}

}  // namespace formfield
