// composite, composite_alpha, distortion_loss: one thread per ray. CHANNELS: their number, 0 if it is only known at run time.
#include "cuda/thread.h"

#include "bodies/composite.h"

namespace formfield {

KERNEL composite_forward(int64_t rays, const REAL* density, const REAL* dt, const REAL* channels, int64_t count, const int64_t* offsets,
                         double early_stop, REAL* values, REAL* opacity, REAL* weights, REAL* after) {
    const int64_t r = thread_x();
    if (r >= rays) return;
    const int64_t first = offsets[r], n = offsets[r + 1] - first;
    const RayOutputs<REAL> out = {values + r * count, opacity + r, weights + first, after + first};
    composite_ray<CHANNELS>(n, density + first, dt + first, channels + first * count, int(count), REAL(early_stop), out);
}

KERNEL composite_backward(int64_t rays, const REAL* density, const REAL* dt, const REAL* channels, int64_t count, const int64_t* offsets,
                          const REAL* weights, const REAL* after, const REAL* grad_values, const REAL* grad_opacity,
                          const REAL* grad_weights, REAL* grad_density, REAL* grad_dt, REAL* grad_channels) {
    const int64_t r = thread_x();
    if (r >= rays) return;
    const int64_t first = offsets[r], n = offsets[r + 1] - first;
    const RayGradients<REAL> g = {grad_values + r * count, grad_opacity + r, grad_weights + first};
    composite_ray_backward<CHANNELS>(n, density + first, dt + first, channels + first * count, int(count), weights + first, after + first,
                                     g, grad_density + first, grad_dt + first, grad_channels + first * count);
}

KERNEL composite_alpha_forward(int64_t rays, const REAL* alpha, const REAL* channels, int64_t count, const int64_t* offsets,
                               double early_stop, REAL* values, REAL* opacity, REAL* weights, REAL* before) {
    const int64_t r = thread_x();
    if (r >= rays) return;
    const int64_t first = offsets[r], n = offsets[r + 1] - first;
    const RayOutputs<REAL> out = {values + r * count, opacity + r, weights + first, before + first};
    composite_alpha_ray<CHANNELS>(n, alpha + first, channels + first * count, int(count), REAL(early_stop), out);
}

KERNEL composite_alpha_backward(int64_t rays, const REAL* alpha, const REAL* channels, int64_t count, const int64_t* offsets,
                                double early_stop, const REAL* weights, const REAL* before, const REAL* grad_values,
                                const REAL* grad_opacity, const REAL* grad_weights, REAL* grad_alpha, REAL* grad_channels) {
    const int64_t r = thread_x();
    if (r >= rays) return;
    const int64_t first = offsets[r], n = offsets[r + 1] - first;
    const RayGradients<REAL> g = {grad_values + r * count, grad_opacity + r, grad_weights + first};
    composite_alpha_ray_backward<CHANNELS>(n, alpha + first, channels + first * count, int(count), REAL(early_stop), weights + first,
                                           before + first, g, grad_alpha + first, grad_channels + first * count);
}

KERNEL distortion_forward(int64_t rays, const REAL* weights, const REAL* t, const REAL* dt, const int64_t* offsets, REAL* loss) {
    const int64_t r = thread_x();
    if (r >= rays) return;
    const int64_t first = offsets[r];
    loss[r] = distortion_ray(offsets[r + 1] - first, weights + first, t + first, dt + first);
}

KERNEL distortion_backward(int64_t rays, const REAL* weights, const REAL* t, const REAL* dt, const int64_t* offsets, const REAL* grad,
                           REAL* grad_weights) {
    const int64_t r = thread_x();
    if (r >= rays) return;
    const int64_t first = offsets[r];
    distortion_ray_backward(offsets[r + 1] - first, weights + first, t + first, dt + first, grad[r], grad_weights + first);
}

}  // namespace formfield
