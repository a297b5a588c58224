// rbf_layer: one thread per sample, compiled for FEATURES and OUTPUTS. Sums into parameters are made warp by warp, so every thread of a
// warp takes part in the backward kernel: those beyond the last sample repeat it with adjoints of 0.
#include "cuda/thread.h"

#include "bodies/rbf_layer.h"

namespace formfield {

// With a direction v the change of the outputs along it.
KERNEL layer_forward_rows(int64_t n, const REAL* x, const REAL* v, const REAL* centers, const REAL* betas, const REAL* weight,
                          const REAL* bias, int64_t neurons, REAL* out) {
    const int64_t i = thread_x();
    if (i >= n) return;
    REAL point[FEATURES], y[OUTPUTS];
    for (int j = 0; j < FEATURES; ++j) point[j] = x[i * FEATURES + j];
    const RbfLayer<REAL> layer = {int(neurons), centers, betas, weight, bias};
    rbf_layer_forward<FEATURES, OUTPUTS>(layer, point, v ? v + i * FEATURES : nullptr, y);
    for (int o = 0; o < OUTPUTS; ++o) out[i * OUTPUTS + o] = y[o];
}

// dx and sums may be null; sums are added to.
KERNEL layer_backward_rows(int64_t n, const REAL* x, const REAL* v, const REAL* centers, const REAL* betas, const REAL* weight,
                           int64_t neurons, const REAL* dout, REAL* dx, REAL* sums) {
    const int64_t thread = thread_x(), i = thread < n ? thread : n - 1;
    REAL point[FEATURES], dy[OUTPUTS], to_point[FEATURES];
    for (int j = 0; j < FEATURES; ++j) point[j] = x[i * FEATURES + j];
    for (int o = 0; o < OUTPUTS; ++o) dy[o] = thread < n ? dout[i * OUTPUTS + o] : REAL(0);
    const RbfLayer<REAL> layer = {int(neurons), centers, betas, weight, nullptr};
    rbf_layer_backward<FEATURES, OUTPUTS>(layer, point, v ? v + i * FEATURES : nullptr, dy, to_point, sums, WarpAdd());
    if (dx && thread < n)
        for (int j = 0; j < FEATURES; ++j) dx[i * FEATURES + j] = to_point[j];
}

}  // namespace formfield
