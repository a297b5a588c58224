// Matrix products of one tile: 48 samples in SIMD lanes, activations as rows [k][48], weights broadcast.
#pragma once
#include "cpu/simd/vec.h"
#include "cpu/simd_api.h"

namespace formfield {
namespace FORMFIELD_ISA {
namespace {

constexpr int V = 3;                           // vectors of samples in a register tile
constexpr int OB = MANY_REGISTERS ? 8 : 4;     // outputs in a register tile
constexpr int KB = MANY_REGISTERS ? 8 : 4;     // inputs in a register tile of the weight gradient
constexpr int ROUND = W;
static_assert(TILE % (V * W) == 0, "a tile is a whole number of register tiles");

INLINE int round_up(int n) { return (n + ROUND - 1) / ROUND * ROUND; }

// out[j] = bias[j] + sum_k w[k][j] a[k] for NB outputs; ADD: out[j] += instead.
template <int NB>
INLINE void multiply_block(const float* w, const float* bias, const float* a, int K, float* out) {
    for (int sub = 0; sub < TILE; sub += V * W) {
        vf acc[NB][V];
        UNROLL for (int j = 0; j < NB; ++j) UNROLL for (int v = 0; v < V; ++v) acc[j][v] = bias ? splat(bias[j]) : zero();
        const float* from = a + sub;
        const float* weight = w;
        for (int k = 0; k < K; ++k, from += TILE, weight += NB) {
            vf x[V];
            UNROLL for (int v = 0; v < V; ++v) x[v] = load(from + v * W);
            UNROLL for (int j = 0; j < NB; ++j) {
                const vf b = splat(weight[j]);
                UNROLL for (int v = 0; v < V; ++v) acc[j][v] += b * x[v];
            }
        }
        UNROLL for (int j = 0; j < NB; ++j) UNROLL for (int v = 0; v < V; ++v) store(out + j * TILE + sub + v * W, acc[j][v]);
    }
}

template <int NB>
void multiply_rest(int rest, const float* w, const float* bias, const float* a, int K, float* out) {
    if constexpr (NB > 0) {
        if (rest == NB)
            multiply_block<NB>(w, bias, a, K, out);
        else
            multiply_rest<NB - 1>(rest, w, bias, a, K, out);
    }
}

// out [O][48] = bias + w a, with w packed by pack_matrix.
inline __attribute__((always_inline)) void multiply(const float* w, const float* bias, const float* a, int K, int O, float* out) {
    int j = 0;
    for (; j + OB <= O; j += OB) multiply_block<OB>(w + j * K, bias ? bias + j : nullptr, a, K, out + j * TILE);
    if (j < O) multiply_rest<OB - 1>(O - j, w + j * K, bias ? bias + j : nullptr, a, K, out + j * TILE);
}

// Element (j, k) at from[j * row + k * column] into blocks of OB outputs, each [k][outputs of the block].
inline void pack_matrix(const float* from, int O, int K, int row, int column, float* to) {
    for (int j = 0; j < O; j += OB) {
        const int count = O - j < OB ? O - j : OB;
        for (int k = 0; k < K; ++k)
            for (int i = 0; i < count; ++i) *to++ = from[(j + i) * row + k * column];
    }
}

// to [48][round_up(O)] = transpose of from [O][48], padded with zeros.
inline void transpose(const float* from, int O, float* to) {
    const int padded = round_up(O);
    for (int j = 0; j < padded; j += W)
        for (int s = 0; s < TILE; s += W) {
            vf v[W];
            UNROLL for (int i = 0; i < W; ++i) v[i] = j + i < O ? load(from + (j + i) * TILE + s) : zero();
            interleave<W>(v);
            UNROLL for (int i = 0; i < W; ++i) store(to + (s + i) * padded + j, v[i]);
        }
}

template <int NK, int NV>
INLINE void outer_block(const float* g, int padded, const float* a, float* dw) {
    vf acc[NK][NV];
    UNROLL for (int k = 0; k < NK; ++k) UNROLL for (int v = 0; v < NV; ++v) acc[k][v] = load(dw + k * padded + v * W);
    for (int s = 0; s < TILE; ++s) {
        vf x[NV];
        UNROLL for (int v = 0; v < NV; ++v) x[v] = load(g + s * padded + v * W);
        UNROLL for (int k = 0; k < NK; ++k) {
            const vf b = splat(a[k * TILE + s]);
            UNROLL for (int v = 0; v < NV; ++v) acc[k][v] += b * x[v];
        }
    }
    UNROLL for (int k = 0; k < NK; ++k) UNROLL for (int v = 0; v < NV; ++v) store(dw + k * padded + v * W, acc[k][v]);
}

template <int NV>
INLINE void outer_column(const float* g, int padded, const float* a, int K, float* dw) {
    int k = 0;
    for (; k + KB <= K; k += KB) outer_block<KB, NV>(g, padded, a + k * TILE, dw + k * padded);
    for (; k < K; ++k) outer_block<1, NV>(g, padded, a + k * TILE, dw + k * padded);
}

// dw [K][round_up(O)] += sum over the samples of a[k] g[j], with g transposed by transpose().
inline __attribute__((always_inline)) void add_outer(const float* g, const float* a, int K, int O, float* dw) {
    const int padded = round_up(O);
    int j = 0;
    for (; j + 2 * W <= padded; j += 2 * W) outer_column<2>(g + j, padded, a, K, dw + j);
    if (j < padded) outer_column<1>(g + j, padded, a, K, dw + j);
}

// db [round_up(O)] += sum over the samples of g.
inline void add_bias(const float* g, int O, float* db) {
    const int padded = round_up(O);
    for (int j = 0; j < padded; j += W) {
        vf sum[4] = {load(db + j), zero(), zero(), zero()};
        for (int s = 0; s < TILE; s += 4) UNROLL for (int i = 0; i < 4; ++i) sum[i] += load(g + (s + i) * padded + j);
        store(db + j, (sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
}

}  // namespace
}  // namespace FORMFIELD_ISA
}  // namespace formfield
