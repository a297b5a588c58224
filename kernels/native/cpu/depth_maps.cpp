// refit_normals and filter_depth: every pixel for itself.
#include "bodies/depth_maps.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/vector.h>

#include <vector>

#include "cpu/arrays.h"
#include "cpu/bindings.h"
#include "cpu/parallel.h"

namespace formfield {
namespace {

constexpr int64_t ROWS = 8;

void refit(Array<const float> depth, std::vector<double> camera, int radius, double jump, Array<float> normal, int threads) {
    const int height = int(depth.shape(0)), width = int(depth.shape(1));
    const float* z = depth.data();
    float* out = normal.data();
    nb::gil_scoped_release release;
    parallel_ranges(threads, height, ROWS, [&](int64_t begin, int64_t end) {
        for (int y = int(begin); y < int(end); ++y)
            for (int x = 0; x < width; ++x)
                refit_normal(z, width, height, camera.data(), radius, float(jump), x, y, out + (int64_t(y) * width + x) * 3);
    });
}

// geometry [views][15]: OtherView::pixel and center.
void filter(Array<const float> depth, std::vector<double> camera, std::vector<Array<const float>> others, Array<const double> geometry,
            int earlier, double pixels, double relative, Array<float> mean, Array<float> angle, Array<uint8_t> count, Array<uint8_t> before,
            int threads) {
    const int height = int(depth.shape(0)), width = int(depth.shape(1));
    std::vector<OtherView<double>> views(others.size());
    for (size_t i = 0; i < others.size(); ++i) {
        OtherView<double>& s = views[i];
        s.depth = others[i].data();
        s.height = int32_t(others[i].shape(0)), s.width = int32_t(others[i].shape(1));
        const double* g = geometry.data() + 15 * i;
        for (int k = 0; k < 12; ++k) s.pixel[k] = g[k];
        for (int k = 0; k < 3; ++k) s.center[k] = g[12 + k];
    }
    const float* z = depth.data();
    float *mean_out = mean.data(), *angle_out = angle.data();
    uint8_t *count_out = count.data(), *before_out = before.data();
    nb::gil_scoped_release release;
    parallel_ranges(threads, height, ROWS, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin * width; i < end * width; ++i) {
            const double rx = (double(i % width) + 0.5 - camera[2]) / camera[0], ry = (double(i / width) + 0.5 - camera[3]) / camera[1];
            const Agreement found =
                depth_agreement(z[i], rx, ry, camera.data(), views.data(), int(views.size()), earlier, pixels, relative);
            mean_out[i] = found.depth, angle_out[i] = found.angle, count_out[i] = found.count, before_out[i] = found.before;
        }
    });
}

const Bindings bindings([](nb::module_& m) {
    m.def(
        "refit_normals", &refit, "depth"_a, "camera"_a, "radius"_a, "jump"_a, "normal"_a, "threads"_a, "kernels/native/cpu/depth_maps.cpp"
    );
    m.def(
        "filter_depth", &filter, "depth"_a, "camera"_a, "others"_a, "geometry"_a, "earlier"_a, "pixels"_a, "relative"_a, "mean"_a,
        "angle"_a, "count"_a, "before"_a, "threads"_a, "kernels/native/cpu/depth_maps.cpp"
    );
});

}  // namespace
}  // namespace formfield
