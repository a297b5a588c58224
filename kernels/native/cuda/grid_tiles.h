// A multiresolution hash grid (bodies/hash_grid.h) looked up where the operands of a matrix product lie: lane (g, t) takes columns
// 8 q + 2 t and the next of tile q for samples g and g + 8, so encodings need no exchange, nor do the gradients that come back.
//
// KINDS: two bits for each tile of 8 columns: 0 where its levels are dense, 1 hashed, 2 some of each.
#pragma once
#include "cuda/tiles.h"

namespace formfield {

constexpr int CORNERS = 1 << DIMS;
constexpr int PARTS = FEATURES == 1 ? 2 : 1;  // levels that a lane's two columns belong to

// Exact values of a point's place in its cells need both roundings on every machine: see multiply_then_add.
struct Level {
    float scale;
    uint32_t resolution, size, magic, offset;
    bool hashed, on;
};
struct Place {
    uint32_t vertex[DIMS];
    float u[DIMS], slope[DIMS];  // slope: du/dx, in cells
};
struct Slopes {  // of the features by the point
    float d[FEATURE_TILES][DIMS][4];
    WARP float& at(int q, int r, int f, int axis) { return d[q][axis][2 * r + f]; }
};

// levels: scale, resolution, size, offset, hashed of each. Those that are not active, or past the last, are entered but not on: they are
// looked up at the start of the table, so that no lane waits for another, and give 0.
WARP void stage_levels(const int32_t* levels, int64_t active, uint32_t* pool) {
    for (int l = 32 * warp_of() + lane_of(); l < LEVEL_SLOTS; l += 32 * WARPS) {
        const bool on = l < LEVELS && l < active;
        const int32_t* from = levels + 5 * (on ? l : 0);
        uint32_t* to = pool + LEVELS_AT + LEVEL_WORDS * l;
        place(to, on ? uint32_t(from[0]) : 0);
        place(to + 1, on ? uint32_t(from[1]) : 0);
        place(to + 2, on ? uint32_t(from[2]) : 8);
        place(to + 3, on ? 0xFFFFFFFFu / uint32_t(from[2]) : 0);
        place(to + 4, on ? uint32_t(from[3]) : 0);
        place(to + 5, on ? uint32_t(from[4]) : 0);
        place(to + 6, on);
    }
}

WARP Level level_at(const uint32_t* pool, int column) {
    uint32_t a[4], b[4];
    get4(pool + LEVELS_AT + LEVEL_WORDS * (column / FEATURES), a);
    get4(pool + LEVELS_AT + LEVEL_WORDS * (column / FEATURES) + 4, b);
    return {as_float(a[0]), a[1], a[2], a[3], b[0], b[1] != 0, b[2] != 0};
}

WARP Place place_of(const float (&x)[DIMS], const Level& level) {
    Place p;
    UNROLL for (int d = 0; d < DIMS; ++d) {
        const float position = x[d] * level.scale + 0.5f, low = floor(position), u = position - low;
        p.vertex[d] = uint32_t(int32_t(low));
        p.u[d] = SMOOTH ? u * u * (3 - 2 * u) : u;
        p.slope[d] = SMOOTH ? 6 * u * (1 - u) : 1.0f;
    }
    return p;
}

// First number of a lane's columns in the entry of corner c.
WARP int64_t number_of(const Place& p, int c, const Level& level, int kind, int column) {
    const uint32_t primes[3] = {1u, 2654435761u, 805459861u};
    uint32_t hash = 0, dense = 0, step = 1;
    UNROLL for (int d = 0; d < DIMS; ++d) {
        const uint32_t vertex = p.vertex[d] + uint32_t((c >> d) & 1);
        hash ^= vertex * primes[d];
        dense += vertex * step;
        step *= level.resolution;
    }
    uint32_t index = kind == 1 || (kind == 2 && level.hashed) ? hash : dense;
    if (kind == 1) {
        index &= level.size - 1;
    } else {  // index % size: the quotient by multiplication is at most 1 too small
        index -= multiply_high(index, level.magic) * level.size;
        const uint32_t less = index - level.size;
        index = less < index ? less : index;
    }
    return (int64_t(level.offset) + index) * FEATURES + column % FEATURES;
}

// The value between the corners, and its slopes in units of the weights.
template <bool SLOPE>
WARP float between(const float (&e)[CORNERS], const Place& p, float (&slope)[DIMS]) {
    constexpr int HALF = CORNERS / 2;
    float d[HALF], l[HALF];
    UNROLL for (int i = 0; i < HALF; ++i) d[i] = e[2 * i + 1] - e[2 * i], l[i] = e[2 * i] + p.u[0] * d[i];
    if constexpr (DIMS == 2) {
        const float by = l[1] - l[0];
        if constexpr (SLOPE) slope[0] = d[0] + p.u[1] * (d[1] - d[0]), slope[1] = by;
        return l[0] + p.u[1] * by;
    } else {
        const float y0 = l[1] - l[0], y1 = l[3] - l[2], low = l[0] + p.u[1] * y0, by = l[2] + p.u[1] * y1 - low;
        if constexpr (SLOPE) {
            const float x0 = d[0] + p.u[1] * (d[1] - d[0]), x1 = d[2] + p.u[1] * (d[3] - d[2]);
            slope[0] = x0 + p.u[2] * (x1 - x0), slope[1] = y0 + p.u[2] * (y1 - y0), slope[2] = by;
        }
        return low + p.u[2] * by;
    }
}

// Its adjoint: of the value, and of the slopes, to the corners.
template <bool SLOPE>
WARP void spread(float value, const float (&slope)[DIMS], const Place& p, float (&e)[CORNERS]) {
    constexpr int HALF = CORNERS / 2;
    float d[HALF] = {}, l[HALF];
    if constexpr (DIMS == 2) {
        l[1] = value * p.u[1] + (SLOPE ? slope[1] : 0.0f), l[0] = value - l[1];
        if constexpr (SLOPE) d[1] = slope[0] * p.u[1], d[0] = slope[0] - d[1];
    } else {
        const float high = value * p.u[2] + (SLOPE ? slope[2] : 0.0f), low = value - high;
        const float y1 = SLOPE ? slope[1] * p.u[2] : 0.0f, y0 = SLOPE ? slope[1] - y1 : 0.0f;
        l[3] = high * p.u[1] + y1, l[2] = high - l[3], l[1] = low * p.u[1] + y0, l[0] = low - l[1];
        if constexpr (SLOPE) {
            const float x1 = slope[0] * p.u[2], x0 = slope[0] - x1;
            d[3] = x1 * p.u[1], d[2] = x1 - d[3], d[1] = x0 * p.u[1], d[0] = x0 - d[1];
        }
    }
    UNROLL for (int i = 0; i < HALF; ++i) e[2 * i + 1] = l[i] * p.u[0] + d[i], e[2 * i] = l[i] - e[2 * i + 1];
}

// The corners' numbers at a lane's columns; part: which of two levels, for entries of one number.
template <int KIND>
WARP void look_up(const float* table, const Place& p, const Level& level, int column, int part, float (&e)[2][CORNERS]) {
    UNROLL for (int c = 0; c < CORNERS; ++c) {
        const float* from = table + number_of(p, c, level, KIND, column);
        if constexpr (PARTS == 2)
            e[part][c] = gather(from);
        else
            gather2(from, e[0][c], e[1][c]);
    }
}

// 2 x - 1 at the columns behind the features, `times` the point less `minus` in general.
WARP float beyond(const float (&x)[DIMS], int column, float minus) {
    float value = 0;
    UNROLL for (int d = 0; d < ROW; ++d)
        if (column == FEATURE_COLUMNS + d) value = 2 * x[d] - minus;
    return value;
}

enum Encode { VALUES, WITH_SLOPES, ALONG };

// Tile Q and those after it of the inputs a of the network at points x (rows g and g + 8), for MODE WITH_SLOPES the slopes of the
// features by the point, for ALONG the change of the inputs along v.
template <int MODE, int Q = 0>
WARP void encode(const float* table, const uint32_t* pool, const float (&x)[2][DIMS], const float (&v)[2][DIMS],
                 Operand<columns(0) / 16>& a, Operand<columns(0) / 16>& change, Slopes& slopes) {
    constexpr int KIND = int(KINDS >> (2 * (Q < FEATURE_TILES ? Q : 0)) & 3);
    const int column = 8 * Q + 2 * (lane_of() & 3);
    float y[2][2] = {}, dot[2][2] = {};
    if constexpr (Q < FEATURE_TILES) {
        float e[2][2][CORNERS];
        Level level[PARTS];
        Place place[2][PARTS];
        UNROLL for (int part = 0; part < PARTS; ++part) {
            level[part] = level_at(pool, column + part);
            UNROLL for (int r = 0; r < 2; ++r) {
                place[r][part] = place_of(x[r], level[part]);
                look_up<KIND>(table, place[r][part], level[part], column, part, e[r]);
            }
        }
        UNROLL for (int r = 0; r < 2; ++r)
            UNROLL for (int f = 0; f < 2; ++f) {
                const Level& l = level[PARTS == 2 ? f : 0];
                const Place& p = place[r][PARTS == 2 ? f : 0];
                float slope[DIMS] = {};
                const float value = between<MODE != VALUES>(e[r][f], p, slope);
                y[r][f] = l.on ? value : 0.0f;
                UNROLL for (int d = 0; d < DIMS; ++d) {
                    const float by = slope[d] * p.slope[d] * l.scale;  // the scale is 0 where the level is not on
                    if (MODE == WITH_SLOPES) slopes.at(Q, r, f, d) = by;
                    if (MODE == ALONG) dot[r][f] += by * v[r][d];
                }
            }
    }
    if constexpr (ROW > 0 && 8 * Q + 8 > FEATURE_COLUMNS) {
        UNROLL for (int r = 0; r < 2; ++r)
            UNROLL for (int f = 0; f < 2; ++f)
                if (column + f >= FEATURE_COLUMNS) {
                    y[r][f] = beyond(x[r], column + f, 1.0f);
                    if (MODE == ALONG) dot[r][f] = beyond(v[r], column + f, 0.0f);
                }
    }
    UNROLL for (int r = 0; r < 2; ++r) {
        set(a, Q, r, y[r][0], y[r][1]);
        if (MODE == ALONG) set(change, Q, r, dot[r][0], dot[r][1]);
    }
    if constexpr (8 * Q + 8 < columns(0)) encode<MODE, Q + 1>(table, pool, x, v, a, change, slopes);
}

// What columns behind the features add to a gradient by the point.
template <int N>
WARP void beyond_to_point(const float (&c)[N][4], float (&sum)[2][DIMS]) {
    UNROLL for (int q = FEATURE_COLUMNS / 8; q < N; ++q)
        UNROLL for (int f = 0; f < 2; ++f)
            UNROLL for (int d = 0; d < ROW; ++d)
                if (8 * q + 2 * (lane_of() & 3) + f == FEATURE_COLUMNS + d) {
                    UNROLL for (int r = 0; r < 2; ++r) sum[r][d] += 2 * c[q][2 * r + f];
                }
}

// Sums over the four lanes of a row, written by one each.
template <class Rows>
WARP void write_points(float (&sum)[2][DIMS], const Rows& rows, float* to) {
    UNROLL for (int r = 0; r < 2; ++r)
        UNROLL for (int d = 0; d < DIMS; ++d) {
            sum[r][d] += across(sum[r][d], 1);
            sum[r][d] += across(sum[r][d], 2);
            if ((lane_of() & 3) == d && rows.in(r)) to[DIMS * rows.row(r) + d] = sum[r][d];
        }
}

// Gradients c of the inputs to the table, and with SLOPE those of their change along v.
template <bool SLOPE, int Q = 0, int N, class Rows>
WARP void scatter(float* dtable, const uint32_t* pool, const float (&x)[2][DIMS], const float (&v)[2][DIMS], const float (&c)[N][4],
                  const float (&change)[N][4], const Rows& rows) {
    constexpr int KIND = int(KINDS >> (2 * Q) & 3);
    const int column = 8 * Q + 2 * (lane_of() & 3);
    float e[2][CORNERS];
    UNROLL for (int part = 0; part < PARTS; ++part) {
        const Level level = level_at(pool, column + part);
        UNROLL for (int r = 0; r < 2; ++r) {
            const Place p = place_of(x[r], level);
            UNROLL for (int f = part; f < part + 3 - PARTS; ++f) {
                float slope[DIMS];
                UNROLL for (int d = 0; d < DIMS; ++d) slope[d] = SLOPE ? change[Q][2 * r + f] * (v[r][d] * p.slope[d] * level.scale) : 0.0f;
                spread<SLOPE>(c[Q][2 * r + f], slope, p, e[f]);
            }
            if (rows.in(r) && level.on) {
                UNROLL for (int k = 0; k < CORNERS; ++k) {
                    float* to = dtable + number_of(p, k, level, KIND, column);
                    if constexpr (PARTS == 2)
                        add(to, e[part][k]);
                    else
                        add2(to, e[0][k], e[1][k]);
                }
            }
        }
    }
    if constexpr (Q + 1 < FEATURE_TILES) scatter<SLOPE, Q + 1>(dtable, pool, x, v, c, change, rows);
}

// Gradient by the point for gradients c of the inputs, looking the table up again.
template <int N, int Q = 0>
WARP void to_point(const float* table, const uint32_t* pool, const float (&x)[2][DIMS], const float (&c)[N][4], float (&sum)[2][DIMS]) {
    constexpr int KIND = int(KINDS >> (2 * Q) & 3);
    const int column = 8 * Q + 2 * (lane_of() & 3);
    UNROLL for (int part = 0; part < PARTS; ++part) {
        const Level level = level_at(pool, column + part);
        UNROLL for (int r = 0; r < 2; ++r) {
            const Place p = place_of(x[r], level);
            float e[2][CORNERS];
            look_up<KIND>(table, p, level, column, part, e);
            UNROLL for (int f = part; f < part + 3 - PARTS; ++f) {
                float slope[DIMS];
                between<true>(e[f], p, slope);
                UNROLL for (int d = 0; d < DIMS; ++d) sum[r][d] += c[Q][2 * r + f] * slope[d] * p.slope[d] * level.scale;
            }
        }
    }
    if constexpr (Q + 1 < FEATURE_TILES) to_point<N, Q + 1>(table, pool, x, c, sum);
}

}  // namespace formfield
