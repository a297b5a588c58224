#include "cpu/specs.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/vector.h>

#include <new>
#include <stdexcept>

#include "cpu/bindings.h"
#include "cpu/isa.h"
#include "cpu/simd_api.h"

namespace formfield {

const FieldSimd& field_simd() {
    switch (isa()) {
#if defined(FORMFIELD_HAVE_avx512)
        case Isa::avx512: return isa_avx512::field_simd;
#endif
#if defined(FORMFIELD_HAVE_avx2)
        case Isa::avx2: return isa_avx2::field_simd;
#endif
        default: return isa_baseline::field_simd;
    }
}

namespace {

const Bindings bindings([](nb::module_& m) {
    nb::class_<Grid>(m, "Grid", "Geometry of a hash grid, from kernels.HashGridSpec.")
        .def(
            "__init__",
            [](Grid* self, int dims, int features, bool smoothstep, const std::vector<float>& scales,
               const std::vector<uint32_t>& resolutions, const std::vector<uint32_t>& offsets, const std::vector<bool>& hashed) {
                const size_t levels = scales.size();
                if (resolutions.size() != levels || offsets.size() != levels + 1 || hashed.size() != levels)
                    throw std::invalid_argument("the lists of a grid's levels differ in length");
                new (self) Grid{dims, features, smoothstep, {}};
                for (size_t l = 0; l < levels; ++l)
                    self->levels.push_back({scales[l], resolutions[l], offsets[l + 1] - offsets[l], offsets[l], uint32_t(hashed[l])});
            },
            "dims"_a, "features"_a, "smoothstep"_a, "scales"_a, "resolutions"_a, "offsets"_a, "hashed"_a
        );
    nb::class_<Network>(m, "MLP", "Layout of a network, from kernels.MLPSpec.")
        .def(
            "__init__",
            [](Network* self, const std::vector<int>& widths, int activation, int output_activation, bool bias, float beta) {
                if (widths.size() < 2 || widths.size() > MAX_LAYERS + 1) throw std::invalid_argument("a network has 1 to 9 affine maps");
                new (self) Network{};
                self->layers = int(widths.size()) - 1;
                for (size_t i = 0; i < widths.size(); ++i) self->widths[i] = widths[i];
                self->activation = activation, self->output_activation = output_activation, self->bias = bias, self->beta = beta;
            },
            "widths"_a, "activation"_a, "output_activation"_a, "bias"_a, "beta"_a
        );
});

}  // namespace
}  // namespace formfield
