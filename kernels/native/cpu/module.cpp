// The extension module. What is in it, the .cpp of each op says: cpu/bindings.h.
#include <nanobind/nanobind.h>

#include "cpu/bindings.h"
#include "cpu/isa.h"

namespace nb = nanobind;

NB_MODULE(_native, m) {
    nb::set_leak_warnings(false);  // specifications are cached for the life of the process
    m.doc() = "Native CPU kernels; called through kernels.backends.cpu. float32 and float64; tensors contiguous, on the CPU.";
    m.def("isa", [] { return formfield::isa_name(); }, "Instruction set that the SIMD kernels use on this machine.");
    for (const formfield::Define define : formfield::definitions()) define(m);
}
