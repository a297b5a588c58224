// hash_encode: float32 in SIMD tiles, float64 and the second order through the shared bodies.
#include <nanobind/nanobind.h>

#include "cpu/arrays.h"
#include "cpu/bindings.h"
#include "cpu/groups.h"
#include "cpu/scalar_field.h"

namespace formfield {
namespace {

void forward(const Array<const float>& x, const Array<const float>& table, const Grid& grid, int active, const Array<float>& out,
             int threads) {
    const int64_t n = int64_t(x.shape(0));
    const float *points = x.data(), *entries = table.data();
    float* result = out.data();
    const int rows = grid.features * int(grid.levels.size());
    nb::gil_scoped_release release;
    GroupEncoder encoder(grid, active, 0, rows, threads, largest_group(n), false);
    Floats y(largest_group(n) * rows * TILE);
    for (const Group& group : groups_of(n)) {
        encoder.read(points, nullptr, group, n);
        encoder.encode(entries, y, nullptr, group.tiles);
        parallel_tiles(threads, group.tiles, [&](int64_t begin, int64_t end) {
            field_simd().tiles_to_rows(y, rows, rows, group.first, n, result, begin, end);
        });
    }
}

void backward(const Array<const float>& x, const Array<const float>& table, const Grid& grid, int active, const Array<const float>& dout,
              const MaybeArray<float>& dx, const MaybeArray<float>& dtable, int threads) {
    const int64_t n = int64_t(x.shape(0));
    const float *points = x.data(), *entries = table.data(), *dy_rows = dout.data();
    float *to_points = data_or_null(dx), *to_entries = data_or_null(dtable);
    const int rows = grid.features * int(grid.levels.size());
    nb::gil_scoped_release release;
    GroupEncoder encoder(grid, active, 0, rows, threads, largest_group(n), false);
    Floats dy(largest_group(n) * rows * TILE), buffer(to_points ? largest_group(n) * grid.dims * TILE : 0);
    for (const Group& group : groups_of(n)) {
        encoder.read(points, nullptr, group, n);
        parallel_tiles(threads, group.tiles, [&](int64_t begin, int64_t end) {
            field_simd().rows_to_tiles(dy_rows, rows, group.first, n, 0.f, dy, rows, begin, end);
        });
        if (to_points) encoder.to_point(entries, dy, buffer, to_points, group, n);
        if (to_entries) encoder.to_table(dy, nullptr, to_entries, group.tiles);
    }
}

void forward_double(const Array<const double>& x, const Array<const double>& table, const Grid& grid, int active, const Array<double>& out,
                    int threads) {
    scalar_encode(grid, active, x.data(), table.data(), out.data(), int64_t(x.shape(0)), threads);
}

void backward_double(const Array<const double>& x, const Array<const double>& table, const Grid& grid, int active,
                     const Array<const double>& dout, const MaybeArray<double>& dx, const MaybeArray<double>& dtable, int threads) {
    scalar_encode_backward(grid, active, x.data(), table.data(), dout.data(), data_or_null(dx), data_or_null(dtable), int64_t(x.shape(0)),
                           threads);
}

template <class T>
void double_backward_scalar(const Array<const T>& x, const Array<const T>& table, const Grid& grid, int active, const Array<const T>& dout,
                            const Array<const T>& v, const Array<T>& ddout, const MaybeArray<T>& dx, const Array<T>& dtable, int threads) {
    scalar_encode_double_backward(grid, active, x.data(), table.data(), dout.data(), v.data(), ddout.data(), data_or_null(dx),
                                  dtable.data(), int64_t(x.shape(0)), threads);
}

// In tiles, but for the adjoint of the points: only training losses on a gradient are in a hurry, and their points are fixed.
void double_backward(const Array<const float>& x, const Array<const float>& table, const Grid& grid, int active,
                     const Array<const float>& dout, const Array<const float>& v, const Array<float>& ddout, const MaybeArray<float>& dx,
                     const Array<float>& dtable, int threads) {
    if (data_or_null(dx)) return double_backward_scalar<float>(x, table, grid, active, dout, v, ddout, dx, dtable, threads);
    const int64_t n = int64_t(x.shape(0)), tiles = largest_group(n);
    const float *points = x.data(), *directions = v.data(), *entries = table.data(), *dy_rows = dout.data();
    float *to_dout = ddout.data(), *to_entries = dtable.data();
    const int rows = grid.features * int(grid.levels.size());
    nb::gil_scoped_release release;
    GroupEncoder encoder(grid, active, 0, rows, threads, tiles, true);
    Floats y(tiles * rows * TILE), ydot(tiles * rows * TILE);
    for (const Group& group : groups_of(n)) {
        encoder.read(points, directions, group, n);
        encoder.encode(entries, y, ydot, group.tiles);
        parallel_tiles(threads, group.tiles, [&](int64_t begin, int64_t end) {
            field_simd().tiles_to_rows(ydot, rows, rows, group.first, n, to_dout, begin, end);
            field_simd().rows_to_tiles(dy_rows, rows, group.first, n, 0.f, ydot, rows, begin, end);
        });
        encoder.to_table(nullptr, ydot, to_entries, group.tiles);
    }
}

const Bindings bindings([](nb::module_& m) {
    both(
        m, "hash_encode_forward", forward, forward_double, "x"_a, "table"_a, "grid"_a, "active_levels"_a, "out"_a, "threads"_a,
        "kernels/native/cpu/hash_encode.cpp"
    );
    both(
        m, "hash_encode_backward", backward, backward_double, "x"_a, "table"_a, "grid"_a, "active_levels"_a, "grad_out"_a,
        "grad_x"_a.none(), "grad_table"_a.none(), "threads"_a, "kernels/native/cpu/hash_encode.cpp"
    );
    both(
        m, "hash_encode_double_backward", double_backward, double_backward_scalar<double>, "x"_a, "table"_a, "grid"_a, "active_levels"_a,
        "grad_out"_a, "v"_a, "grad_grad_out"_a, "grad_x"_a.none(), "grad_table"_a, "threads"_a, "kernels/native/cpu/hash_encode.cpp"
    );
});

}  // namespace
}  // namespace formfield
