// A multilayer perceptron on one tile of 48 samples: value, gradient of output 0, and the adjoint with or without one direction.
// Activations are recomputed in the backward pass and never leave the cache.
#pragma once
#include "cpu/simd/gemm.h"

namespace formfield {
namespace FORMFIELD_ISA {
namespace {

INLINE int activation_at(const Network& net, int layer) { return layer == net.layers - 1 ? net.output_activation : net.activation; }

// Where things lie in the scratch memory of a worker.
struct Layout {
    int64_t activations, first, second, zdot, adot;  // arrays of all layers, inputs first
    int64_t here, there, heredot, theredot;          // adjoints, ping-pong, of the widest layer
    int64_t transposed;
    int64_t total;
    int start[MAX_LAYERS + 1] = {};   // first row of each layer in the arrays
    int64_t weights[MAX_LAYERS];      // first packed weight of each layer
    int64_t parameters[MAX_LAYERS];   // first parameter of each layer
    int64_t gradients[MAX_LAYERS];    // first partial gradient of each layer: [in + bias][round_up(out)]
    int64_t gradient_total;

    explicit Layout(const Network& net) {
        int rows = 0, widest = 0;
        int64_t w = 0, p = 0, g = 0;
        for (int i = 0; i <= net.layers; ++i) {
            start[i] = rows;
            rows += net.widths[i];
            if (net.widths[i] > widest) widest = net.widths[i];
            if (i == net.layers) break;
            const int K = net.widths[i], O = net.widths[i + 1];
            weights[i] = w, parameters[i] = p, gradients[i] = g;
            w += K * O, p += K * O + (net.bias ? O : 0), g += (K + (net.bias ? 1 : 0)) * round_up(O);
        }
        gradient_total = g;
        int64_t at = 0;
        const auto take = [&](int64_t r) {
            const int64_t begin = at;
            at += r * TILE;
            return begin;
        };
        activations = take(rows), first = take(rows), second = take(rows), zdot = take(rows), adot = take(rows);
        here = take(widest), there = take(widest), heredot = take(widest), theredot = take(widest);
        transposed = take(round_up(widest));
        total = at;
    }
};

template <int ORDER>  // derivatives wanted: 0, 1 or 2
INLINE void activate_rows(int activation, float beta, int rows, float* a, float* first, float* second) {
    const int count = rows * TILE;
    if (activation == ACTIVATION_RELU) {
        for (int i = 0; i < count; i += W) {
            const vf z = load(a + i);
            store(a + i, max(z, zero()));
            if (ORDER >= 1) store(first + i, z > 0.f ? splat(1.f) : zero());
            if (ORDER >= 2) store(second + i, zero());
        }
    } else if (activation == ACTIVATION_SOFTPLUS) {
        const float inverse = 1.f / beta;
        for (int i = 0; i < count; i += W) {
            const vf z = load(a + i);
            const vf t = exp_negative(-absolute(beta * z));
            const vf p = 1.f + t, q = 2.f + t;
            const vf r = 1.f / (p * q);
            store(a + i, max(z, zero()) + inverse * log1p_of_ratio(t * p * r));
            if (ORDER >= 1) {
                const vf s = r * q;  // 1 / (1 + t)
                const vf high = z > 0.f ? s : t * s;
                store(first + i, high);
                if (ORDER >= 2) store(second + i, beta * (t * s * s));
            }
        }
    } else if (activation == ACTIVATION_SIGMOID) {
        for (int i = 0; i < count; i += W) {
            const vf z = load(a + i);
            const vf t = exp_negative(-absolute(z));
            const vf s = 1.f / (1.f + t);
            const vf value = z > 0.f ? s : t * s;
            const vf slope = t * s * s;
            store(a + i, value);
            if (ORDER >= 1) store(first + i, slope);
            if (ORDER >= 2) store(second + i, slope * (1.f - 2.f * value));
        }
    } else {
        for (int i = 0; i < count; i += W) {
            if (ORDER >= 1) store(first + i, splat(1.f));
            if (ORDER >= 2) store(second + i, zero());
        }
    }
}

// Values of all layers; the inputs are in a0, or where the layout says.
template <int ORDER>
INLINE void tile_forward(const MlpJob& job, const Layout& layout, const float* a0, float* scratch) {
    const Network& net = *job.net;
    const float* in = a0;
    for (int i = 0; i < net.layers; ++i) {
        const int K = net.widths[i], O = net.widths[i + 1];
        const int64_t at = int64_t(layout.start[i + 1]) * TILE;
        float* out = scratch + layout.activations + at;
        const float* bias = net.bias ? job.params + layout.parameters[i] + K * O : nullptr;
        multiply(job.forward + layout.weights[i], bias, in, K, O, out);
        activate_rows<ORDER>(activation_at(net, i), net.beta, O, out, scratch + layout.first + at, scratch + layout.second + at);
        in = out;
    }
}

// Derivatives along a direction, after tile_forward<2>; the inputs' are in adot0.
INLINE void tile_tangent(const MlpJob& job, const Layout& layout, const float* adot0, float* scratch) {
    const Network& net = *job.net;
    const float* in = adot0;
    for (int i = 0; i < net.layers; ++i) {
        const int K = net.widths[i], O = net.widths[i + 1];
        const int64_t at = int64_t(layout.start[i + 1]) * TILE;
        float *zdot = scratch + layout.zdot + at, *adot = scratch + layout.adot + at;
        const float* first = scratch + layout.first + at;
        // of the last layer only output 0 is differentiated; its weights are row 0 of the matrix
        if (i == net.layers - 1) {
            const float* w = job.params + layout.parameters[i];
            for (int s = 0; s < TILE; s += W) {
                vf sum = zero();
                for (int k = 0; k < K; ++k) sum += w[k] * load(in + k * TILE + s);
                store(zdot + s, sum);
            }
            return;
        }
        multiply(job.forward + layout.weights[i], nullptr, in, K, O, zdot);
        for (int j = 0; j < O * TILE; j += W) store(adot + j, load(first + j) * load(zdot + j));
        in = adot;
    }
}

// The gradient of output 0 to the inputs of its layer, seeded with its own activation.
INLINE void seed_gradient(const MlpJob& job, const Layout& layout, const float* scratch, float* to) {
    const Network& net = *job.net;
    const int last = net.layers - 1, K = net.widths[last];
    const float* w = job.params + layout.parameters[last];
    const float* first = scratch + layout.first + int64_t(layout.start[net.layers]) * TILE;
    for (int k = 0; k < K; ++k)
        for (int s = 0; s < TILE; s += W) store(to + k * TILE + s, w[k] * load(first + s));
}

// d output_0 / d input into `result` [inputs][48], after tile_forward<1>.
INLINE void tile_gradient(const MlpJob& job, const Layout& layout, float* scratch, float* result) {
    const Network& net = *job.net;
    float *g = net.layers == 1 ? result : scratch + layout.here, *other = scratch + layout.there;
    seed_gradient(job, layout, scratch, g);
    for (int i = net.layers - 2; i >= 0; --i) {
        const int K = net.widths[i], O = net.widths[i + 1];
        const float* first = scratch + layout.first + int64_t(layout.start[i + 1]) * TILE;
        for (int j = 0; j < O * TILE; j += W) store(g + j, load(g + j) * load(first + j));
        float* to = i == 0 ? result : other;
        multiply(job.backward + layout.weights[i], nullptr, g, O, K, to);
        other = g;
        g = to;
    }
}

// dw[k][0] += sum over the samples of c a[k].
INLINE void add_outer_first(const float* c, const float* a, int K, int padded, float* dw) {
    for (int k = 0; k < K; k += W) {
        vf part[W];
        for (int i = 0; i < W; ++i) {
            part[i] = zero();
            if (k + i < K)
                for (int s = 0; s < TILE; s += W) part[i] += load(c + s) * load(a + (k + i) * TILE + s);
        }
        interleave<W>(part);
        vf sum = part[0];
        for (int i = 1; i < W; ++i) sum += part[i];
        float sums[W];
        store(sums, sum);
        for (int i = 0; i < W && k + i < K; ++i) dw[(k + i) * padded] += sums[i];
    }
}

// Adjoints after tile_forward<1> (no direction) or tile_forward<2> and tile_tangent. dout is in layout.here. The adjoints of the
// inputs go to da0 (and dadot0); da0 may be null.
template <bool DIRECTION>
INLINE void tile_backward(const MlpJob& job, const Layout& layout, const float* a0, const float* adot0, float* da0, float* dadot0,
                          float* gradients, float* scratch) {
    const Network& net = *job.net;
    float *g = scratch + layout.here, *other = scratch + layout.there;
    float *gdot = scratch + layout.heredot, *otherdot = scratch + layout.theredot;
    float* transposed = scratch + layout.transposed;
    for (int i = net.layers - 1; i >= 0; --i) {
        const bool last = i == net.layers - 1;
        const int K = net.widths[i], O = net.widths[i + 1], padded = round_up(O);
        const int64_t at = int64_t(layout.start[i + 1]) * TILE;
        const float *first = scratch + layout.first + at, *second = scratch + layout.second + at, *zdot = scratch + layout.zdot + at;
        const bool plain = activation_at(net, i) == ACTIVATION_NONE;
        if (last) {
            if (!plain)
                for (int j = 0; j < O * TILE; j += W) store(g + j, load(g + j) * load(first + j));
            if (DIRECTION)
                for (int s = 0; s < TILE; s += W) store(g + s, load(g + s) + load(second + s) * load(zdot + s));
        } else if (DIRECTION) {
            for (int j = 0; j < O * TILE; j += W) {
                const vf f = load(first + j), d = load(gdot + j);
                store(g + j, load(g + j) * f + load(second + j) * load(zdot + j) * d);
                store(gdot + j, d * f);
            }
        } else if (!plain) {
            for (int j = 0; j < O * TILE; j += W) store(g + j, load(g + j) * load(first + j));
        }
        const float* in = i == 0 ? a0 : scratch + layout.activations + int64_t(layout.start[i]) * TILE;
        const float* indot = i == 0 ? adot0 : scratch + layout.adot + int64_t(layout.start[i]) * TILE;
        if (gradients) {
            float* dw = gradients + layout.gradients[i];
            transpose(g, O, transposed);
            add_outer(transposed, in, K, O, dw);
            if (net.bias) add_bias(transposed, O, dw + K * padded);
            if (DIRECTION) {
                if (last) {
                    add_outer_first(first, indot, K, padded, dw);
                } else {
                    transpose(gdot, O, transposed);
                    add_outer(transposed, indot, K, O, dw);
                }
            }
        }
        if (i == 0 && !da0) return;
        float *to = i == 0 ? da0 : other, *todot = i == 0 ? dadot0 : otherdot;
        multiply(job.backward + layout.weights[i], nullptr, g, O, K, to);
        if (DIRECTION) {
            if (last)
                seed_gradient(job, layout, scratch, todot);
            else
                multiply(job.backward + layout.weights[i], nullptr, gdot, O, K, todot);
        }
        other = g, otherdot = gdot;
        g = to, gdot = todot;
    }
}

}  // namespace
}  // namespace FORMFIELD_ISA
}  // namespace formfield
