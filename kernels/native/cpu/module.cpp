// The extension module. Each register_<op> lives in the .cpp of its op.
#include <nanobind/nanobind.h>

#include "cpu/isa.h"

namespace nb = nanobind;

namespace formfield {
void register_composite(nb::module_& m);
void register_knn(nb::module_& m);
void register_laplace(nb::module_& m);
void register_march(nb::module_& m);
void register_occupancy(nb::module_& m);
void register_rbf(nb::module_& m);
void register_rbf_layer(nb::module_& m);
void register_sampling(nb::module_& m);
void register_adam(nb::module_& m);
void register_field_mlp(nb::module_& m);
void register_fused_field(nb::module_& m);
void register_hash_encode(nb::module_& m);
void register_specs(nb::module_& m);
}  // namespace formfield

NB_MODULE(_native, m) {
    nb::set_leak_warnings(false);  // specifications are cached for the life of the process
    m.doc() = "Native CPU kernels; called through kernels.ops, which checks the arguments.";
    m.def("isa", [] { return formfield::isa_name(); }, "Instruction set that the SIMD kernels use on this machine.");
    formfield::register_composite(m);
    formfield::register_knn(m);
    formfield::register_laplace(m);
    formfield::register_march(m);
    formfield::register_occupancy(m);
    formfield::register_rbf(m);
    formfield::register_rbf_layer(m);
    formfield::register_sampling(m);
    formfield::register_adam(m);
    formfield::register_field_mlp(m);
    formfield::register_fused_field(m);
    formfield::register_hash_encode(m);
    formfield::register_specs(m);
}
