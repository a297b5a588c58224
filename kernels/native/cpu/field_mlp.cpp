// field_mlp: float32 in SIMD tiles, float64 through the shared bodies.
#include <nanobind/nanobind.h>

#include "cpu/arrays.h"
#include "cpu/groups.h"
#include "cpu/scalar_field.h"

namespace formfield {
namespace {

void forward(const Array<const float>& x, const Array<const float>& params, const Network& net, const Array<float>& out, int threads) {
    const int64_t n = int64_t(x.shape(0));
    const float* rows = x.data();
    float* result = out.data();
    GroupNetwork network(net, params.data(), threads, largest_group(n), false);
    nb::gil_scoped_release release;
    for (const Group& group : groups_of(n)) network.forward(nullptr, rows, result, false, group, n);
}

void backward(const Array<const float>& x, const Array<const float>& params, const Network& net, const Array<const float>& dout,
              const MaybeArray<float>& dx, const MaybeArray<float>& dparams, int threads) {
    const int64_t n = int64_t(x.shape(0));
    const float *rows = x.data(), *dy = dout.data();
    float *to_x = data_or_null(dx), *to_params = data_or_null(dparams);
    GroupNetwork network(net, params.data(), threads, largest_group(n), to_params != nullptr);
    nb::gil_scoped_release release;
    for (const Group& group : groups_of(n)) network.backward(nullptr, nullptr, rows, to_x, dy, group, n);
    if (to_params) network.add_gradients(to_params);
}

void forward_double(const Array<const double>& x, const Array<const double>& params, const Network& net, const Array<double>& out, int) {
    scalar_mlp<double>(net, x.data(), params.data(), out.data(), nullptr, nullptr, nullptr, int64_t(x.shape(0)));
}

void backward_double(const Array<const double>& x, const Array<const double>& params, const Network& net, const Array<const double>& dout,
                     const MaybeArray<double>& dx, const MaybeArray<double>& dparams, int) {
    scalar_mlp<double>(net, x.data(), params.data(), nullptr, dout.data(), data_or_null(dx), data_or_null(dparams), int64_t(x.shape(0)));
}

}  // namespace

void register_field_mlp(nb::module_& m) {
    m.def("field_mlp_forward", forward);
    m.def("field_mlp_forward", forward_double);
    m.def("field_mlp_backward", backward, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(), nb::arg().none(), nb::arg());
    m.def("field_mlp_backward", backward_double, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(), nb::arg().none(),
          nb::arg());
}

}  // namespace formfield
