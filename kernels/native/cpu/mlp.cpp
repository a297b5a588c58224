// field_mlp: float32 in SIMD tiles, float64 through the shared bodies.
#include <nanobind/nanobind.h>

#include "cpu/arrays.h"
#include "cpu/bindings.h"
#include "cpu/groups.h"
#include "cpu/scalar_field.h"

namespace formfield {
namespace {

// gradient: that of output 0 to x, or null
void forward(const Array<const float>& x, const Array<const float>& params, const Network& net, const Array<float>& out,
             const MaybeArray<float>& gradient, int threads) {
    const int64_t n = int64_t(x.shape(0)), tiles = largest_group(n);
    const float* rows = x.data();
    float *result = out.data(), *slope = data_or_null(gradient);
    const int inputs = net.widths[0];
    GroupNetwork network(net, params.data(), threads, tiles, false);
    nb::gil_scoped_release release;
    Floats input(slope ? tiles * inputs * TILE : 0);
    for (const Group& group : groups_of(n)) {
        if (slope)
            parallel_tiles(threads, group.tiles, [&](int64_t begin, int64_t end) {
                field_simd().rows_to_tiles(rows, inputs, group.first, n, 0.f, input, inputs, begin, end);
            });
        network.forward(input, slope ? nullptr : rows, result, slope ? static_cast<float*>(input) : nullptr, group, n);
        if (slope)
            parallel_tiles(threads, group.tiles, [&](int64_t begin, int64_t end) {
                field_simd().tiles_to_rows(input, inputs, inputs, group.first, n, slope, begin, end);
            });
    }
}

// v: adjoint of the gradient of output 0 to x, or null
void backward(const Array<const float>& x, const Array<const float>& params, const Network& net, const Array<const float>& dout,
              const MaybeArray<const float>& v, const MaybeArray<float>& dx, const MaybeArray<float>& dparams, int threads) {
    const int64_t n = int64_t(x.shape(0)), tiles = largest_group(n);
    const float *rows = x.data(), *dy = dout.data(), *directions = data_or_null(v);
    float *to_x = data_or_null(dx), *to_params = data_or_null(dparams);
    const int inputs = net.widths[0];
    GroupNetwork network(net, params.data(), threads, tiles, to_params != nullptr);
    nb::gil_scoped_release release;
    Floats input(directions ? tiles * inputs * TILE : 0), along(directions ? tiles * inputs * TILE : 0);
    for (const Group& group : groups_of(n)) {
        if (!directions) {
            network.backward(nullptr, nullptr, rows, to_x, dy, group, n);
            continue;
        }
        parallel_tiles(threads, group.tiles, [&](int64_t begin, int64_t end) {
            field_simd().rows_to_tiles(rows, inputs, group.first, n, 0.f, input, inputs, begin, end);
            field_simd().rows_to_tiles(directions, inputs, group.first, n, 0.f, along, inputs, begin, end);
        });
        network.backward(input, along, nullptr, nullptr, dy, group, n);  // input now holds its adjoint
        if (to_x)
            parallel_tiles(threads, group.tiles, [&](int64_t begin, int64_t end) {
                field_simd().tiles_to_rows(input, inputs, inputs, group.first, n, to_x, begin, end);
            });
    }
    if (to_params) network.add_gradients(to_params);
}

void forward_double(const Array<const double>& x, const Array<const double>& params, const Network& net, const Array<double>& out,
                    const MaybeArray<double>& gradient, int) {
    ScalarMlp<double>{net, x.data(), params.data(), out.data(), data_or_null(gradient), nullptr, nullptr, nullptr, nullptr}.run(
        int64_t(x.shape(0)));
}

void backward_double(const Array<const double>& x, const Array<const double>& params, const Network& net, const Array<const double>& dout,
                     const MaybeArray<const double>& v, const MaybeArray<double>& dx, const MaybeArray<double>& dparams, int) {
    ScalarMlp<double>{net,         x.data(),         params.data(),    nullptr,              nullptr,
                      dout.data(), data_or_null(v), data_or_null(dx), data_or_null(dparams)}
        .run(int64_t(x.shape(0)));
}

const Bindings bindings([](nb::module_& m) {
    both(
        m, "field_mlp_forward", forward, forward_double, "x"_a, "params"_a, "mlp"_a, "out"_a, "gradient"_a.none(), "threads"_a,
        "kernels/native/cpu/mlp.cpp"
    );
    both(
        m, "field_mlp_backward", backward, backward_double, "x"_a, "params"_a, "mlp"_a, "grad_out"_a, "grad_gradient"_a.none(),
        "grad_x"_a.none(), "grad_params"_a.none(), "threads"_a, "kernels/native/cpu/mlp.cpp"
    );
});

}  // namespace
}  // namespace formfield
