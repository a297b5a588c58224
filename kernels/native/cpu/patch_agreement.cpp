// patch_agreement: every patch for itself.
#include "bodies/patch_agreement.h"

#include <nanobind/nanobind.h>

#include "cpu/arrays.h"
#include "cpu/bindings.h"
#include "cpu/parallel.h"

namespace formfield {
namespace {

constexpr int64_t PATCHES = 16;

template <class T>
void agreement(Array<const uint8_t> pixels, Array<const int64_t> starts, Array<const int64_t> widths, Array<const int64_t> others,
               Array<const T> warps, Array<const int64_t> view, Array<const T> middle, Array<const T> planes, int reach, double noise,
               Array<T> costs, Array<T> slopes, Array<T> texture, int threads) {
    const Pictures pictures{pixels.data(), starts.data(), widths.data()};
    const int64_t count = int64_t(view.shape(0)), sources = int64_t(others.shape(1));
    const int64_t *views = view.data(), *other = others.data();
    const T *warp = warps.data(), *at = middle.data(), *plane = planes.data();
    T *cost = costs.data(), *slope = slopes.data(), *textured = texture.data();
    nb::gil_scoped_release release;
    parallel_ranges(threads, count, PATCHES, [&](int64_t begin, int64_t end) {
        AgreementPatch<T> patch;
        for (int64_t i = begin; i < end; ++i) {
            const bool there = agreement_patch(picture_of<T>(pictures, views[i]), at + 2 * i, reach, patch);
            textured[i] = there ? patch.variance / (patch.variance + T(noise)) : T(0);
            for (int64_t s = 0; s < sources; ++s) {
                const int64_t pair = views[i] * sources + s, to = i * sources + s;
                cost[to] = T(AGREEMENT_NONE);
                for (int k = 0; k < 3; ++k) slope[3 * to + k] = 0;
                if (there && other[pair] >= 0)
                    cost[to] = agreement_cost(
                        picture_of<T>(pictures, other[pair]), patch, window_map(at + 2 * i, warp + 12 * pair, plane + 3 * i), reach,
                        T(noise), slope + 3 * to
                    );
            }
        }
    });
}

const Bindings bindings([](nb::module_& m) {
    both(
        m, "patch_agreement", &agreement<float>, &agreement<double>, "pixels"_a, "starts"_a, "widths"_a, "others"_a, "warps"_a, "view"_a,
        "middle"_a, "planes"_a, "reach"_a, "noise"_a, "costs"_a, "slopes"_a, "texture"_a, "threads"_a,
        "kernels/native/cpu/patch_agreement.cpp"
    );
});

}  // namespace
}  // namespace formfield
