// A network as matrix products of 16 samples a warp: where its numbers lie in shared memory, and the products.
//
// Operands are bf16, sums float32. With SPLIT every operand is two bf16 numbers, hi + lo, and a product is hi hi + lo hi + hi lo: a relative
// error of about 2^-16 a term instead of 2^-8.
//
// Fragments of m16n8k16, for lane (g, t) = (lane / 4, lane % 4): a result c holds rows g, g + 8 at columns 2 t, 2 t + 1 of a tile of 8, and
// two such tiles packed to bf16 are the operand of the next product as they are: layers pass their numbers on in registers.
#pragma once
#include "cuda/warp.h"

namespace formfield {

// WIDTHS: inputs, hidden widths, outputs as the parameters are stored. Columns inside: features first (an even number), then 2 x - 1.
WARP_TABLE int STORED[] = WIDTHS;
constexpr int LAST = int(sizeof(STORED) / sizeof(int)) - 2;  // the affine map of the outputs; maps are 0 to LAST
constexpr int OUTPUTS = STORED[LAST + 1];
constexpr int FEATURE_COLUMNS = (LEVELS * FEATURES + 1) / 2 * 2;
constexpr int INPUTS = FEATURE_COLUMNS + ROW;
constexpr int WARPS = 4, ROWS = 16 * WARPS;  // of a block; samples of its tile

WARP constexpr int tiles8(int n) { return (n + 7) / 8; }
// Numbers of layer i: 0 the inputs, LAST + 1 the outputs; a multiple of 16.
WARP constexpr int columns(int i) { return ((i == 0 ? INPUTS : STORED[i]) + 15) / 16 * 16; }
// Words of a row of bf16 numbers: 4 more than they need, so that 8 rows at any 16 bytes lie in different banks.
WARP constexpr int stride(int i) { return columns(i) / 2 + 4; }
WARP constexpr int stored_at(int i) {
    int sum = 0;
    for (int j = 0; j < i; ++j) sum += (STORED[j] + BIAS) * STORED[j + 1];
    return sum;
}
WARP constexpr int weight_words(int i) { return columns(i + 1) * stride(i); }

// Words of shared memory: weights [out][in] (hi, then lo), biases, first row of the last weights as float32, levels, and, for gradients of
// parameters, what the samples of a tile have in every layer and its change along a direction.
WARP constexpr int weights_at(int i) {
    int sum = 0;
    for (int j = 0; j < i; ++j) sum += (1 + SPLIT) * weight_words(j);
    return sum;
}
WARP constexpr int biases_at(int i) {
    int sum = weights_at(LAST + 1);
    for (int j = 0; j < i; ++j) sum += columns(j + 1);
    return sum;
}
constexpr int FIRST_ROW_AT = biases_at(LAST + 1);
constexpr int LEVELS_AT = FIRST_ROW_AT + columns(LAST);
constexpr int LEVEL_WORDS = 8, FEATURE_TILES = tiles8(FEATURE_COLUMNS), LEVEL_SLOTS = FEATURE_TILES * 8 / FEATURES;
constexpr int FORWARD_WORDS = LEVELS_AT + LEVEL_WORDS * LEVEL_SLOTS;
WARP constexpr int samples_at(int i) {
    int sum = FORWARD_WORDS;
    for (int j = 0; j < i; ++j) sum += (1 + ORDER) * ROWS * stride(j);
    return sum;
}
constexpr int BACKWARD_WORDS = samples_at(LAST + 1) + ROWS * stride(LAST + 1);

template <int K>
struct Operand {
    uint32_t hi[K][4], lo[SPLIT ? K : 1][4];
};

// Two numbers of tile q (of 8 columns), row g + 8 r.
template <int K>
WARP void set(Operand<K>& a, int q, int r, float first, float second) {
    const int k = q / 2, word = (q & 1) * 2 + r;
    const uint32_t hi = pack(first, second);
    a.hi[k][word] = hi;
    if (SPLIT) a.lo[k][word] = pack(first - as_float(hi << 16), second - as_float(hi & 0xFFFF0000u));
}
template <int K>
WARP void get(const Operand<K>& a, int q, int r, float& first, float& second) {
    const int k = q / 2, word = (q & 1) * 2 + r;
    first = as_float(a.hi[k][word] << 16);
    second = as_float(a.hi[k][word] & 0xFFFF0000u);
    if (SPLIT) {
        first += as_float(a.lo[k][word] << 16);
        second += as_float(a.lo[k][word] & 0xFFFF0000u);
    }
}
template <int K>
WARP void pair(float (&c)[4], const Operand<K>& a, int k, const uint32_t* hi, const uint32_t* lo) {
    multiply(c, a.hi[k], hi[0], hi[1]);
    if (SPLIT) {
        multiply(c, a.lo[k], hi[0], hi[1]);
        multiply(c, a.hi[k], lo[0], lo[1]);
    }
}

// z += a W_i^T, the first N tiles of 8 outputs.
template <int I, int N>
WARP void product(float (&z)[N][4], const Operand<columns(I) / 16>& a, const uint32_t* pool) {
    constexpr int S = stride(I), LO = weight_words(I);
    const int i = lane_of() & 7, m = lane_of() >> 3;
    const uint32_t* from = pool + weights_at(I) + (8 * (m >> 1) + i) * S + 4 * (m & 1);
    UNROLL for (int n = 0; n < N; n += 2)
        UNROLL for (int k = 0; k < columns(I) / 16; ++k) {
            uint32_t hi[4], lo[4] = {};
            load_matrices(hi, from + 8 * n * S + 8 * k);
            if (SPLIT) load_matrices(lo, from + LO + 8 * n * S + 8 * k);
            pair(z[n], a, k, hi, lo);
            if (n + 1 < N) pair(z[n + 1 < N ? n + 1 : n], a, k, hi + 2, lo + 2);
        }
}

// c += dz W_i, the first N tiles of 8 inputs.
template <int I, int N>
WARP void product_back(float (&c)[N][4], const Operand<columns(I + 1) / 16>& dz, const uint32_t* pool) {
    constexpr int S = stride(I), LO = weight_words(I);
    const int i = lane_of() & 7, m = lane_of() >> 3;
    const uint32_t* from = pool + weights_at(I) + (8 * (m & 1) + i) * S + 4 * (m >> 1);
    UNROLL for (int n = 0; n < N; n += 2)
        UNROLL for (int k = 0; k < columns(I + 1) / 16; ++k) {
            uint32_t hi[4], lo[4] = {};
            load_transposed(hi, from + 16 * k * S + 4 * n);
            if (SPLIT) load_transposed(lo, from + LO + 16 * k * S + 4 * n);
            pair(c[n], dz, k, hi, lo);
            if (n + 1 < N) pair(c[n + 1 < N ? n + 1 : n], dz, k, hi + 2, lo + 2);
        }
}

// Biases of the outputs of map I.
template <int I, int N>
WARP void start(float (&z)[N][4], const uint32_t* pool) {
    const float* bias = reinterpret_cast<const float*>(pool + biases_at(I)) + 2 * (lane_of() & 3);
    UNROLL for (int n = 0; n < N; ++n) {
        z[n][0] = z[n][1] = 0;
        if (BIAS) get2(bias + 8 * n, z[n][0], z[n][1]);
        z[n][2] = z[n][0], z[n][3] = z[n][1];
    }
}

// The hi parts of this warp's 16 rows to the samples' memory of a layer.
template <int K>
WARP void keep(const Operand<K>& a, uint32_t* rows) {
    uint32_t* to = rows + (16 * warp_of() + (lane_of() >> 2)) * (8 * K + 4) + (lane_of() & 3);
    UNROLL for (int k = 0; k < K; ++k)
        UNROLL for (int word = 0; word < 4; ++word)  // word: rows g + 8 (word % 2), columns 8 (word / 2) + 2 t
            put(to + 8 * (word & 1) * (8 * K + 4) + 8 * k + 4 * (word >> 1), a.hi[k][word]);
}

// Column of the stored weights of map i, -1 for one that is not stored.
template <int I>
WARP int stored_column(int column) {
    if (I > 0) return column < STORED[I] ? column : -1;
    if (column < LEVELS * FEATURES) return column + ROW;
    return column >= FEATURE_COLUMNS && column < INPUTS ? column - FEATURE_COLUMNS : -1;
}

template <int I>
WARP void stage_map(const float* params, uint32_t* pool) {
    constexpr int HALF = columns(I) / 2, IN = STORED[I], OUT = STORED[I + 1];
    const float *weights = params + stored_at(I), *bias = weights + IN * OUT;
    for (int at = 32 * warp_of() + lane_of(); at < columns(I + 1) * HALF; at += 32 * WARPS) {
        const int row = at / HALF, word = at % HALF;
        float w[2];
        UNROLL for (int e = 0; e < 2; ++e) {
            const int column = stored_column<I>(2 * word + e);
            w[e] = row < OUT && column >= 0 ? weights[row * IN + column] : 0.0f;
            if (I == LAST && row == 0) place(pool + FIRST_ROW_AT + 2 * word + e, as_bits(w[e]));
        }
        uint32_t* to = pool + weights_at(I) + row * stride(I) + word;
        const uint32_t hi = pack(w[0], w[1]);
        place(to, hi);
        if (SPLIT) place(to + weight_words(I), pack(w[0] - as_float(hi << 16), w[1] - as_float(hi & 0xFFFF0000u)));
    }
    for (int row = 32 * warp_of() + lane_of(); row < columns(I + 1); row += 32 * WARPS)
        place(pool + biases_at(I) + row, as_bits(BIAS && row < OUT ? bias[row] : 0.0f));
    if constexpr (I < LAST) stage_map<I + 1>(params, pool);
}

}  // namespace formfield
