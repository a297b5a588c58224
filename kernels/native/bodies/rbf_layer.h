// One sample through the Gaussian RBF layer of F features and O outputs, and its adjoint.
//   phi_i = exp(-1/2 sum_j beta_ij (x_j - c_ij)^2),  y_o = bias_o + sum_i w_oi phi_i
// Given a direction v for the features, outputs and gradients are replaced by their derivatives along it.
#pragma once
#include "bodies/scalar.h"

namespace formfield {

template <class T>
struct RbfLayer {
    int neurons;
    const T *centers, *betas;  // [neurons, F]
    const T *weight, *bias;    // [O, neurons], [O]
};

// phi of one neuron, and its derivative along v (0 without one).
template <int F, class T>
HOST_DEVICE void rbf_neuron(const T* x, const T* v, const T* center, const T* beta, T& phi, T& phidot) {
    T square = 0, along = 0;
    for (int j = 0; j < F; ++j) {
        const T d = x[j] - center[j], scaled = beta[j] * d;
        square += scaled * d;
        if (v) along += scaled * v[j];
    }
    phi = exp(T(-0.5) * square);
    phidot = v ? -(phi * along) : T(0);
}

template <int F, int O, class T>
HOST_DEVICE void rbf_layer_forward(const RbfLayer<T>& layer, const T* x, const T* v, T* y) {
    for (int o = 0; o < O; ++o) y[o] = v ? T(0) : layer.bias[o];
    for (int i = 0; i < layer.neurons; ++i) {
        T phi, phidot;
        rbf_neuron<F>(x, v, layer.centers + int64_t(i) * F, layer.betas + int64_t(i) * F, phi, phidot);
        for (int o = 0; o < O; ++o) y[o] += layer.weight[int64_t(o) * layer.neurons + i] * (v ? phidot : phi);
    }
}

// dx [F] is overwritten. Gradients of centres, log betas, weight and bias, one after another in `sums` (null: not wanted), by
// add(place, value). With Q = phi dL/dphi and t = Q beta (x - c): dL/dx -= t, dL/dc += t, dL/d log beta -= t (x - c) / 2. Along v,
// t' = Q' beta (x - c) + Q beta v, and the last becomes (t' (x - c) + t v) / 2.
template <int F, int O, class T, class Add>
HOST_DEVICE void rbf_layer_backward(const RbfLayer<T>& layer, const T* x, const T* v, const T* dy, T* dx, T* sums, Add&& add) {
    const int64_t neurons = layer.neurons, parameters = neurons * F;
    for (int j = 0; j < F; ++j) dx[j] = 0;
    ONE_BY_ONE
    for (int64_t i = 0; i < neurons; ++i) {
        const T *center = layer.centers + i * F, *beta = layer.betas + i * F;
        T phi, phidot, g = 0;
        rbf_neuron<F>(x, v, center, beta, phi, phidot);
        for (int o = 0; o < O; ++o) {
            const int64_t at = o * neurons + i;
            g += layer.weight[at] * dy[o];
            if (sums) add(sums + 2 * parameters + at, dy[o] * (v ? phidot : phi));
        }
        const T q = g * phi, qdot = g * phidot;
        for (int j = 0; j < F; ++j) {
            const T d = x[j] - center[j], first = q * beta[j] * d;
            const T t = v ? beta[j] * (qdot * d + q * v[j]) : first;
            dx[j] -= t;
            if (!sums) continue;
            add(sums + i * F + j, t);
            add(sums + parameters + i * F + j, T(-0.5) * (v ? t * d + first * v[j] : t * d));
        }
    }
    for (int o = 0; sums && !v && o < O; ++o) add(sums + 2 * parameters + O * neurons + o, dy[o]);
}

}  // namespace formfield
