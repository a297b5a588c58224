// refit_normals and filter_depth: a thread per pixel, in single precision.
#include "cuda/thread.h"

#include "bodies/depth_maps.h"

namespace formfield {

static_assert(sizeof(OtherView<float>) == 80, "as backends/cuda/depth_maps.py packs it");

KERNEL refit_pixels(int64_t pixels, int64_t width, const float* depth, double fx, double fy, double cx, double cy, int64_t radius, double jump,
                  float* normal) {
    const int64_t i = thread_x();
    if (i >= pixels) return;
    const float camera[4] = {float(fx), float(fy), float(cx), float(cy)};
    const int x = int(uint32_t(i) % uint32_t(width)), y = int(uint32_t(i) / uint32_t(width));
    float found[3];
    refit_normal(depth, int(width), int(pixels / width), camera, int(radius), float(jump), x, y, found);
    for (int k = 0; k < 3; ++k) normal[3 * i + k] = found[k];
}

KERNEL filter_pixels(int64_t pixels, int64_t width, const float* depth, double fx, double fy, double cx, double cy, const OtherView<float>* others,
                   int64_t views, int64_t earlier, double most_pixels, double relative, float* mean, float* angle, uint8_t* count,
                   uint8_t* before) {
    const int64_t i = thread_x();
    if (i >= pixels) return;
    const float camera[4] = {float(fx), float(fy), float(cx), float(cy)};
    const float rx = (float(uint32_t(i) % uint32_t(width)) + 0.5f - camera[2]) / camera[0];
    const float ry = (float(uint32_t(i) / uint32_t(width)) + 0.5f - camera[3]) / camera[1];
    const Agreement found =
        depth_agreement(depth[i], rx, ry, camera, others, int(views), int(earlier), float(most_pixels), float(relative));
    mean[i] = found.depth, angle[i] = found.angle, count[i] = found.count, before[i] = found.before;
}

}  // namespace formfield
