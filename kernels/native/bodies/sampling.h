// Inverse transform sampling on one ray.
#pragma once
#include "bodies/scalar.h"

namespace formfield {

// Running sum of the weights of the n-1 intervals into cdf [n-1], or of their lengths if all weights are 0; which of the two.
template <class T>
HOST_DEVICE bool accumulate_pdf(int64_t n, const T* bins, const T* weights, T* cdf) {
    T sum = 0;
    for (int64_t i = 0; i + 1 < n; ++i) cdf[i] = sum += weights[i];
    if (sum > 0) return false;
    sum = 0;
    for (int64_t i = 0; i + 1 < n; ++i) cdf[i] = sum += bins[i + 1] - bins[i];
    return true;
}

// The point at which the distribution reaches u in [0, 1].
template <class T>
HOST_DEVICE T invert_cdf(int64_t n, const T* bins, const T* weights, const T* cdf, bool flat, T u) {
    if (n == 1) return bins[0];
    const T target = u * cdf[n - 2];
    int64_t low = 0, high = n - 1;  // first interval whose running sum exceeds the target
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (cdf[middle] > target)
            high = middle;
        else
            low = middle + 1;
    }
    const int64_t k = low < n - 1 ? low : n - 2;
    const T length = bins[k + 1] - bins[k], inside = flat ? length : weights[k];
    const T fraction = inside > 0 ? (target - (cdf[k] - inside)) / inside : T(0);
    return bins[k] + smaller(larger(fraction, T(0)), T(1)) * length;
}

}  // namespace formfield
