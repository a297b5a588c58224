// How the SIMD ops walk over samples: in groups of at most GROUP_TILES tiles, so that the working memory is bounded whatever N is.
// Within a group one level of the table is read or written at a time, which keeps that level in the cache.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "cpu/parallel.h"
#include "cpu/simd_api.h"
#include "cpu/specs.h"

namespace formfield {

constexpr int64_t GROUP_TILES = 1024;  // 49152 samples
constexpr int64_t TASK_TILES = 32;     // a task of encoding
constexpr int64_t UNIT_TILES = 32;     // a task of the network: one partial sum of parameter gradients

struct Floats {
    struct Free {
        void operator()(float* p) const { std::free(p); }
    };
    std::unique_ptr<float, Free> memory;

    explicit Floats(int64_t count = 0) {
        if (count <= 0) return;
        memory.reset(static_cast<float*>(std::aligned_alloc(64, size_t((count * 4 + 63) / 64 * 64))));
        if (!memory) throw std::bad_alloc();
    }
    operator float*() const { return memory.get(); }
};

struct Group {
    int64_t first, tiles;  // first sample; tiles, the last one perhaps not full
};

inline std::vector<Group> groups_of(int64_t n) {
    std::vector<Group> groups;
    for (int64_t first = 0; first < n; first += GROUP_TILES * TILE)
        groups.push_back({first, std::min(GROUP_TILES, (n - first + TILE - 1) / TILE)});
    return groups;
}

inline int64_t largest_group(int64_t n) { return std::min(GROUP_TILES, (n + TILE - 1) / TILE); }

template <class F>
void parallel_tiles(int threads, int64_t tiles, F&& f) {
    parallel_ranges(threads, tiles, TASK_TILES, f);
}

// The encoding of one group: buffers, and the loops over levels.
struct GroupEncoder {
    const Grid& grid;
    int active, row, rows, threads;  // row: first row of the encoding among `rows` rows per tile
    Floats x, v;
    bool outside = false;

    GroupEncoder(const Grid& grid, int active, int row, int rows, int threads, int64_t tiles, bool direction)
        : grid(grid), active(active), row(row), rows(rows), threads(threads), x(tiles * grid.dims * TILE),
          v(direction ? tiles * grid.dims * TILE : 0) {}

    LevelJob job(int level) const {
        return {grid.levels[size_t(level)], grid.dims, grid.features, grid.smoothstep, outside, x, v, rows, row + level * grid.features};
    }

    // Points (and directions) of the group into tiles.
    void read(const float* points, const float* directions, const Group& group, int64_t n) {
        const FieldSimd& simd = field_simd();
        const int64_t begin = group.first * grid.dims, end = std::min(n, group.first + group.tiles * TILE) * grid.dims;
        int beyond = 0;
        for (int64_t i = begin; i < end; ++i) beyond |= int(points[i] < 0.f) | int(points[i] > 1.f);
        outside = beyond != 0;
        parallel_tiles(threads, group.tiles, [&](int64_t b, int64_t e) {
            simd.rows_to_tiles(points, grid.dims, group.first, n, 0.5f, x, grid.dims, b, e);
            if (directions) simd.rows_to_tiles(directions, grid.dims, group.first, n, 0.f, v, grid.dims, b, e);
        });
    }

    // Encoding into y, its derivative along the directions into ydot (may be null); inactive levels 0. With row = dims the rows before
    // it get 2 x - 1.
    void encode(const float* table, float* y, float* ydot, int64_t tiles) const { encode(table, y, ydot, nullptr, tiles); }

    int jacobian_rows() const { return int(grid.levels.size()) * grid.features * grid.dims; }

    // The same with the derivatives of the active levels where `jacobian` [tile][jacobian_rows][48] is not null (then without ydot).
    void encode(const float* table, float* y, float* ydot, float* jacobian, int64_t tiles) const {
        const FieldSimd& simd = field_simd();
        const int64_t pieces = (tiles + TASK_TILES - 1) / TASK_TILES;
        const int filled = row + active * grid.features;
        parallel_tasks(threads, pieces * (active + 1), [&](int64_t task, int) {
            // level after level, so that the workers share one level's table in the cache
            const int level = int(task / pieces);
            const int64_t begin = task % pieces * TASK_TILES, end = std::min(tiles, begin + TASK_TILES);
            if (level < active) {
                if (jacobian)
                    simd.encode_with_jacobian(job(level), table, y, jacobian, jacobian_rows(), level * grid.features * grid.dims, begin, end);
                else
                    simd.encode(job(level), table, y, ydot, begin, end);
                return;
            }
            for (int64_t t = begin; t < end; ++t) {
                float* tile = y + t * rows * TILE;
                std::fill(tile + filled * TILE, tile + rows * TILE, 0.f);
                for (int i = 0; i < row * TILE; ++i) tile[i] = 2.f * x[t * grid.dims * TILE + i] - 1.f;
                if (!ydot) continue;
                tile = ydot + t * rows * TILE;
                std::fill(tile + filled * TILE, tile + rows * TILE, 0.f);
                for (int i = 0; i < row * TILE; ++i) tile[i] = 2.f * v[t * grid.dims * TILE + i];
            }
        });
    }

    // Adjoint dy of the encoding to the points: rows of `result` [n, dims]. `dx` is a buffer of tiles * dims * 48.
    void to_point(const float* table, const float* dy, float* dx, float* result, const Group& group, int64_t n) const {
        const FieldSimd& simd = field_simd();
        const int64_t size = grid.dims * TILE;
        // each worker takes its share of the group through all levels: one level's table at a time, and dx summed in the same order always
        const int64_t share = std::max(TASK_TILES, (group.tiles + threads - 1) / threads);
        parallel_ranges(threads, group.tiles, share, [&](int64_t begin, int64_t end) {
            for (int64_t t = begin; t < end; ++t)
                for (int i = 0; i < size; ++i) dx[t * size + i] = row ? 2.f * dy[t * rows * TILE + i] : 0.f;
            for (int level = 0; level < active; ++level) simd.to_point(job(level), table, dy, dx, begin, end);
            simd.tiles_to_rows(dx, grid.dims, grid.dims, group.first, n, result, begin, end);
        });
    }

    // to_point() and the derivative along the directions, from a stored jacobian: no look at the table.
    void to_point_by(const float* jacobian, const float* dy, float* dx, float* result, const Group& group, int64_t n) const {
        const FieldSimd& simd = field_simd();
        const int64_t size = grid.dims * TILE;
        parallel_tiles(threads, group.tiles, [&](int64_t begin, int64_t end) {
            for (int64_t t = begin; t < end; ++t)
                for (int i = 0; i < size; ++i) dx[t * size + i] = row ? 2.f * dy[t * rows * TILE + i] : 0.f;
            simd.jacobian_to_point(grid.dims, active * grid.features, jacobian_rows(), jacobian, dy, rows, row, dx, begin, end);
            simd.tiles_to_rows(dx, grid.dims, grid.dims, group.first, n, result, begin, end);
        });
    }
    void along_by(const float* jacobian, float* ydot, int64_t tiles) const {
        const FieldSimd& simd = field_simd();
        const int filled = row + active * grid.features;
        parallel_tiles(threads, tiles, [&](int64_t begin, int64_t end) {
            simd.jacobian_along(grid.dims, active * grid.features, jacobian_rows(), jacobian, v, ydot, rows, row, begin, end);
            for (int64_t t = begin; t < end; ++t) {
                float* tile = ydot + t * rows * TILE;
                std::fill(tile + filled * TILE, tile + rows * TILE, 0.f);
                for (int i = 0; i < row * TILE; ++i) tile[i] = 2.f * v[t * grid.dims * TILE + i];
            }
        });
    }

    // Adjoints to the table: one worker per level, so no two write the same entry.
    void to_table(const float* dy, const float* dydot, float* dtable, int64_t tiles) const {
        const FieldSimd& simd = field_simd();
        parallel_tasks(threads, active, [&](int64_t task, int) {
            const int level = active - 1 - int(task);  // the finest levels miss the cache most: first
            simd.to_table(job(level), dy, dydot, dtable, 0, tiles);
        });
    }
};

// A network over groups: packed weights, scratch memory per worker, partial sums of gradients per unit of tiles.
struct GroupNetwork {
    const Network& net;
    int threads;
    int64_t size, stride, scratch_stride, units;
    Floats forward_weights, backward_weights, scratch, partial, total;
    MlpJob job;

    GroupNetwork(const Network& net, const float* params, int threads, int64_t tiles, bool gradients)
        : net(net), threads(std::max(threads, 1)), size(field_simd().gradient_floats(net)), stride((size + 15) / 16 * 16),
          scratch_stride((field_simd().scratch_floats(net) + 63) / 64 * 64 + 16), units((tiles + UNIT_TILES - 1) / UNIT_TILES),
          forward_weights(weights()), backward_weights(weights()), scratch(scratch_stride * this->threads),
          partial(gradients ? stride * units : 0), total(gradients ? stride : 0),
          job{&this->net, params, forward_weights, backward_weights} {
        field_simd().pack(net, params, forward_weights, backward_weights);
        if (gradients) std::fill(static_cast<float*>(total), total + stride, 0.f);
    }

    int64_t weights() const {
        int64_t sum = 0;
        for (int i = 0; i < net.layers; ++i) sum += int64_t(net.widths[i]) * net.widths[i + 1];
        return sum;
    }

    void forward(float* input, const float* x_rows, float* out, float* gradient, const Group& group, int64_t n) {
        parallel_tasks(threads, (group.tiles + UNIT_TILES - 1) / UNIT_TILES, [&](int64_t unit, int worker) {
            field_simd().forward(job, input, x_rows, out, gradient, group.first, n, unit * UNIT_TILES,
                                 std::min(group.tiles, (unit + 1) * UNIT_TILES), scratch + scratch_stride * worker);
        });
    }

    void backward(float* input, float* inputdot, const float* x_rows, float* dx_rows, const float* dout, const Group& group, int64_t n) {
        const int64_t count = (group.tiles + UNIT_TILES - 1) / UNIT_TILES;
        parallel_tasks(threads, count, [&](int64_t unit, int worker) {
            float* sums = partial ? partial + stride * unit : nullptr;
            if (sums) std::fill(sums, sums + stride, 0.f);
            field_simd().backward(job, input, inputdot, x_rows, dx_rows, dout, group.first, n, unit * UNIT_TILES,
                                  std::min(group.tiles, (unit + 1) * UNIT_TILES), sums, scratch + scratch_stride * worker);
        });
        if (!partial) return;
        parallel_ranges(threads, stride, 4096, [&](int64_t begin, int64_t end) {
            for (int64_t unit = 0; unit < count; ++unit)
                for (int64_t i = begin; i < end; ++i) total[i] += partial[stride * unit + i];
        });
    }

    void add_gradients(float* dparams) const { field_simd().add_gradients(net, total, dparams); }
};

}  // namespace formfield
