// One level of the hash grid for many samples: indices, weights and interpolation with samples in SIMD lanes; the table itself is
// touched by one load (or load and store) of F numbers per corner and sample, prefetched two vectors ahead.
#pragma once
#include <string.h>

#include "cpu/simd/vec.h"
#include "cpu/simd_api.h"

namespace formfield {
namespace FORMFIELD_ISA {
namespace {

constexpr int BLOCKS = TILE / W;   // vectors of samples per tile
constexpr int AHEAD = W == 16 ? 2 : 4;  // vectors between prefetch and use
constexpr int RING = 8;

// Table rows of the corners of W samples and where in the cell they are.
template <int D>
struct Corners {
    uint32_t index[1 << D][W];
    vf u[D];
};

// Position of vector `block` of a tiled buffer with `rows` rows per tile.
INLINE int64_t at(int64_t block, int rows, int row) { return block / BLOCKS * (rows * TILE) + row * TILE + block % BLOCKS * W; }

template <int D>
INLINE void locate(const LevelJob& job, int64_t block, Corners<D>& out) {
    const GridLevel& level = job.level;
    vu term[D][2];
    uint32_t stride = 1;
    UNROLL for (int d = 0; d < D; ++d) {
        const vf position = load(job.x + at(block, D, d)) * level.scale + 0.5f;
        vi cell = __builtin_convertvector(position, vi);  // towards zero
        vf low = __builtin_convertvector(cell, vf);
        const vi above = low > position;  // -1 where true: negative coordinates
        cell += above;
        low = __builtin_convertvector(cell, vf);
        out.u[d] = position - low;
        const vu c = (vu)cell;
        if (level.hashed) {
            const uint32_t prime = d == 0 ? 1u : d == 1 ? 2654435761u : 805459861u;
            term[d][0] = c * prime;
            term[d][1] = term[d][0] + prime;
        } else {
            term[d][0] = c * stride;
            term[d][1] = term[d][0] + stride;
            stride *= level.resolution;
        }
    }
    UNROLL for (int c = 0; c < (1 << D); ++c) {
        vu index = term[0][c & 1];
        if (level.hashed) {  // a hashed level has a power of two entries
            UNROLL for (int d = 1; d < D; ++d) index ^= term[d][(c >> d) & 1];
            index &= level.size - 1;
        } else {
            UNROLL for (int d = 1; d < D; ++d) index += term[d][(c >> d) & 1];
            if (job.outside)
                index %= level.size;
            else  // inside [0, 1] it is less than twice the size
                index = index >= level.size ? index - level.size : index;
        }
        memcpy(out.index[c], &index, sizeof index);
    }
}

template <int D, int F, int WRITE>
INLINE void prefetch(const float* table, const Corners<D>& corners) {
    // the neighbour in x is next to a dense entry, and next to a hashed one in seven of eight cases: one prefetch serves both
    for (int c = 0; c < (1 << D); c += 2)
        UNROLL for (int s = 0; s < W; ++s) __builtin_prefetch(table + int64_t(corners.index[c][s]) * F, WRITE, 3);
}

template <int F>
INLINE void copy_entry(float* to, const float* from) {
    memcpy(to, from, sizeof(float) * F);
}

// Smoothstep in place; returns the derivative times the scale.
INLINE vf smooth(vf& u, bool smoothstep, float scale) {
    if (!smoothstep) return splat(scale);
    const vf first = 6.f * scale * u * (1.f - u);
    u = u * u * (3.f - 2.f * u);
    return first;
}

// Interpolates g[corner] at u; with WITH_J also the derivatives to u.
template <int D, bool WITH_J>
INLINE vf interpolate(const vf* g, const vf* u, vf* j) {
    if constexpr (D == 2) {
        const vf dx0 = g[1] - g[0], dx1 = g[3] - g[2];
        const vf l0 = g[0] + u[0] * dx0, l1 = g[2] + u[0] * dx1;
        const vf dy = l1 - l0;
        if (WITH_J) {
            j[0] = dx0 + u[1] * (dx1 - dx0);
            j[1] = dy;
        }
        return l0 + u[1] * dy;
    } else {
        vf j0[2], j1[2];
        const vf low = interpolate<2, WITH_J>(g, u, j0), high = interpolate<2, WITH_J>(g + 4, u, j1);
        const vf dz = high - low;
        if (WITH_J) {
            j[0] = j0[0] + u[2] * (j1[0] - j0[0]);
            j[1] = j0[1] + u[2] * (j1[1] - j0[1]);
            j[2] = dz;
        }
        return low + u[2] * dz;
    }
}

// Calls use(block, u, g) for every vector of samples, g[f][corner] being the table's numbers there.
template <int D, int F, class Use>
INLINE void for_gathered(const LevelJob& job, const float* table, int64_t begin, int64_t end, Use use) {
    constexpr int C = 1 << D;
    const float* entries = table + int64_t(job.level.offset) * F;
    const bool far = int64_t(job.level.size) * F > 8192;  // does not sit in the first-level cache
    Corners<D> ring[RING];
    alignas(64) float gathered[2][C][W * F];
    const int64_t first = begin * BLOCKS, last = end * BLOCKS;
    for (int64_t block = first; block < last + 1 + AHEAD; ++block) {
        if (block < last) {
            Corners<D>& corners = ring[block % RING];
            locate<D>(job, block, corners);
            if (far) prefetch<D, F, 0>(entries, corners);
        }
        const int64_t middle = block - AHEAD;  // fetch this one
        if (middle >= first && middle < last) {
            const Corners<D>& corners = ring[middle % RING];
            float(*to)[W * F] = gathered[middle & 1];
            for (int c = 0; c < C; ++c)
                UNROLL for (int s = 0; s < W; ++s) copy_entry<F>(to[c] + s * F, entries + int64_t(corners.index[c][s]) * F);
        }
        const int64_t done = middle - 1;  // use the one before: its stores have reached the cache
        if (done >= first && done < last) {
            vf g[F][C];
            for (int c = 0; c < C; ++c) {
                vf v[F];
                UNROLL for (int f = 0; f < F; ++f) v[f] = load(gathered[done & 1][c] + f * W);
                deinterleave<F>(v);
                UNROLL for (int f = 0; f < F; ++f) g[f][c] = v[f];
            }
            vf u[D];
            UNROLL for (int d = 0; d < D; ++d) u[d] = ring[done % RING].u[d];
            use(done, u, g);
        }
    }
}

template <int D, int F>
void encode(const LevelJob& job, const float* table, float* y, float* ydot, int64_t begin, int64_t end) {
    constexpr int C = 1 << D;
    for_gathered<D, F>(job, table, begin, end, [&](int64_t block, vf* u, vf(*g)[C]) {
        vf slope[D], j[D];
        UNROLL for (int d = 0; d < D; ++d) slope[d] = smooth(u[d], job.smoothstep, job.level.scale);
        if (!ydot) {
            UNROLL for (int f = 0; f < F; ++f) store(y + at(block, job.rows, job.row + f), interpolate<D, false>(g[f], u, j));
            return;
        }
        UNROLL for (int d = 0; d < D; ++d) slope[d] *= load(job.v + at(block, D, d));
        UNROLL for (int f = 0; f < F; ++f) {
            store(y + at(block, job.rows, job.row + f), interpolate<D, true>(g[f], u, j));
            vf sum = slope[0] * j[0];
            UNROLL for (int d = 1; d < D; ++d) sum += slope[d] * j[d];
            store(ydot + at(block, job.rows, job.row + f), sum);
        }
    });
}

template <int D, int F>
void encode_with_jacobian(const LevelJob& job, const float* table, float* y, float* jacobian, int rows, int row, int64_t begin, int64_t end) {
    constexpr int C = 1 << D;
    for_gathered<D, F>(job, table, begin, end, [&](int64_t block, vf* u, vf(*g)[C]) {
        vf slope[D], j[D];
        UNROLL for (int d = 0; d < D; ++d) slope[d] = smooth(u[d], job.smoothstep, job.level.scale);
        UNROLL for (int f = 0; f < F; ++f) {
            store(y + at(block, job.rows, job.row + f), interpolate<D, true>(g[f], u, j));
            UNROLL for (int d = 0; d < D; ++d) store(jacobian + at(block, rows, row + f * D + d), slope[d] * j[d]);
        }
    });
}

inline void jacobian_to_point(int dims, int rows, int jacobian_rows, const float* jacobian, const float* dy, int all, int first, float* dx,
                              int64_t begin, int64_t end) {
    for (int64_t block = begin * BLOCKS; block < end * BLOCKS; ++block) {
        vf sum[3] = {zero(), zero(), zero()};
        for (int r = 0; r < rows; ++r) {
            const vf weight = load(dy + at(block, all, first + r));
            for (int d = 0; d < dims; ++d) sum[d] += weight * load(jacobian + at(block, jacobian_rows, r * dims + d));
        }
        for (int d = 0; d < dims; ++d) {
            float* to = dx + at(block, dims, d);
            store(to, load(to) + sum[d]);
        }
    }
}

inline void jacobian_along(int dims, int rows, int jacobian_rows, const float* jacobian, const float* v, float* ydot, int all, int first,
                           int64_t begin, int64_t end) {
    for (int64_t block = begin * BLOCKS; block < end * BLOCKS; ++block) {
        vf direction[3] = {zero(), zero(), zero()};
        for (int d = 0; d < dims; ++d) direction[d] = load(v + at(block, dims, d));
        for (int r = 0; r < rows; ++r) {
            vf sum = zero();
            for (int d = 0; d < dims; ++d) sum += direction[d] * load(jacobian + at(block, jacobian_rows, r * dims + d));
            store(ydot + at(block, all, first + r), sum);
        }
    }
}

template <int D, int F>
void to_point(const LevelJob& job, const float* table, const float* dy, float* dx, int64_t begin, int64_t end) {
    constexpr int C = 1 << D;
    for_gathered<D, F>(job, table, begin, end, [&](int64_t block, vf* u, vf(*g)[C]) {
        vf slope[D], j[D], combined[C];
        // the derivative is linear in the table: combine the features first
        UNROLL for (int c = 0; c < C; ++c) combined[c] = zero();
        UNROLL for (int f = 0; f < F; ++f) {
            const vf weight = load(dy + at(block, job.rows, job.row + f));
            UNROLL for (int c = 0; c < C; ++c) combined[c] += weight * g[f][c];
        }
        UNROLL for (int d = 0; d < D; ++d) slope[d] = smooth(u[d], job.smoothstep, job.level.scale);
        interpolate<D, true>(combined, u, j);
        UNROLL for (int d = 0; d < D; ++d) {
            float* to = dx + at(block, D, d);
            store(to, load(to) + slope[d] * j[d]);
        }
    });
}

template <int F>
INLINE void add_entry(float* to, const float* from) {
    if constexpr (F == 2) {
        typedef float v4 __attribute__((vector_size(16)));
        typedef double d2 __attribute__((vector_size(16)));
        d2 a = {0, 0}, b = {0, 0};
        memcpy(&a, to, 8);
        memcpy(&b, from, 8);
        const d2 sum = (d2)((v4)a + (v4)b);
        memcpy(to, &sum, 8);
    } else if constexpr (F % 4 == 0) {  // written out: a loop over single numbers is not made into vectors here
        typedef float v4 __attribute__((vector_size(16), aligned(4), may_alias));
        UNROLL for (int f = 0; f < F; f += 4) *reinterpret_cast<v4*>(to + f) += *reinterpret_cast<const v4*>(from + f);
    } else {
        UNROLL for (int f = 0; f < F; ++f) to[f] += from[f];
    }
}

template <int D, int F>
void to_table(const LevelJob& job, const float* dy, const float* dydot, float* dtable, int64_t begin, int64_t end) {
    constexpr int C = 1 << D;
    float* entries = dtable + int64_t(job.level.offset) * F;
    const bool far = int64_t(job.level.size) * F > 8192;
    Corners<D> ring[RING];
    alignas(64) float contribution[RING][C][W * F];
    const int64_t first = begin * BLOCKS, last = end * BLOCKS;
    for (int64_t block = first; block < last + AHEAD; ++block) {
        if (block < last) {
            Corners<D>& corners = ring[block % RING];
            locate<D>(job, block, corners);
            if (far) prefetch<D, F, 1>(entries, corners);
            vf u[D], along[D], weight[C], tangent[C];
            UNROLL for (int d = 0; d < D; ++d) {
                u[d] = corners.u[d];
                along[d] = smooth(u[d], job.smoothstep, job.level.scale);
                if (dydot) along[d] *= load(job.v + at(block, D, d));
            }
            if constexpr (D == 2) {
                const vf a0 = 1.f - u[0], b0 = 1.f - u[1];
                weight[0] = a0 * b0, weight[1] = u[0] * b0, weight[2] = a0 * u[1], weight[3] = u[0] * u[1];
                tangent[0] = -along[0] * b0 - along[1] * a0, tangent[1] = along[0] * b0 - along[1] * u[0];
                tangent[2] = -along[0] * u[1] + along[1] * a0, tangent[3] = along[0] * u[1] + along[1] * u[0];
            } else {
                UNROLL for (int c = 0; c < 4; ++c) {
                    const vf x = c & 1 ? u[0] : 1.f - u[0], y = c & 2 ? u[1] : 1.f - u[1];
                    const vf flat = x * y;
                    const vf change = (c & 1 ? along[0] : -along[0]) * y + (c & 2 ? along[1] : -along[1]) * x;
                    weight[c] = flat * (1.f - u[2]), weight[c + 4] = flat * u[2];
                    tangent[c] = change * (1.f - u[2]) - flat * along[2], tangent[c + 4] = change * u[2] + flat * along[2];
                }
            }
            UNROLL for (int c = 0; c < C; ++c) {
                vf v[F];
                UNROLL for (int f = 0; f < F; ++f) {
                    v[f] = dy ? weight[c] * load(dy + at(block, job.rows, job.row + f)) : zero();
                    if (dydot) v[f] += tangent[c] * load(dydot + at(block, job.rows, job.row + f));
                }
                interleave<F>(v);
                UNROLL for (int f = 0; f < F; ++f) store(contribution[block % RING][c] + f * W, v[f]);
            }
        }
        const int64_t done = block - AHEAD;
        if (done >= first && done < last) {
            const Corners<D>& corners = ring[done % RING];
            // sample by sample, so that two additions to the same entry are eight apart on coarse levels
            UNROLL for (int s = 0; s < W; ++s)
                UNROLL for (int c = 0; c < C; ++c)
                    add_entry<F>(entries + int64_t(corners.index[c][s]) * F, contribution[done % RING][c] + s * F);
        }
    }
}

}  // namespace
}  // namespace FORMFIELD_ISA
}  // namespace formfield
