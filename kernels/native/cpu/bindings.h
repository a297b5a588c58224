// How the .cpp of an op puts its functions into the extension module: no list of them anywhere.
#pragma once
#include <nanobind/nanobind.h>

#include <vector>

namespace formfield {

namespace nb = nanobind;
using namespace nanobind::literals;

using Define = void (*)(nb::module_&);

inline std::vector<Define>& definitions() {
    static std::vector<Define> all;
    return all;
}

// const Bindings bindings([](nb::module_& m) { m.def(...); });
struct Bindings {
    explicit Bindings(Define define) { definitions().push_back(define); }
};

// One name for the functions of float32 and of float64, with the names of their arguments and where they are.
template <class Single, class Double, class... Rest>
void both(nb::module_& m, const char* name, Single single, Double twice, const Rest&... rest) {
    m.def(name, single, rest...);
    m.def(name, twice, rest...);
}

}  // namespace formfield
