// fused_field: encoding and network group by group; float64 through the shared bodies.
#include <nanobind/nanobind.h>

#include "cpu/arrays.h"
#include "cpu/bindings.h"
#include "cpu/groups.h"
#include "cpu/scalar_field.h"

namespace formfield {
namespace {

void forward(const Array<const float>& x, const Array<const float>& table, const Array<const float>& params, const Grid& grid,
             const Network& net, bool include_input, int active, const Array<float>& out, const MaybeArray<float>& gradient, int threads) {
    const int64_t n = int64_t(x.shape(0)), tiles = largest_group(n);
    const float *points = x.data(), *entries = table.data();
    float *result = out.data(), *slope = data_or_null(gradient);
    const int rows = net.widths[0];
    nb::gil_scoped_release release;
    GroupEncoder encoder(grid, active, include_input ? grid.dims : 0, rows, threads, tiles, false);
    GroupNetwork network(net, params.data(), threads, tiles, false);
    Floats y(tiles * rows * TILE), buffer(slope ? tiles * grid.dims * TILE : 0);
    for (const Group& group : groups_of(n)) {
        encoder.read(points, nullptr, group, n);
        encoder.encode(entries, y, nullptr, group.tiles);
        network.forward(y, nullptr, result, slope != nullptr, group, n);
        if (slope) encoder.to_point(entries, y, buffer, slope, group, n);
    }
}

void backward(const Array<const float>& x, const Array<const float>& table, const Array<const float>& params, const Grid& grid,
              const Network& net, bool include_input, int active, const Array<const float>& dout, const MaybeArray<const float>& v,
              const MaybeArray<float>& dx, const Array<float>& dtable, const Array<float>& dparams, int threads) {
    const int64_t n = int64_t(x.shape(0)), tiles = largest_group(n);
    const float *points = x.data(), *entries = table.data(), *dy = dout.data(), *directions = data_or_null(v);
    float *to_points = data_or_null(dx), *to_entries = dtable.data(), *to_params = dparams.data();
    const int rows = net.widths[0];
    nb::gil_scoped_release release;
    GroupEncoder encoder(grid, active, include_input ? grid.dims : 0, rows, threads, tiles, directions != nullptr);
    GroupNetwork network(net, params.data(), threads, tiles, true);
    Floats y(tiles * rows * TILE), ydot(directions ? tiles * rows * TILE : 0), buffer(to_points ? tiles * grid.dims * TILE : 0);
    for (const Group& group : groups_of(n)) {
        encoder.read(points, directions, group, n);
        encoder.encode(entries, y, ydot, group.tiles);
        network.backward(y, ydot, nullptr, nullptr, dy, group, n);  // y and ydot now hold their adjoints
        encoder.to_table(y, ydot, to_entries, group.tiles);
        if (to_points) encoder.to_point(entries, y, buffer, to_points, group, n);
    }
    network.add_gradients(to_params);
}

void forward_double(const Array<const double>& x, const Array<const double>& table, const Array<const double>& params, const Grid& grid,
                    const Network& net, bool include_input, int active, const Array<double>& out, const MaybeArray<double>& gradient,
                    int) {
    ScalarField<double>{grid,    net,     include_input, active,  x.data(), table.data(), params.data(), out.data(), data_or_null(gradient),
                        nullptr, nullptr, nullptr,       nullptr, nullptr}
        .run(int64_t(x.shape(0)));
}

void backward_double(const Array<const double>& x, const Array<const double>& table, const Array<const double>& params, const Grid& grid,
                     const Network& net, bool include_input, int active, const Array<const double>& dout,
                     const MaybeArray<const double>& v, const MaybeArray<double>& dx, const Array<double>& dtable,
                     const Array<double>& dparams, int) {
    ScalarField<double>{grid,    net,         include_input,   active,           x.data(),      table.data(), params.data(), nullptr,
                        nullptr, dout.data(), data_or_null(v), data_or_null(dx), dtable.data(), dparams.data()}
        .run(int64_t(x.shape(0)));
}

const Bindings bindings([](nb::module_& m) {
    both(
        m, "fused_field_forward", forward, forward_double, "x"_a, "table"_a, "params"_a, "grid"_a, "mlp"_a, "include_input"_a,
        "active_levels"_a, "out"_a, "gradient"_a.none(), "threads"_a, "kernels/native/cpu/field.cpp"
    );
    both(
        m, "fused_field_backward", backward, backward_double, "x"_a, "table"_a, "params"_a, "grid"_a, "mlp"_a, "include_input"_a,
        "active_levels"_a, "grad_out"_a, "grad_gradient"_a.none(), "grad_x"_a.none(), "grad_table"_a, "grad_params"_a, "threads"_a,
        "kernels/native/cpu/field.cpp"
    );
});

}  // namespace
}  // namespace formfield
