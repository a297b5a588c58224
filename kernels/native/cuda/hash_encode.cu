// hash_encode: one thread per (sample, level), or per sample where a sum over the levels is wanted. DIMS: dimensions of a point.
#include "cuda/thread.h"

#include "bodies/hash_grid.h"

namespace formfield {

// y (and with v its change ydot along v); levels from `active` on give 0. Rows of `stride` numbers. Threads: samples x levels.
KERNEL encode_forward(int64_t n, const REAL* x, const REAL* v, const REAL* table, const GridLevel* levels, int64_t active,
                      int64_t features, int64_t smoothstep, int64_t stride, REAL* y) {
    const int64_t i = thread_x(), l = thread_y();
    if (i >= n) return;
    REAL value[8], along[8];
    if (l < active) {
        encode_level<REAL, DIMS>(x + i * DIMS, v ? v + i * DIMS : nullptr, table, int(features), levels[l], smoothstep != 0, value, along);
    } else {
        for (int f = 0; f < features; ++f) value[f] = along[f] = 0;
    }
    for (int f = 0; f < features; ++f) y[i * stride + l * features + f] = v ? along[f] : value[f];
}

// dtable += w dy, or with v A dy. Threads: samples x active levels.
KERNEL encode_to_table(int64_t n, const REAL* x, const REAL* v, const REAL* dy, const GridLevel* levels, int64_t features,
                       int64_t smoothstep, int64_t stride, REAL* dtable) {
    const int64_t i = thread_x(), l = thread_y();
    if (i >= n) return;
    const REAL *point = x + i * DIMS, *row = dy + i * stride + l * features;
    if (v)
        encode_level_to_table<REAL, DIMS>(point, v + i * DIMS, nullptr, row, dtable, int(features), levels[l], smoothstep != 0, SharedAdd());
    else
        encode_level_to_table<REAL, DIMS>(point, nullptr, row, nullptr, dtable, int(features), levels[l], smoothstep != 0, SharedAdd());
}

// dx = gradient to x of <dy, y>, or with v of <dy, change of y along v>. Threads: samples.
KERNEL encode_to_point(int64_t n, const REAL* x, const REAL* v, const REAL* table, const REAL* dy, const GridLevel* levels, int64_t active,
                       int64_t features, int64_t smoothstep, int64_t stride, REAL* dx) {
    const int64_t i = thread_x();
    if (i >= n) return;
    REAL sum[DIMS] = {};
    for (int l = 0; l < active; ++l) {
        const REAL *point = x + i * DIMS, *row = dy + i * stride + l * features;
        if (v)
            encode_level_hessian<REAL, DIMS>(point, v + i * DIMS, row, table, int(features), levels[l], smoothstep != 0, sum);
        else
            encode_level_to_point<REAL, DIMS>(point, row, table, int(features), levels[l], smoothstep != 0, sum);
    }
    for (int d = 0; d < DIMS; ++d) dx[i * DIMS + d] = sum[d];
}

}  // namespace formfield
