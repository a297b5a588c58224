// The extension module. Each register_<op> lives in the .cpp of its op.
#include <nanobind/nanobind.h>

#include "cpu/isa.h"

namespace nb = nanobind;

NB_MODULE(_native, m) {
    m.doc() = "Native CPU kernels; called through kernels.ops, which checks the arguments.";
    m.def("isa", [] { return formfield::isa_name(); }, "Instruction set that the SIMD kernels use on this machine.");
}
