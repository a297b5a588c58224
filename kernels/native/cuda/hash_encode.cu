// hash_encode: one thread per (sample, level), or per sample where a sum over the levels is wanted. DIMS: dimensions of a point. FEATURES:
// of an entry. SMOOTH: 1 for smoothstep. Tables and rows begin at multiples of 16 bytes.
#include "cuda/thread.h"

#include "bodies/hash_grid.h"

namespace formfield {

using Row = Entry<REAL, FEATURES>;

// In registers: the compiler cannot know that what is written does not change them.
struct Point {
    REAL at[DIMS];
    DEVICE Point(const REAL* points, int64_t i) {
        for (int d = 0; d < DIMS; ++d) at[d] = points ? points[i * DIMS + d] : REAL(0);
    }
};

// y (and with v its change ydot along v); levels from `active` on give 0. Rows of `stride` numbers. Threads: samples x levels.
KERNEL encode_forward(int64_t n, const REAL* x, const REAL* v, const REAL* table, const GridLevel* levels, int64_t active, int64_t stride,
                      REAL* y) {
    const int64_t i = thread_x(), l = thread_y();
    if (i >= n) return;
    Row value = {};
    if (l < active) {
        const GridLevel level = levels[l];
        const Point point(x, i), along(v, i);
        Row change;
        encode_level<REAL, DIMS, FEATURES>(point.at, v ? along.at : nullptr, table, FEATURES, level, SMOOTH, value.v, change.v);
        if (v) value = change;
    }
    *reinterpret_cast<Row*>(y + i * stride + l * FEATURES) = value;
}

// dtable += w dy, or with v A dy. Threads: samples x active levels.
KERNEL encode_to_table(int64_t n, const REAL* x, const REAL* v, const REAL* dy, const GridLevel* levels, int64_t stride, REAL* dtable) {
    const int64_t i = thread_x(), l = thread_y();
    if (i >= n) return;
    const GridLevel level = levels[l];
    const Point point(x, i), along(v, i);
    const Row row = *reinterpret_cast<const Row*>(dy + i * stride + l * FEATURES);
    if (v)
        encode_level_to_table<REAL, DIMS, FEATURES>(point.at, along.at, nullptr, row.v, dtable, FEATURES, level, SMOOTH, SharedAdd());
    else
        encode_level_to_table<REAL, DIMS, FEATURES>(point.at, nullptr, row.v, nullptr, dtable, FEATURES, level, SMOOTH, SharedAdd());
}

// dx = gradient to x of <dy, y>, or with v of <dy, change of y along v>. Threads: samples.
KERNEL encode_to_point(int64_t n, const REAL* x, const REAL* v, const REAL* table, const REAL* dy, const GridLevel* levels, int64_t active,
                       int64_t stride, REAL* dx) {
    const int64_t i = thread_x();
    if (i >= n) return;
    const Point point(x, i), along(v, i);
    REAL sum[DIMS] = {};
    for (int l = 0; l < active; ++l) {
        const GridLevel level = levels[l];
        const Row row = *reinterpret_cast<const Row*>(dy + i * stride + l * FEATURES);
        if (v)
            encode_level_hessian<REAL, DIMS, FEATURES>(point.at, along.at, row.v, table, FEATURES, level, SMOOTH, sum);
        else
            encode_level_to_point<REAL, DIMS, FEATURES>(point.at, row.v, table, FEATURES, level, SMOOTH, sum);
    }
    for (int d = 0; d < DIMS; ++d) dx[i * DIMS + d] = sum[d];
}

}  // namespace formfield
