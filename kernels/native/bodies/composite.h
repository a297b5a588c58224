// Volume rendering of one ray, forward and backward, and its distortion loss. n samples; pointers point at the ray's first sample.
// Channels are row-major [n, count]; C is their number if known at compile time, else 0.
#pragma once
#include "bodies/scalar.h"

namespace formfield {

template <class T>
struct RayOutputs {
    T* values;   // [channels]
    T* opacity;  // [1]
    T* weights;  // [n]
    T* after;    // [n] transmittance behind each sample (density form) or in front of it (alpha form); 0 where stopped early (density form)
};

template <class T>
struct RayGradients {
    const T* values;   // [channels], or null
    const T* opacity;  // [1], or null
    const T* weights;  // [n], or null
};

template <int C, class T>
HOST_DEVICE void add_channels(T* values, T weight, const T* channels, int count) {
    if (C > 0) {
        for (int c = 0; c < C; ++c) values[c] += weight * channels[c];
    } else {
        for (int c = 0; c < count; ++c) values[c] += weight * channels[c];
    }
}

// dL/dw of sample i
template <int C, class T>
HOST_DEVICE T weight_gradient(const RayGradients<T>& g, const T* channels, int count, int64_t i) {
    T q = g.opacity ? *g.opacity : T(0);
    if (g.weights) q += g.weights[i];
    if (g.values) {
        const int used = C > 0 ? C : count;
        for (int c = 0; c < used; ++c) q += g.values[c] * channels[i * used + c];
    }
    return q;
}

template <int C, class T>
HOST_DEVICE void channel_gradient(const RayGradients<T>& g, T weight, T* out, int count) {
    const int used = C > 0 ? C : count;
    for (int c = 0; c < used; ++c) out[c] = g.values ? weight * g.values[c] : T(0);
}

// The optical depth is summed in double: with a thousand thin samples its rounding would all go one way.
template <int C, class T>
HOST_DEVICE void composite_ray(
    int64_t n, const T* density, const T* dt, const T* channels, int count, T early_stop, const RayOutputs<T>& out
) {
    const int used = C > 0 ? C : count;
    T local[C > 0 ? C : 1] = {};
    T* values = C > 0 ? local : out.values;
    if (C == 0)
        for (int c = 0; c < used; ++c) values[c] = 0;
    T opacity = 0, transmittance = 1;
    double depth = 0;
    int64_t i = 0;
    for (; i < n; ++i) {
        if (transmittance < early_stop) break;
        const T x = density[i] * dt[i];
        const T weight = transmittance * one_minus_exp(x, exp(-x));
        depth += double(x);
        transmittance = exp(T(-depth));
        out.weights[i] = weight;
        out.after[i] = transmittance;
        opacity += weight;
        add_channels<C>(values, weight, channels + i * used, used);
    }
    for (; i < n; ++i) out.weights[i] = out.after[i] = 0;
    if (C > 0)
        for (int c = 0; c < C; ++c) out.values[c] = local[c];
    *out.opacity = opacity;
}

// Back to front: behind = sum over later samples of w q. Stopped samples have weight and transmittance 0 and so get no gradient.
template <int C, class T>
HOST_DEVICE void composite_ray_backward(
    int64_t n, const T* density, const T* dt, const T* channels, int count, const T* weights, const T* after, const RayGradients<T>& g,
    T* grad_density, T* grad_dt, T* grad_channels
) {
    const int used = C > 0 ? C : count;
    T behind = 0;
    for (int64_t i = n - 1; i >= 0; --i) {
        const T q = weight_gradient<C>(g, channels, count, i);
        const T by_depth = after[i] * q - behind;
        if (grad_density) grad_density[i] = dt[i] * by_depth;
        if (grad_dt) grad_dt[i] = density[i] * by_depth;
        if (grad_channels) channel_gradient<C>(g, weights[i], grad_channels + i * used, count);
        behind += weights[i] * q;
    }
}

template <int C, class T>
HOST_DEVICE void composite_alpha_ray(int64_t n, const T* alpha, const T* channels, int count, T early_stop, const RayOutputs<T>& out) {
    const int used = C > 0 ? C : count;
    T local[C > 0 ? C : 1] = {};
    T* values = C > 0 ? local : out.values;
    if (C == 0)
        for (int c = 0; c < used; ++c) values[c] = 0;
    T opacity = 0;
    double transmittance = 1;
    for (int64_t i = 0; i < n; ++i) {
        const T before = T(transmittance);
        const T weight = early_stop > 0 && before < early_stop ? T(0) : before * alpha[i];
        out.weights[i] = weight;
        out.after[i] = before;
        transmittance *= 1 - double(alpha[i]);
        opacity += weight;
        add_channels<C>(values, weight, channels + i * used, used);
    }
    if (C > 0)
        for (int c = 0; c < C; ++c) out.values[c] = local[c];
    *out.opacity = opacity;
}

// R is the value, weighted by dL/dw, of what lies behind, as seen from there: no division, so exact at alpha = 1 too.
template <int C, class T>
HOST_DEVICE void composite_alpha_ray_backward(
    int64_t n, const T* alpha, const T* channels, int count, T early_stop, const T* weights, const T* before, const RayGradients<T>& g,
    T* grad_alpha, T* grad_channels
) {
    const int used = C > 0 ? C : count;
    T behind = 0;
    for (int64_t i = n - 1; i >= 0; --i) {
        const bool stopped = early_stop > 0 && before[i] < early_stop;
        const T q = stopped ? T(0) : weight_gradient<C>(g, channels, count, i);
        if (grad_alpha) grad_alpha[i] = stopped ? T(0) : before[i] * (q - behind);
        if (grad_channels) channel_gradient<C>(g, weights[i], grad_channels + i * used, count);
        behind = alpha[i] * q + (1 - alpha[i]) * behind;
    }
}

// sum_ij w_i w_j |t_i - t_j| + 1/3 sum_i w_i^2 dt_i in one sweep; distances from the first sample, which cancels less
template <class T>
HOST_DEVICE T distortion_ray(int64_t n, const T* weights, const T* t, const T* dt) {
    T loss = 0, mass = 0, moment = 0;
    for (int64_t i = 0; i < n; ++i) {
        const T w = weights[i], x = t[i] - t[0];
        loss += 2 * w * (x * mass - moment) + w * w * dt[i] * T(1.0 / 3);
        mass += w;
        moment += w * x;
    }
    return loss;
}

// dL/dw_k = 2 ((x_k W_<k - M_<k) + (M_>k - x_k W_>k)) + 2/3 w_k dt_k, by a sweep from either end
template <class T>
HOST_DEVICE void distortion_ray_backward(int64_t n, const T* weights, const T* t, const T* dt, T g, T* grad_weights) {
    T mass = 0, moment = 0;
    for (int64_t i = 0; i < n; ++i) {
        const T w = weights[i], x = t[i] - t[0];
        grad_weights[i] = x * mass - moment;
        mass += w;
        moment += w * x;
    }
    mass = moment = 0;
    for (int64_t i = n - 1; i >= 0; --i) {
        const T w = weights[i], x = t[i] - t[0];
        grad_weights[i] = g * (2 * (grad_weights[i] + moment - x * mass) + T(2.0 / 3) * w * dt[i]);
        mass += w;
        moment += w * x;
    }
}

}  // namespace formfield
