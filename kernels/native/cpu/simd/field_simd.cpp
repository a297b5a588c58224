// The table of SIMD functions of one instruction set; compiled once per set.
#include "cpu/simd/encode.h"
#include "cpu/simd/mlp_tile.h"

namespace formfield {
namespace FORMFIELD_ISA {
namespace {

template <class F>
INLINE void for_shape(int dims, int features, F f) {
    // one instance per shape of the table
#define CASE(D, N) \
    if (dims == D && features == N) return f.template operator()<D, N>()
    CASE(2, 1);
    CASE(2, 2);
    CASE(2, 4);
    CASE(2, 8);
    CASE(3, 1);
    CASE(3, 2);
    CASE(3, 4);
    CASE(3, 8);
#undef CASE
}

struct Encode {
    const LevelJob& job;
    const float* table;
    float *y, *ydot;
    int64_t begin, end;
    template <int D, int F>
    void operator()() const {
        encode<D, F>(job, table, y, ydot, begin, end);
    }
};
struct EncodeWithJacobian {
    const LevelJob& job;
    const float* table;
    float *y, *jacobian;
    int rows, row;
    int64_t begin, end;
    template <int D, int F>
    void operator()() const {
        encode_with_jacobian<D, F>(job, table, y, jacobian, rows, row, begin, end);
    }
};
struct ToPoint {
    const LevelJob& job;
    const float *table, *dy;
    float* dx;
    int64_t begin, end;
    template <int D, int F>
    void operator()() const {
        to_point<D, F>(job, table, dy, dx, begin, end);
    }
};
struct ToTable {
    const LevelJob& job;
    const float *dy, *dydot;
    float* dtable;
    int64_t begin, end;
    template <int D, int F>
    void operator()() const {
        to_table<D, F>(job, dy, dydot, dtable, begin, end);
    }
};

void encode_any(const LevelJob& job, const float* table, float* y, float* ydot, int64_t begin, int64_t end) {
    for_shape(job.dims, job.features, Encode{job, table, y, ydot, begin, end});
}
void encode_with_jacobian_any(const LevelJob& job, const float* table, float* y, float* jacobian, int rows, int row, int64_t begin,
                              int64_t end) {
    for_shape(job.dims, job.features, EncodeWithJacobian{job, table, y, jacobian, rows, row, begin, end});
}
void to_point_any(const LevelJob& job, const float* table, const float* dy, float* dx, int64_t begin, int64_t end) {
    for_shape(job.dims, job.features, ToPoint{job, table, dy, dx, begin, end});
}
void to_table_any(const LevelJob& job, const float* dy, const float* dydot, float* dtable, int64_t begin, int64_t end) {
    for_shape(job.dims, job.features, ToTable{job, dy, dydot, dtable, begin, end});
}

void pack(const Network& net, const float* params, float* forward, float* backward) {
    const Layout layout(net);
    for (int i = 0; i < net.layers; ++i) {
        const int K = net.widths[i], O = net.widths[i + 1];
        pack_matrix(params + layout.parameters[i], O, K, K, 1, forward + layout.weights[i]);
        pack_matrix(params + layout.parameters[i], K, O, 1, K, backward + layout.weights[i]);
    }
}

int64_t scratch_floats(const Network& net) { return Layout(net).total; }
int64_t gradient_floats(const Network& net) { return Layout(net).gradient_total; }

typedef float v4 __attribute__((vector_size(16)));
typedef float v4_unaligned __attribute__((vector_size(16), aligned(4), may_alias));

INLINE void transpose4(v4& a, v4& b, v4& c, v4& d) {
    const v4 ac0 = __builtin_shufflevector(a, c, 0, 4, 1, 5), ac1 = __builtin_shufflevector(a, c, 2, 6, 3, 7);
    const v4 bd0 = __builtin_shufflevector(b, d, 0, 4, 1, 5), bd1 = __builtin_shufflevector(b, d, 2, 6, 3, 7);
    a = __builtin_shufflevector(ac0, bd0, 0, 4, 1, 5), b = __builtin_shufflevector(ac0, bd0, 2, 6, 3, 7);
    c = __builtin_shufflevector(ac1, bd1, 0, 4, 1, 5), d = __builtin_shufflevector(ac1, bd1, 2, 6, 3, 7);
}
INLINE v4& at4(float* p) { return *reinterpret_cast<v4*>(p); }

// Lanes of the tile whose first sample is `sample`.
INLINE int valid_lanes(int64_t sample, int64_t n) { return n - sample < TILE ? (n > sample ? int(n - sample) : 0) : TILE; }

INLINE void tile_from_rows(const float* rows, int columns, int64_t sample, int64_t n, float fill, float* tile) {
    const int lanes = valid_lanes(sample, n);
    const float* from = rows + sample * columns;
    int column = 0;
    if (lanes == TILE)
        for (; column + 4 <= columns; column += 4)
            for (int s = 0; s < TILE; s += 4) {
                const float* p = from + s * columns + column;
                v4 a = *reinterpret_cast<const v4_unaligned*>(p), b = *reinterpret_cast<const v4_unaligned*>(p + columns);
                v4 c = *reinterpret_cast<const v4_unaligned*>(p + 2 * columns), d = *reinterpret_cast<const v4_unaligned*>(p + 3 * columns);
                transpose4(a, b, c, d);
                float* to = tile + column * TILE + s;
                at4(to) = a, at4(to + TILE) = b, at4(to + 2 * TILE) = c, at4(to + 3 * TILE) = d;
            }
    for (; column < columns; ++column) {
        for (int s = 0; s < lanes; ++s) tile[column * TILE + s] = from[s * columns + column];
        for (int s = lanes; s < TILE; ++s) tile[column * TILE + s] = fill;
    }
}

INLINE void rows_from_tile(const float* tile, int columns, int64_t sample, int64_t n, float* rows) {
    const int lanes = valid_lanes(sample, n);
    float* to = rows + sample * columns;
    int column = 0;
    if (lanes == TILE)
        for (; column + 4 <= columns; column += 4)
            for (int s = 0; s < TILE; s += 4) {
                const float* p = tile + column * TILE + s;
                v4 a = *reinterpret_cast<const v4_unaligned*>(p), b = *reinterpret_cast<const v4_unaligned*>(p + TILE);
                v4 c = *reinterpret_cast<const v4_unaligned*>(p + 2 * TILE), d = *reinterpret_cast<const v4_unaligned*>(p + 3 * TILE);
                transpose4(a, b, c, d);
                float* q = to + s * columns + column;
                *reinterpret_cast<v4_unaligned*>(q) = a, *reinterpret_cast<v4_unaligned*>(q + columns) = b;
                *reinterpret_cast<v4_unaligned*>(q + 2 * columns) = c, *reinterpret_cast<v4_unaligned*>(q + 3 * columns) = d;
            }
    for (; column < columns; ++column)
        for (int s = 0; s < lanes; ++s) to[s * columns + column] = tile[column * TILE + s];
}

void rows_to_tiles(const float* rows, int columns, int64_t first, int64_t n, float fill, float* tiles, int tile_rows, int64_t begin,
                   int64_t end) {
    for (int64_t t = begin; t < end; ++t) tile_from_rows(rows, columns, first + t * TILE, n, fill, tiles + t * tile_rows * TILE);
}

void tiles_to_rows(const float* tiles, int tile_rows, int columns, int64_t first, int64_t n, float* rows, int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) rows_from_tile(tiles + t * tile_rows * TILE, columns, first + t * TILE, n, rows);
}

void forward(const MlpJob& job, float* input, const float* x_rows, float* out, float* gradient, int64_t first, int64_t n, int64_t begin,
             int64_t end, float* scratch) {
    const Network& net = *job.net;
    const Layout layout(net);
    const int inputs = net.widths[0], outputs = net.widths[net.layers];
    const float* result = scratch + layout.activations + int64_t(layout.start[net.layers]) * TILE;
    for (int64_t t = begin; t < end; ++t) {
        const int64_t sample = first + t * TILE;
        float* a0 = scratch + layout.activations;
        if (x_rows)
            tile_from_rows(x_rows, inputs, sample, n, 0.f, a0);
        else
            a0 = input + t * inputs * TILE;
        if (gradient) {
            tile_forward<1>(job, layout, a0, scratch);
            tile_gradient(job, layout, scratch, gradient + t * inputs * TILE);
        } else {
            tile_forward<0>(job, layout, a0, scratch);
        }
        rows_from_tile(result, outputs, sample, n, out);
    }
}

void backward(const MlpJob& job, float* input, float* inputdot, const float* x_rows, float* dx_rows, const float* dout, int64_t first,
              int64_t n, int64_t begin, int64_t end, float* gradients, float* scratch) {
    const Network& net = *job.net;
    const Layout layout(net);
    const int inputs = net.widths[0], outputs = net.widths[net.layers];
    for (int64_t t = begin; t < end; ++t) {
        const int64_t sample = first + t * TILE;
        float* a0 = scratch + layout.activations;
        float* da0 = dx_rows ? scratch + layout.zdot : nullptr;  // free: no direction with rows
        if (x_rows)
            tile_from_rows(x_rows, inputs, sample, n, 0.f, a0);
        else
            da0 = a0 = input + t * inputs * TILE;
        float* adot0 = inputdot ? inputdot + t * inputs * TILE : nullptr;
        if (inputdot) {
            tile_forward<2>(job, layout, a0, scratch);
            tile_tangent(job, layout, adot0, scratch);
        } else {
            tile_forward<1>(job, layout, a0, scratch);
        }
        tile_from_rows(dout, outputs, sample, n, 0.f, scratch + layout.here);
        if (inputdot)
            tile_backward<true>(job, layout, a0, adot0, da0, adot0, gradients, scratch);
        else
            tile_backward<false>(job, layout, a0, nullptr, da0, nullptr, gradients, scratch);
        if (dx_rows) rows_from_tile(da0, inputs, sample, n, dx_rows);
    }
}

void add_gradients(const Network& net, const float* gradients, float* dparams) {
    const Layout layout(net);
    for (int i = 0; i < net.layers; ++i) {
        const int K = net.widths[i], O = net.widths[i + 1], padded = round_up(O);
        const float* from = gradients + layout.gradients[i];
        float* to = dparams + layout.parameters[i];
        for (int j = 0; j < O; ++j)
            for (int k = 0; k < K; ++k) to[j * K + k] += from[k * padded + j];
        if (net.bias)
            for (int j = 0; j < O; ++j) to[K * O + j] += from[K * padded + j];
    }
}

}  // namespace

extern const FieldSimd field_simd;
const FieldSimd field_simd = {encode_any, encode_with_jacobian_any, jacobian_to_point, jacobian_along, to_point_any, to_table_any, pack,          scratch_floats, gradient_floats,
                              forward,    backward,     add_gradients, rows_to_tiles, tiles_to_rows};

}  // namespace FORMFIELD_ISA
}  // namespace formfield
