// fused_field on tensor cores: hash grid and network, 16 samples a warp, compiled for one grid and one network.
//
// Macros: DIMS, LEVELS, FEATURES, KINDS, SMOOTH of the grid; ROW, the inputs in front of the encoding (DIMS or 0); WIDTHS, ACTIVATION,
// OUTPUT_ACTIVATION, BETA, BIAS of the network; ORDER: 1 with the gradient of output 0 by the point, and what its gradients need; SPLIT:
// 1 where operands are two bf16 numbers.
// Blocks stay: each takes tiles of 64 samples until none is left, and adds what it has summed for the parameters once, at its end.
// The formulas are those of bodies/mlp.h. What a layer's backward pass needs of its activation is found from the activation's value.
#include "cuda/grid_tiles.h"

#include "bodies/mlp.h"

namespace formfield {

constexpr int FORWARD_BLOCKS = ORDER ? 3 : 4, BACKWARD_BLOCKS = 2;  // resident on a multiprocessor
constexpr float SHARPNESS = BETA;

template <int A>
WARP void activate(float z, float& value, float& first) {
    if constexpr (A == ACTIVATION_RELU) {
        value = z < 0 ? 0.0f : z;  // this way round: what is not a number must not become 0
        first = z > 0 ? 1.0f : 0.0f;
    } else if constexpr (A == ACTIVATION_SOFTPLUS || A == ACTIVATION_SIGMOID) {
        const float scaled = A == ACTIVATION_SOFTPLUS ? SHARPNESS * z : z;
        const float t = fast_exp(-fabs(scaled)), q = fast_inverse(1 + t);
        const float s = scaled >= 0 ? q : t * q;
        if constexpr (A == ACTIVATION_SOFTPLUS) {  // the error of the fast logarithm is absolute, and divided by the sharpness
            value = (z < 0 ? 0.0f : z) + (SHARPNESS < 8 ? exact_log1p(t) : fast_log(1 + t)) * (1 / SHARPNESS);
            first = s;
        } else {
            value = s;
            first = t * q * q;
        }
    } else {
        value = z;
        first = 1;
    }
}

// phi' where phi is `value`, and phi'' zdot where phi' zdot is `dot`.
template <int A>
WARP void slopes_of(float value, float dot, float& first, float& bend) {
    first = 1, bend = 0;
    if constexpr (A == ACTIVATION_RELU) first = value > 0 ? 1.0f : 0.0f;
    if constexpr (A == ACTIVATION_SIGMOID) first = value * (1 - value), bend = (1 - 2 * value) * dot;
    if constexpr (A == ACTIVATION_SOFTPLUS) {
        const float rest = fast_exp(-SHARPNESS * value);
        first = 1 - rest, bend = SHARPNESS * rest * dot;
    }
}

// The first row of the last weights at this lane's columns of tile j.
WARP void first_row(const uint32_t* pool, int j, float& a, float& b) {
    get2(reinterpret_cast<const float*>(pool + FIRST_ROW_AT) + 8 * j + 2 * (lane_of() & 3), a, b);
}

// The 16 samples of a warp's tile. Their rows are computed where they are used: registers are short.
struct Samples {
    int64_t n, tile;
    WARP int64_t row(int r) const { return 16 * tile + (lane_of() >> 2) + 8 * r; }
    WARP bool in(int r) const { return row(r) < n; }
    WARP void points(const float* x, float (&p)[2][DIMS]) const {
        UNROLL for (int r = 0; r < 2; ++r)
            UNROLL for (int d = 0; d < DIMS; ++d) p[r][d] = x[DIMS * (in(r) ? row(r) : n - 1) + d];
    }
};

WARP void write_outputs(const float (&z)[tiles8(OUTPUTS)][4], const Samples& s, float* out) {
    UNROLL for (int j = 0; j < tiles8(OUTPUTS); ++j)
        UNROLL for (int r = 0; r < 2; ++r) {
            const int column = 8 * j + 2 * (lane_of() & 3);
            float y[2], first;
            UNROLL for (int e = 0; e < 2; ++e) activate<OUTPUT_ACTIVATION>(z[j][2 * r + e], y[e], first);
            float* to = out + s.row(r) * OUTPUTS + column;
            if constexpr (OUTPUTS % 2 == 0) {
                if (s.in(r) && column < OUTPUTS) write2(to, y[0], y[1]);
            } else {
                UNROLL for (int e = 0; e < 2; ++e)
                    if (s.in(r) && column + e < OUTPUTS) to[e] = y[e];
            }
        }
}

// Layers from map I on: the outputs, and for ORDER 1 the gradient of output 0 by the inputs of map I.
template <int I>
WARP void run(const uint32_t* pool, const Samples& s, const Operand<columns(I) / 16>& a, float (&chain)[columns(I) / 8][4], float* out) {
    if constexpr (I == LAST) {
        float z[tiles8(OUTPUTS)][4];
        start<I>(z, pool);
        product<I>(z, a, pool);
        write_outputs(z, s, out);
        if constexpr (ORDER == 1) {
            float first[2] = {1, 1}, value;
            if constexpr (OUTPUT_ACTIVATION != ACTIVATION_NONE) {
                UNROLL for (int r = 0; r < 2; ++r) {
                    activate<OUTPUT_ACTIVATION>(z[0][2 * r], value, first[r]);
                    first[r] = from_lane(first[r], lane_of() & ~3);
                }
            }
            UNROLL for (int j = 0; j < columns(I) / 8; ++j) {
                float w[2];
                first_row(pool, j, w[0], w[1]);
                UNROLL for (int i = 0; i < 4; ++i) chain[j][i] = w[i & 1] * first[i >> 1];
            }
        }
    } else {
        constexpr int N = columns(I + 1) / 8;
        float z[N][4], after[N][4];
        Operand<N / 2> h;
        start<I>(z, pool);
        product<I>(z, a, pool);
        UNROLL for (int j = 0; j < N; ++j)
            UNROLL for (int r = 0; r < 2; ++r) {
                float value[2];
                UNROLL for (int e = 0; e < 2; ++e) activate<ACTIVATION>(z[j][2 * r + e], value[e], z[j][2 * r + e]);
                set(h, j, r, value[0], value[1]);
            }
        run<I + 1>(pool, s, h, after, out);
        if constexpr (ORDER == 1) {
            Operand<N / 2> dz;
            UNROLL for (int j = 0; j < N; ++j)
                UNROLL for (int r = 0; r < 2; ++r) set(dz, j, r, z[j][2 * r] * after[j][2 * r], z[j][2 * r + 1] * after[j][2 * r + 1]);
            UNROLL for (int j = 0; j < columns(I) / 8; ++j) UNROLL for (int i = 0; i < 4; ++i) chain[j][i] = 0;
            product_back<I>(chain, dz, pool);
        }
    }
}

// out, and for ORDER 1 the gradient of output 0 by x (else null). Shared memory: FORWARD_WORDS.
BLOCK_KERNEL(FORWARD_BLOCKS)
field_mma_forward(int64_t n, const float* x, const float* table, const float* params, const int32_t* levels, int64_t active, float* out,
                  float* gradient) {
    BLOCK_POOL(pool);
    stage_map<0>(params, pool);
    stage_levels(levels, active, pool);
    block_sync();
    for (int64_t tile = WARPS * block_of() + warp_of(); 16 * tile < n; tile += WARPS * blocks_of()) {
        const Samples s = {n, tile};
        float points[2][DIMS];
        s.points(x, points);
        Operand<columns(0) / 16> a, none;
        Slopes slopes;
        encode<ORDER == 1 ? WITH_SLOPES : VALUES>(table, pool, points, points, a, none, slopes);
        float chain[columns(0) / 8][4];
        run<0>(pool, s, a, chain, out);
        if constexpr (ORDER == 1) {
            float sum[2][DIMS] = {};
            UNROLL for (int q = 0; q < FEATURE_TILES; ++q)
                UNROLL for (int r = 0; r < 2; ++r)
                    UNROLL for (int f = 0; f < 2; ++f)
                        UNROLL for (int d = 0; d < DIMS; ++d) sum[r][d] += chain[q][2 * r + f] * slopes.at(q, r, f, d);
            beyond_to_point(chain, sum);
            write_points(sum, s, gradient);
        }
    }
}

// --- gradients ---------------------------------------------------------------------------------------------------------------------------

// Sums for the weights of map I and those after it, over all tiles of the block: pair p of tiles (16 outputs by 16 inputs) is the warp's
// p % WARPS, at outputs 16 (p % M), inputs 16 (p / M).
template <int I>
struct Sums {
    static constexpr int M = columns(I + 1) / 16, N = columns(I) / 16, PAIRS = (M * N + WARPS - 1) / WARPS;
    float weights[PAIRS][2][4], biases[4];
    Sums<I + 1> after;
};
template <>
struct Sums<LAST + 1> {};

// weights += P^T Q over the samples of the block, P being the adjoints of a map's outputs and Q its inputs; with BIASES also P's sums.
template <int I, bool BIASES>
WARP void outer(Sums<I>& sums, const uint32_t* P, const uint32_t* Q) {
    using S = Sums<I>;
    constexpr int SP = stride(I + 1), SQ = stride(I);
    const int i = lane_of() & 7, m = lane_of() >> 3;
    const uint32_t ones = lane_of() < 4 ? 0x3F803F80u : 0u;  // a column of ones, beside columns of zeros
    UNROLL for (int k = 0; k < WARPS; ++k) {
        uint32_t a[4], b[4];
        UNROLL for (int j = 0; j < S::PAIRS; ++j) {
            const int pair = warp_of() + WARPS * j;
            if (S::M * S::N % WARPS != 0 && pair >= S::M * S::N) break;
            if (j == 0 || WARPS % S::M != 0)
                load_transposed(a, P + (16 * k + 8 * (m >> 1) + i) * SP + 8 * (pair % S::M) + 4 * (m & 1));
            load_transposed(b, Q + (16 * k + 8 * (m & 1) + i) * SQ + 8 * (pair / S::M) + 4 * (m >> 1));
            multiply(sums.weights[j][0], a, b[0], b[1]);
            multiply(sums.weights[j][1], a, b[2], b[3]);
            if (BIAS && BIASES && j == 0 && warp_of() < S::M) multiply(sums.biases, a, ones, ones);
        }
    }
}

// The sum of Q's rows to the first row of the last weights: as outer, with 1 for the adjoint of output 0 and 0 for the others.
WARP void outer_first(Sums<LAST>& sums, const uint32_t* Q) {
    using S = Sums<LAST>;
    const int i = lane_of() & 7, m = lane_of() >> 3;
    const uint32_t one = lane_of() < 4 ? 0x3F803F80u : 0u, a[4] = {one, 0, one, 0};
    UNROLL for (int k = 0; k < WARPS; ++k)
        UNROLL for (int j = 0; j < S::PAIRS; ++j) {
            const int pair = warp_of() + WARPS * j;
            if (pair >= S::M * S::N || pair % S::M != 0) continue;
            uint32_t b[4];
            load_transposed(b, Q + (16 * k + 8 * (m & 1) + i) * stride(LAST) + 8 * (pair / S::M) + 4 * (m >> 1));
            multiply(sums.weights[j][0], a, b[0], b[1]);
            multiply(sums.weights[j][1], a, b[2], b[3]);
        }
}

template <int I>
WARP void add_sums(const Sums<I>& sums, float* dparams) {
    using S = Sums<I>;
    constexpr int IN = STORED[I], OUT = STORED[I + 1];
    const int g = lane_of() >> 2, t = lane_of() & 3;
    float* weights = dparams + stored_at(I);
    UNROLL for (int j = 0; j < S::PAIRS; ++j)
        UNROLL for (int half = 0; half < 2; ++half)
            UNROLL for (int e = 0; e < 4; ++e) {
                const int pair = warp_of() + WARPS * j, row = 16 * (pair % S::M) + g + 8 * (e >> 1);
                const int column = stored_column<I>(16 * (pair / S::M) + 8 * half + 2 * t + (e & 1));
                if (pair < S::M * S::N && row < OUT && column >= 0) add(weights + row * IN + column, sums.weights[j][half][e]);
            }
    if (BIAS && t == 0) {
        UNROLL for (int r = 0; r < 2; ++r) {
            const int row = 16 * warp_of() + g + 8 * r;
            if (row < OUT) add(weights + IN * OUT + row, sums.biases[2 * r]);
        }
    }
    if constexpr (I < LAST) add_sums(sums.after, dparams);
}

struct Task {
    uint32_t* pool;
    const float* dout;
    Samples s;
};

WARP uint32_t* values_of(const Task& task, int i) { return task.pool + samples_at(i); }
WARP uint32_t* changes_of(const Task& task, int i) { return task.pool + samples_at(i) + ROWS * stride(i); }

// The last map: adjoints da of its inputs a, dchange of their change; `change` is null where ORDER is 0.
template <int I>
WARP void pull_outputs(const Task& task, Sums<I>& sums, const Operand<columns(I) / 16>& a, const Operand<columns(I) / 16>& change,
                       float (&da)[columns(I) / 8][4], float (&dchange)[columns(I) / 8][4]) {
    constexpr int N = tiles8(OUTPUTS), IN = columns(I) / 8;
    float first[2] = {1, 1}, bend[2] = {0, 0};
    float z[N][4] = {};
    if constexpr (OUTPUT_ACTIVATION != ACTIVATION_NONE) {
        start<I>(z, task.pool);
        product<I>(z, a, task.pool);
        float dot[1][4] = {};
        if constexpr (ORDER == 1) product<I>(dot, change, task.pool);
        UNROLL for (int j = 0; j < N; ++j)
            UNROLL for (int i = 0; i < 4; ++i) {
                float value, slope;
                activate<OUTPUT_ACTIVATION>(z[j][i], value, slope);
                z[j][i] = slope;
                if (ORDER == 1 && j == 0 && i % 2 == 0) {
                    float again, curve;
                    slopes_of<OUTPUT_ACTIVATION>(value, slope * dot[0][i], again, curve);
                    first[i / 2] = from_lane(slope, lane_of() & ~3);
                    bend[i / 2] = (lane_of() & 3) == 0 && task.s.in(i / 2) ? curve : 0.0f;
                }
            }
    }
    Operand<columns(I + 1) / 16> dz = {};
    UNROLL for (int j = 0; j < N; ++j)
        UNROLL for (int r = 0; r < 2; ++r) {
            float d[2];
            UNROLL for (int e = 0; e < 2; ++e) {
                const int column = 8 * j + 2 * (lane_of() & 3) + e;
                d[e] = task.s.in(r) && column < OUTPUTS ? task.dout[task.s.row(r) * OUTPUTS + column] : 0.0f;
                if constexpr (OUTPUT_ACTIVATION != ACTIVATION_NONE) d[e] = d[e] * z[j][2 * r + e] + (j == 0 && e == 0 ? bend[r] : 0.0f);
            }
            set(dz, j, r, d[0], d[1]);
        }
    keep(dz, values_of(task, I + 1));
    if constexpr (ORDER == 1) {  // kept times phi' of output 0, so that its adjoint is 1
        Operand<IN / 2> scaled = change;
        if constexpr (OUTPUT_ACTIVATION != ACTIVATION_NONE) {
            UNROLL for (int j = 0; j < IN; ++j)
                UNROLL for (int r = 0; r < 2; ++r) {
                    float p, q;
                    get(change, j, r, p, q);
                    set(scaled, j, r, p * first[r], q * first[r]);
                }
        }
        keep(scaled, changes_of(task, I));
        UNROLL for (int j = 0; j < IN; ++j) {
            float w[2];
            first_row(task.pool, j, w[0], w[1]);
            UNROLL for (int i = 0; i < 4; ++i) dchange[j][i] = w[i & 1] * first[i >> 1];
        }
    }
    block_sync();
    outer<I, true>(sums, values_of(task, I + 1), values_of(task, I));
    if constexpr (ORDER == 1) outer_first(sums, changes_of(task, I));
    UNROLL for (int j = 0; j < IN; ++j) UNROLL for (int i = 0; i < 4; ++i) da[j][i] = 0;
    product_back<I>(da, dz, task.pool);
}

// Map I and those after it, forward and back: adjoints of the inputs of map I and of their change.
template <int I>
WARP void pull(const Task& task, Sums<I>& sums, const Operand<columns(I) / 16>& a, const Operand<columns(I) / 16>& change,
               float (&da)[columns(I) / 8][4], float (&dchange)[columns(I) / 8][4]) {
    keep(a, values_of(task, I));
    if constexpr (I == LAST) {
        pull_outputs<I>(task, sums, a, change, da, dchange);
    } else {
        constexpr int N = columns(I + 1) / 8;
        Operand<N / 2> h, dot, dz, ddot;
        float z[N][4], zdot[N][4] = {};
        if constexpr (ORDER == 1) keep(change, changes_of(task, I));
        start<I>(z, task.pool);
        product<I>(z, a, task.pool);
        if constexpr (ORDER == 1) product<I>(zdot, change, task.pool);
        UNROLL for (int j = 0; j < N; ++j)
            UNROLL for (int r = 0; r < 2; ++r) {
                float value[2], first[2];
                UNROLL for (int e = 0; e < 2; ++e) activate<ACTIVATION>(z[j][2 * r + e], value[e], first[e]);
                set(h, j, r, value[0], value[1]);
                if (ORDER == 1) set(dot, j, r, first[0] * zdot[j][2 * r], first[1] * zdot[j][2 * r + 1]);
            }
        pull<I + 1>(task, sums.after, h, dot, z, zdot);
        UNROLL for (int j = 0; j < N; ++j)
            UNROLL for (int r = 0; r < 2; ++r) {
                float value[2], along[2] = {}, first[2], bend[2];
                get(h, j, r, value[0], value[1]);
                if (ORDER == 1) get(dot, j, r, along[0], along[1]);
                UNROLL for (int e = 0; e < 2; ++e) {
                    slopes_of<ACTIVATION>(value[e], along[e], first[e], bend[e]);
                    z[j][2 * r + e] *= first[e];
                    if (ORDER == 1) z[j][2 * r + e] += bend[e] * zdot[j][2 * r + e], zdot[j][2 * r + e] *= first[e];
                }
                set(dz, j, r, z[j][2 * r], z[j][2 * r + 1]);
                if (ORDER == 1) set(ddot, j, r, zdot[j][2 * r], zdot[j][2 * r + 1]);
            }
        block_sync();  // until here other warps read the layer's values, whose place its adjoints take
        keep(dz, values_of(task, I + 1));
        if constexpr (ORDER == 1) keep(ddot, changes_of(task, I + 1));
        block_sync();
        outer<I, true>(sums, values_of(task, I + 1), values_of(task, I));
        if constexpr (ORDER == 1) outer<I, false>(sums, changes_of(task, I + 1), changes_of(task, I));
        UNROLL for (int j = 0; j < columns(I) / 8; ++j) UNROLL for (int i = 0; i < 4; ++i) da[j][i] = dchange[j][i] = 0;
        product_back<I>(da, dz, task.pool);
        if constexpr (ORDER == 1) product_back<I>(dchange, ddot, task.pool);
    }
}

// Gradients of <dout, out>, for ORDER 1 plus <v, gradient of output 0>; dtable and dparams are added to. ORDER 0: dx may be null, v is.
// ORDER 1: dx is null. Shared memory: BACKWARD_WORDS.
BLOCK_KERNEL(BACKWARD_BLOCKS)
field_mma_backward(int64_t n, const float* x, const float* table, const float* params, const int32_t* levels, int64_t active,
                   const float* dout, const float* v, float* dx, float* dtable, float* dparams) {
    BLOCK_POOL(pool);
    stage_map<0>(params, pool);
    stage_levels(levels, active, pool);
    block_sync();
    Sums<0> sums = {};
    for (int64_t base = block_of(); ROWS * base < n; base += blocks_of()) {
        const Task task = {pool, dout, {n, WARPS * base + warp_of()}};
        float points[2][DIMS], along[2][DIMS] = {};
        task.s.points(x, points);
        if constexpr (ORDER == 1) {
            UNROLL for (int r = 0; r < 2; ++r)
                UNROLL for (int d = 0; d < DIMS; ++d) along[r][d] = task.s.in(r) ? v[DIMS * task.s.row(r) + d] : 0.0f;
        }
        Operand<columns(0) / 16> a, change;
        Slopes none;
        encode<ORDER == 1 ? ALONG : VALUES>(table, pool, points, along, a, change, none);
        float da[columns(0) / 8][4], dchange[columns(0) / 8][4];
        pull<0>(task, sums, a, change, da, dchange);
        scatter<ORDER == 1>(dtable, pool, points, along, da, dchange, task.s);
        if constexpr (ORDER == 0)
            if (dx) {
                float sum[2][DIMS] = {};
                to_point(table, pool, points, da, sum);
                beyond_to_point(da, sum);
                write_points(sum, task.s, dx);
            }
        block_sync();  // the next tile's values take the place of this one's
    }
    add_sums(sums, dparams);
}

}  // namespace formfield
