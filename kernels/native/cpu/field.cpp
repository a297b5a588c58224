// fused_field: encoding and network group by group; float64 through the shared bodies.
#include <nanobind/nanobind.h>

#include <stdexcept>

#include "cpu/arrays.h"
#include "cpu/bindings.h"
#include "cpu/groups.h"
#include "cpu/scalar_field.h"

namespace formfield {
namespace {

// What a forward pass keeps for its backward pass, in tiles: the encoding and, for order 1, its derivatives.
struct Tape {
    float *y = nullptr, *jacobian = nullptr;
    int64_t y_stride, jacobian_stride;  // of a tile

    Tape(float* memory, int64_t size, int64_t n, int rows, int jacobian_rows) : y_stride(rows * TILE), jacobian_stride(jacobian_rows * TILE) {
        const int64_t tiles = (n + TILE - 1) / TILE;
        if (!memory) return;
        if (size != tiles * y_stride && size != tiles * (y_stride + jacobian_stride))
            throw std::invalid_argument("the tape has the wrong size");
        y = memory;
        if (size != tiles * y_stride) jacobian = memory + tiles * y_stride;
    }
    explicit operator bool() const { return y != nullptr; }
    float* y_of(const Group& group) const { return y + group.first / TILE * y_stride; }
    float* jacobian_of(const Group& group) const { return jacobian ? jacobian + group.first / TILE * jacobian_stride : nullptr; }
};

Tape tape_of(const MaybeArray<float>& memory, int64_t n, const Grid& grid, const Network& net) {
    const int jacobian_rows = int(grid.levels.size()) * grid.features * grid.dims;
    return Tape(data_or_null(memory), memory ? int64_t(memory->size()) : 0, n, net.widths[0], jacobian_rows);
}

void forward(const Array<const float>& x, const Array<const float>& table, const Array<const float>& params, const Grid& grid,
             const Network& net, bool include_input, int active, const Array<float>& out, const MaybeArray<float>& gradient,
             const MaybeArray<float>& kept, int threads) {
    const int64_t n = int64_t(x.shape(0)), tiles = largest_group(n);
    const float *points = x.data(), *entries = table.data();
    float *result = out.data(), *slope = data_or_null(gradient);
    const int rows = net.widths[0];
    const Tape tape = tape_of(kept, n, grid, net);
    nb::gil_scoped_release release;
    GroupEncoder encoder(grid, active, include_input ? grid.dims : 0, rows, threads, tiles, false);
    GroupNetwork network(net, params.data(), threads, tiles, false);
    Floats buffer(tiles * rows * TILE), dx(slope ? tiles * grid.dims * TILE : 0);
    Floats derivatives(slope && !tape.jacobian ? tiles * encoder.jacobian_rows() * TILE : 0);  // without a tape, of one group at a time
    for (const Group& group : groups_of(n)) {
        float* y = tape ? tape.y_of(group) : static_cast<float*>(buffer);
        encoder.read(points, nullptr, group, n);
        float* jacobian = tape.jacobian ? tape.jacobian_of(group) : static_cast<float*>(derivatives);
        encoder.encode(entries, y, nullptr, jacobian, group.tiles);
        network.forward(y, nullptr, result, slope ? static_cast<float*>(buffer) : nullptr, group, n);
        if (slope) encoder.to_point_by(jacobian, buffer, dx, slope, group, n);
    }
}

void backward(const Array<const float>& x, const Array<const float>& table, const Array<const float>& params, const Grid& grid,
              const Network& net, bool include_input, int active, const Array<const float>& dout, const MaybeArray<const float>& v,
              const MaybeArray<float>& kept, const MaybeArray<float>& dx, const Array<float>& dtable, const Array<float>& dparams,
              int threads) {
    const int64_t n = int64_t(x.shape(0)), tiles = largest_group(n);
    const float *points = x.data(), *entries = table.data(), *dy = dout.data(), *directions = data_or_null(v);
    float *to_points = data_or_null(dx), *to_entries = dtable.data(), *to_params = dparams.data();
    const int rows = net.widths[0];
    const Tape tape = tape_of(kept, n, grid, net);
    if (directions && tape && !tape.jacobian) throw std::invalid_argument("the tape is of order 0");
    nb::gil_scoped_release release;
    GroupEncoder encoder(grid, active, include_input ? grid.dims : 0, rows, threads, tiles, directions != nullptr);
    GroupNetwork network(net, params.data(), threads, tiles, true);
    Floats y(tiles * rows * TILE), ydot(directions ? tiles * rows * TILE : 0), buffer(to_points ? tiles * grid.dims * TILE : 0);
    for (const Group& group : groups_of(n)) {
        encoder.read(points, directions, group, n);
        if (tape) {  // a copy: the network turns it into its adjoint, and there may be another backward pass
            const float* from = tape.y_of(group);
            parallel_tiles(threads, group.tiles, [&](int64_t begin, int64_t end) {
                std::copy(from + begin * tape.y_stride, from + end * tape.y_stride, y + begin * tape.y_stride);
            });
            if (directions) encoder.along_by(tape.jacobian_of(group), ydot, group.tiles);
        } else {
            encoder.encode(entries, y, ydot, group.tiles);
        }
        network.backward(y, ydot, nullptr, nullptr, dy, group, n);  // y and ydot now hold their adjoints
        encoder.to_table(y, ydot, to_entries, group.tiles);
        if (to_points) encoder.to_point(entries, y, buffer, to_points, group, n);
    }
    network.add_gradients(to_params);
}

void forward_double(const Array<const double>& x, const Array<const double>& table, const Array<const double>& params, const Grid& grid,
                    const Network& net, bool include_input, int active, const Array<double>& out, const MaybeArray<double>& gradient,
                    const MaybeArray<double>&, int) {
    ScalarField<double>{grid,    net,     include_input, active,  x.data(), table.data(), params.data(), out.data(), data_or_null(gradient),
                        nullptr, nullptr, nullptr,       nullptr, nullptr}
        .run(int64_t(x.shape(0)));
}

void backward_double(const Array<const double>& x, const Array<const double>& table, const Array<const double>& params, const Grid& grid,
                     const Network& net, bool include_input, int active, const Array<const double>& dout,
                     const MaybeArray<const double>& v, const MaybeArray<double>&, const MaybeArray<double>& dx, const Array<double>& dtable,
                     const Array<double>& dparams, int) {
    ScalarField<double>{grid,    net,         include_input,   active,           x.data(),      table.data(), params.data(), nullptr,
                        nullptr, dout.data(), data_or_null(v), data_or_null(dx), dtable.data(), dparams.data()}
        .run(int64_t(x.shape(0)));
}

const Bindings bindings([](nb::module_& m) {
    both(
        m, "fused_field_forward", forward, forward_double, "x"_a, "table"_a, "params"_a, "grid"_a, "mlp"_a, "include_input"_a,
        "active_levels"_a, "out"_a, "gradient"_a.none(), "tape"_a.none(), "threads"_a, "kernels/native/cpu/field.cpp"
    );
    both(
        m, "fused_field_backward", backward, backward_double, "x"_a, "table"_a, "params"_a, "grid"_a, "mlp"_a, "include_input"_a,
        "active_levels"_a, "grad_out"_a, "grad_gradient"_a.none(), "tape"_a.none(), "grad_x"_a.none(), "grad_table"_a, "grad_params"_a, "threads"_a,
        "kernels/native/cpu/field.cpp"
    );
});

}  // namespace
}  // namespace formfield
