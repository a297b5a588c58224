// One tile of samples of the Gaussian RBF layer. P says what a vector is (P::V of P::LANES numbers P::T) and what can be done with it; it
// belongs to one instruction set, and so do therefore all instances of this template.
#pragma once
#include "cpu/rbf_layer_simd.h"

namespace formfield {

template <class P>
struct RbfLayerTile {
    using T = typename P::T;
    using V = typename P::V;
    static constexpr int BLOCKS = 4;  // vectors of samples side by side: parameters are broadcast once for all
    static constexpr int TILE = BLOCKS * P::LANES;

    struct Scratch {
        V *x, *v, *dx, *dy, *phi, *phidot;      // [features], [features], [features], [outputs], [neurons] x 2, times BLOCKS
        V *centers, *log_betas, *weight, *bias;  // sums of gradients, a vector per parameter
    };

    static int64_t vectors(const LayerJob<T>& job) {
        const int64_t F = job.features, R = job.neurons, O = job.outputs;
        return (3 * F + O + 2 * R) * BLOCKS + 2 * R * F + O * R + O;
    }
    static int64_t scratch_size(const LayerJob<T>& job) { return vectors(job) * P::LANES; }
    static Scratch split(const LayerJob<T>& job, T* memory) {
        const int64_t F = job.features, R = job.neurons, O = job.outputs;
        V* at = reinterpret_cast<V*>(memory);
        const auto take = [&](int64_t count) {
            V* here = at;
            at += count;
            return here;
        };
        Scratch s;
        s.x = take(F * BLOCKS), s.v = take(F * BLOCKS), s.dx = take(F * BLOCKS), s.dy = take(O * BLOCKS);
        s.phi = take(R * BLOCKS), s.phidot = take(R * BLOCKS);
        s.centers = take(R * F), s.log_betas = take(R * F), s.weight = take(O * R), s.bias = take(O);
        return s;
    }

    // Rows [first, first + TILE) of [n, columns] to [columns][TILE]; rows past the end read as 0.
    static void load_rows(const T* rows, int columns, int64_t first, int64_t end, V* to) {
        T* lanes = reinterpret_cast<T*>(to);
        for (int s = 0; s < TILE; ++s)
            for (int c = 0; c < columns; ++c) lanes[c * TILE + s] = first + s < end ? rows[(first + s) * columns + c] : T(0);
    }
    static void store_rows(const V* from, int columns, int64_t first, int64_t end, T* rows) {
        const T* lanes = reinterpret_cast<const T*>(from);
        for (int s = 0; s < TILE && first + s < end; ++s)
            for (int c = 0; c < columns; ++c) rows[(first + s) * columns + c] = lanes[c * TILE + s];
    }

    // phi (and phidot = -phi sum_j beta (f - c) v) of all neurons
    template <bool TANGENT>
    static void neurons(const LayerJob<T>& job, const Scratch& s) {
        for (int i = 0; i < job.neurons; ++i) {
            V square[BLOCKS] = {}, along[BLOCKS] = {};
            const T *c = job.centers + int64_t(i) * job.features, *b = job.betas + int64_t(i) * job.features;
            for (int j = 0; j < job.features; ++j) {
                const V center = P::splat(c[j]), beta = P::splat(b[j]);
                for (int q = 0; q < BLOCKS; ++q) {
                    const V d = s.x[j * BLOCKS + q] - center, scaled = beta * d;
                    square[q] += scaled * d;
                    if constexpr (TANGENT) along[q] += scaled * s.v[j * BLOCKS + q];
                }
            }
            for (int q = 0; q < BLOCKS; ++q) {
                const V phi = P::exp_negative(square[q] * P::splat(T(-0.5)));
                s.phi[i * BLOCKS + q] = phi;
                if constexpr (TANGENT) s.phidot[i * BLOCKS + q] = -(phi * along[q]);
            }
        }
    }

    template <bool TANGENT>
    static void forward_range(const LayerJob<T>& job, const T* x, const T* direction, int64_t begin, int64_t end, T* y, T* memory) {
        const Scratch s = split(job, memory);
        for (int64_t first = begin; first < end; first += TILE) {
            load_rows(x, job.features, first, end, s.x);
            if constexpr (TANGENT) load_rows(direction, job.features, first, end, s.v);
            neurons<TANGENT>(job, s);
            const V* phi = TANGENT ? s.phidot : s.phi;
            for (int o = 0; o < job.outputs; ++o) {
                V sum[BLOCKS];
                for (int q = 0; q < BLOCKS; ++q) sum[q] = P::splat(TANGENT ? T(0) : job.bias[o]);
                for (int i = 0; i < job.neurons; ++i) {
                    const V w = P::splat(job.weight[int64_t(o) * job.neurons + i]);
                    for (int q = 0; q < BLOCKS; ++q) sum[q] += w * phi[i * BLOCKS + q];
                }
                for (int q = 0; q < BLOCKS; ++q) s.dy[o * BLOCKS + q] = sum[q];
            }
            store_rows(s.dy, job.outputs, first, end, y);
        }
    }

    // With Q = phi dL/dphi and t = Q beta (f - c): dL/df -= t, dL/dc += t, dL/d log beta -= t (f - c) / 2. Along v:
    // t' = Q' beta (f - c) + Q beta v, and the last becomes (t' (f - c) + t v) / 2.
    template <bool TANGENT, bool SUMS>
    static void backward_neuron(const LayerJob<T>& job, const Scratch& s, int i) {
        V q0[BLOCKS], q1[BLOCKS];
        for (int q = 0; q < BLOCKS; ++q) q0[q] = V{};
        for (int o = 0; o < job.outputs; ++o) {
            const V w = P::splat(job.weight[int64_t(o) * job.neurons + i]);
            V sum = V{};
            for (int q = 0; q < BLOCKS; ++q) {
                const V g = s.dy[o * BLOCKS + q];
                q0[q] += w * g;
                if constexpr (SUMS) sum += g * (TANGENT ? s.phidot : s.phi)[i * BLOCKS + q];
            }
            if constexpr (SUMS) s.weight[int64_t(o) * job.neurons + i] += sum;
        }
        for (int q = 0; q < BLOCKS; ++q) {
            q1[q] = q0[q] * s.phidot[i * BLOCKS + q];
            q0[q] *= s.phi[i * BLOCKS + q];
        }
        const int64_t row = int64_t(i) * job.features;
        for (int j = 0; j < job.features; ++j) {
            const V center = P::splat(job.centers[row + j]), beta = P::splat(job.betas[row + j]);
            V by_center = V{}, by_beta = V{};
            for (int q = 0; q < BLOCKS; ++q) {
                const V d = s.x[j * BLOCKS + q] - center;
                V t = q0[q] * beta * d, twice = t * d;
                if constexpr (TANGENT) {
                    const V v = s.v[j * BLOCKS + q], first = t;
                    t = beta * (q1[q] * d + q0[q] * v);
                    twice = t * d + first * v;
                }
                s.dx[j * BLOCKS + q] -= t;
                by_center += t;
                by_beta += twice;
            }
            if constexpr (SUMS) {
                s.centers[row + j] += by_center;
                s.log_betas[row + j] += by_beta;
            }
        }
    }

    template <bool TANGENT, bool SUMS>
    static void backward_range(
        const LayerJob<T>& job, const T* x, const T* direction, const T* dy, int64_t begin, int64_t end, T* dx, T* partial, T* memory
    ) {
        const Scratch s = split(job, memory);
        const int64_t parameters = int64_t(job.neurons) * job.features, weights = int64_t(job.outputs) * job.neurons;
        if constexpr (SUMS)
            for (int64_t p = 0; p < 2 * parameters + weights + job.outputs; ++p) s.centers[p] = V{};
        for (int i = 0; i < job.neurons * BLOCKS; ++i) s.phidot[i] = V{};
        for (int64_t first = begin; first < end; first += TILE) {
            load_rows(x, job.features, first, end, s.x);
            load_rows(dy, job.outputs, first, end, s.dy);
            if constexpr (TANGENT) load_rows(direction, job.features, first, end, s.v);
            neurons<TANGENT>(job, s);
            for (int j = 0; j < job.features * BLOCKS; ++j) s.dx[j] = V{};
            for (int i = 0; i < job.neurons; ++i) backward_neuron<TANGENT, SUMS>(job, s, i);
            if constexpr (SUMS && !TANGENT)
                for (int o = 0; o < job.outputs; ++o)
                    for (int q = 0; q < BLOCKS; ++q) s.bias[o] += s.dy[o * BLOCKS + q];
            if (dx) store_rows(s.dx, job.features, first, end, dx);
        }
        if constexpr (SUMS) {
            for (int64_t p = 0; p < parameters; ++p) {
                partial[p] = P::sum(s.centers[p]);
                partial[parameters + p] = T(-0.5) * P::sum(s.log_betas[p]);
            }
            for (int64_t p = 0; p < weights + job.outputs; ++p) partial[2 * parameters + p] = P::sum(s.weight[p]);
        }
    }

    static void forward(const LayerJob<T>& job, const T* x, const T* direction, int64_t begin, int64_t end, T* y, T* memory) {
        (direction ? forward_range<true> : forward_range<false>)(job, x, direction, begin, end, y, memory);
    }
    static void backward(
        const LayerJob<T>& job, const T* x, const T* direction, const T* dy, int64_t begin, int64_t end, T* dx, T* partial, T* memory
    ) {
        if (direction)
            (partial ? backward_range<true, true> : backward_range<true, false>)(job, x, direction, dy, begin, end, dx, partial, memory);
        else
            (partial ? backward_range<false, true> : backward_range<false, false>)(job, x, direction, dy, begin, end, dx, partial, memory);
    }
};

}  // namespace formfield
