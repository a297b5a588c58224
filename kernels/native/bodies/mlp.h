// One sample through a small multilayer perceptron: value, derivative along one direction, and the adjoints of both.
// Parameters are flat, W0 (row-major, out x in), b0, W1, b1, ...; T is float or double.
#pragma once
#include <cmath>
#include <cstdint>

#include "bodies/host_device.h"

namespace formfield {

constexpr int MAX_LAYERS = 9;

enum Activation { ACTIVATION_NONE = 0, ACTIVATION_RELU = 1, ACTIVATION_SOFTPLUS = 2, ACTIVATION_SIGMOID = 3 };

struct Network {
    int layers;                  // affine maps
    int widths[MAX_LAYERS + 1];  // inputs, hidden widths, outputs
    int activation, output_activation;
    int bias;
    float beta;  // sharpness of the softplus
};

HOST_DEVICE int activation_of(const Network& net, int layer) { return layer == net.layers - 1 ? net.output_activation : net.activation; }

// phi, phi', phi'' at z.
template <class T>
HOST_DEVICE void activate(int activation, T beta, T z, T* value, T* first, T* second) {
    if (activation == ACTIVATION_RELU) {
        *value = z < 0 ? T(0) : z;  // this way round: what is not a number must not become 0
        *first = z > 0 ? T(1) : T(0);
        *second = 0;
    } else if (activation == ACTIVATION_SOFTPLUS || activation == ACTIVATION_SIGMOID) {
        const T scaled = activation == ACTIVATION_SOFTPLUS ? beta * z : z;
        const T t = exp(-fabs(scaled));  // at most 1: nothing overflows
        const T s = scaled >= 0 ? 1 / (1 + t) : t / (1 + t);
        const T slope = t / ((1 + t) * (1 + t));  // s (1 - s) without cancellation
        if (activation == ACTIVATION_SOFTPLUS) {
            *value = (z < 0 ? T(0) : z) + log1p(t) / beta;
            *first = s;
            *second = beta * slope;
        } else {
            *value = s;
            *first = slope;
            *second = slope * (1 - 2 * s);
        }
    } else {
        *value = z;
        *first = 1;
        *second = 0;
    }
}

// Per-sample numbers of all layers, inputs included, one array after another: each array has `total_width` numbers.
template <class T>
struct Trace {
    T *a, *first, *second;  // activations and phi', phi'' where they came from
    T *zdot, *adot;         // derivatives along the direction; may be null
};

HOST_DEVICE int total_width(const Network& net) {
    int sum = 0;
    for (int i = 0; i <= net.layers; ++i) sum += net.widths[i];
    return sum;
}

HOST_DEVICE int parameter_count(const Network& net) {
    int sum = 0;
    for (int i = 0; i < net.layers; ++i) sum += (net.widths[i] + (net.bias ? 1 : 0)) * net.widths[i + 1];
    return sum;
}

// Reads a (and adot, if given) of the inputs, fills everything else.
template <class T>
HOST_DEVICE void mlp_forward(const Network& net, const T* params, const Trace<T>& t) {
    int in = 0;
    for (int i = 0; i < net.layers; ++i) {
        const int K = net.widths[i], O = net.widths[i + 1], out = in + K;
        const T* W = params;
        const T* b = net.bias ? params + K * O : nullptr;
        params += K * O + (net.bias ? O : 0);
        for (int j = 0; j < O; ++j) {
            T z = b ? b[j] : T(0), zdot = 0;
            for (int k = 0; k < K; ++k) {
                z += W[j * K + k] * t.a[in + k];
                if (t.adot) zdot += W[j * K + k] * t.adot[in + k];
            }
            activate(activation_of(net, i), T(net.beta), z, t.a + out + j, t.first + out + j, t.second + out + j);
            if (t.adot) {
                t.zdot[out + j] = zdot;
                t.adot[out + j] = t.first[out + j] * zdot;
            }
        }
        in = out;
    }
}

// Adjoints. da and dadot have `total_width` numbers: those of the outputs are read, all others written, the inputs' included.
// dadot may be null (then no direction), dparams too. With da null only the derivative chain dadot is carried: the gradient of the
// outputs weighted by dadot of the outputs.
template <class T, class Add>
HOST_DEVICE void mlp_backward(const Network& net, const T* params, const Trace<T>& t, T* da, T* dadot, T* dparams, Add add) {
    int out = total_width(net), end = parameter_count(net);
    for (int i = net.layers - 1; i >= 0; --i) {
        const int K = net.widths[i], O = net.widths[i + 1];
        out -= O;
        const int in = out - K;
        end -= K * O + (net.bias ? O : 0);
        const T* W = params + end;
        for (int k = 0; k < K; ++k) {
            if (da) da[in + k] = 0;
            if (dadot) dadot[in + k] = 0;
        }
        for (int j = 0; j < O; ++j) {
            T dz = da ? t.first[out + j] * da[out + j] : T(0);
            const T dzdot = dadot ? t.first[out + j] * dadot[out + j] : T(0);
            if (da && dadot) dz += t.second[out + j] * t.zdot[out + j] * dadot[out + j];
            for (int k = 0; k < K; ++k) {
                if (da) da[in + k] += W[j * K + k] * dz;
                if (dadot) dadot[in + k] += W[j * K + k] * dzdot;
                if (dparams) add(dparams + end + j * K + k, dz * t.a[in + k] + (dadot ? dzdot * t.adot[in + k] : T(0)));
            }
            if (dparams && net.bias) add(dparams + end + K * O + j, dz);
        }
    }
}

}  // namespace formfield
