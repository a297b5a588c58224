// What the code compiled once per instruction set offers. Numbers of one group of samples live in tiles of 48: [tile][row][48].
#pragma once
#include <cstdint>

#include "bodies/hash_grid.h"
#include "bodies/mlp.h"

namespace formfield {

constexpr int TILE = 48;

struct LevelJob {
    GridLevel level;
    int dims, features;
    bool smoothstep, outside;  // outside: some point is not in [0, 1], so dense indices need a true modulo
    const float* x;            // [tile][dims][48]
    const float* v;            // the same, or null
    int rows, row;             // rows per tile of the encoding buffers, and the first row of this level
};

struct MlpJob {
    const Network* net;
    const float* params;
    const float *forward, *backward;  // packed weights, from pack()
};

struct FieldSimd {
    // y (and ydot = J v where ydot is not null) of one level, tiles [begin, end)
    void (*encode)(const LevelJob&, const float* table, float* y, float* ydot, int64_t begin, int64_t end);
    // y and the derivatives of y, jacobian [tile][jacobian_rows][48] with dims rows for each row of y, this level's from jacobian_row on
    void (*encode_with_jacobian)(const LevelJob&, const float* table, float* y, float* jacobian, int jacobian_rows, int jacobian_row,
                                 int64_t begin, int64_t end);
    // of `rows` rows of y from `first` on among `all` rows a tile: dx [tile][dims][48] += J^T dy
    void (*jacobian_to_point)(int dims, int rows, int jacobian_rows, const float* jacobian, const float* dy, int all, int first, float* dx,
                              int64_t begin, int64_t end);
    // the same rows of ydot = J v
    void (*jacobian_along)(int dims, int rows, int jacobian_rows, const float* jacobian, const float* v, float* ydot, int all, int first,
                           int64_t begin, int64_t end);
    // dx [tile][dims][48] += J^T dy
    void (*to_point)(const LevelJob&, const float* table, const float* dy, float* dx, int64_t begin, int64_t end);
    // dtable += w dy + A dydot; dy, or v and dydot, may be null
    void (*to_table)(const LevelJob&, const float* dy, const float* dydot, float* dtable, int64_t begin, int64_t end);

    void (*pack)(const Network&, const float* params, float* forward, float* backward);
    int64_t (*scratch_floats)(const Network&);
    int64_t (*gradient_floats)(const Network&);  // of one partial sum of parameter gradients
    // Tiles [begin, end) of a group that starts at sample `first` of n. input: [tile][inputs][48], or null to read the rows of x_rows
    // [n, inputs]. out [n, outputs]. gradient [tile][inputs][48] gets d out_0 / d input; null: not wanted; it may be the input itself.
    void (*forward)(const MlpJob&, float* input, const float* x_rows, float* out, float* gradient, int64_t first, int64_t n, int64_t begin,
                    int64_t end, float* scratch);
    // Adjoint. input and inputdot (null: no direction) are overwritten by their own adjoints; with x_rows, dx_rows gets them (or null).
    // Sums of parameter gradients are added to `gradients` (gradient_floats; null: not wanted).
    void (*backward)(const MlpJob&, float* input, float* inputdot, const float* x_rows, float* dx_rows, const float* dout, int64_t first,
                     int64_t n, int64_t begin, int64_t end, float* gradients, float* scratch);
    void (*add_gradients)(const Network&, const float* gradients, float* dparams);
    // [n, columns] <-> tiles; lanes past n get `fill`
    void (*rows_to_tiles)(const float* rows, int columns, int64_t first, int64_t n, float fill, float* tiles, int tile_rows, int64_t begin,
                          int64_t end);
    void (*tiles_to_rows)(const float* tiles, int tile_rows, int columns, int64_t first, int64_t n, float* rows, int64_t begin, int64_t end);
};

#define FORMFIELD_DECLARE_ISA(name)      \
    namespace isa_##name {               \
    extern const FieldSimd field_simd;   \
    }
FORMFIELD_DECLARE_ISA(baseline)
FORMFIELD_DECLARE_ISA(avx2)
FORMFIELD_DECLARE_ISA(avx512)
#undef FORMFIELD_DECLARE_ISA

const FieldSimd& field_simd();  // of this machine

}  // namespace formfield
