// rbf_layer, compiled for FEATURES and OUTPUTS: one thread per sample, but for the gradients of parameters. Those are sums over samples, and
// a thread owns some of them: a block goes through samples TILE at a time, first all threads compute what NEURONS neurons have at these
// samples, then each adds to its own sums, in registers, until the block is through. Nothing is exchanged between lanes.
#include "cuda/lanes.h"

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

KERNEL layer_to_features(int64_t n, const REAL* x, const REAL* v, const REAL* centers, const REAL* betas, const REAL* weight,
                         int64_t neurons, const REAL* dout, REAL* dx) {
    const int64_t i = thread_x();
    if (i >= n) return;
    REAL point[FEATURES], dy[OUTPUTS], to_point[FEATURES];
    for (int j = 0; j < FEATURES; ++j) point[j] = x[i * FEATURES + j];
    for (int o = 0; o < OUTPUTS; ++o) dy[o] = dout[i * OUTPUTS + o];
    const RbfLayer<REAL> layer = {int(neurons), centers, betas, weight, nullptr};
    rbf_layer_backward<FEATURES, OUTPUTS>(layer, point, v ? v + i * FEATURES : nullptr, dy, to_point, static_cast<REAL*>(nullptr), SharedAdd());
    for (int j = 0; j < FEATURES; ++j) dx[i * FEATURES + j] = to_point[j];
}

constexpr int BLOCK = 128;
constexpr int PLACES = NEURONS * FEATURES, WEIGHTS = NEURONS * OUTPUTS;
constexpr int PLACES_EACH = (PLACES + BLOCK - 1) / BLOCK, WEIGHTS_EACH = (WEIGHTS + BLOCK - 1) / BLOCK;
constexpr int BIASES_EACH = (OUTPUTS + BLOCK - 1) / BLOCK;

// `sums` as in bodies/rbf_layer.h; added to. Blocks along y: NEURONS neurons each.
template <bool ALONG>
DEVICE void layer_sums(int64_t n, const REAL* x, const REAL* v, const REAL* centers, const REAL* betas, const REAL* weight, int64_t neurons,
                       const REAL* dout, REAL* sums) {
    SHARED REAL points[TILE][FEATURES], directions[ALONG ? TILE : 1][FEATURES], adjoints[TILE][OUTPUTS];
    // odd rows: what 16 neurons have at the same place lies in different banks
    SHARED REAL middles[NEURONS][FEATURES | 1], scales[NEURONS][FEATURES | 1], rows[NEURONS][OUTPUTS | 1];
    SHARED REAL response[TILE][NEURONS], pull[TILE][NEURONS], pull_along[ALONG ? TILE : 1][NEURONS];
    const int64_t neuron = thread_y() * NEURONS;
    const int mine = thread_of();
    for (int k = mine; k < PLACES; k += BLOCK) {
        const bool there = neuron + k / FEATURES < neurons;
        middles[k / FEATURES][k % FEATURES] = there ? centers[neuron * FEATURES + k] : REAL(0);
        scales[k / FEATURES][k % FEATURES] = there ? betas[neuron * FEATURES + k] : REAL(0);
    }
    for (int k = mine; k < WEIGHTS; k += BLOCK) {
        const int64_t i = neuron + k % NEURONS;
        rows[k % NEURONS][k / NEURONS] = i < neurons ? weight[(k / NEURONS) * neurons + i] : REAL(0);
    }
    REAL to_center[PLACES_EACH] = {}, to_beta[PLACES_EACH] = {}, to_weight[WEIGHTS_EACH] = {}, to_bias[BIASES_EACH] = {};
    for (int64_t first = block_of() * TILE; first < n; first += blocks_of() * TILE) {
        sync_block();
        for (int k = mine; k < TILE * FEATURES; k += BLOCK) {
            const bool there = first + k / FEATURES < n;
            points[k / FEATURES][k % FEATURES] = there ? x[first * FEATURES + k] : REAL(0);
            if (ALONG) directions[k / FEATURES][k % FEATURES] = there ? v[first * FEATURES + k] : REAL(0);
        }
        for (int k = mine; k < TILE * OUTPUTS; k += BLOCK)
            adjoints[k / OUTPUTS][k % OUTPUTS] = first + k / OUTPUTS < n ? dout[first * OUTPUTS + k] : REAL(0);
        sync_block();
        for (int k = mine; k < TILE * NEURONS; k += BLOCK) {
            const int s = k / NEURONS, i = k % NEURONS;
            REAL phi, phidot, g = 0;
            rbf_neuron<FEATURES>(points[s], ALONG ? directions[s] : nullptr, middles[i], scales[i], phi, phidot);
            for (int o = 0; o < OUTPUTS; ++o) g += rows[i][o] * adjoints[s][o];
            response[s][i] = ALONG ? phidot : phi;
            pull[s][i] = g * phi;
            if (ALONG) pull_along[s][i] = g * phidot;
        }
        sync_block();
        UNROLLED
        for (int p = 0; p < PLACES_EACH; ++p) {
            const int k = mine + p * BLOCK, i = k / FEATURES, j = k % FEATURES;
            if (k >= PLACES) break;
            const REAL middle = middles[i][j], scale = scales[i][j];
            for (int s = 0; s < TILE; ++s) {
                const REAL d = points[s][j] - middle, first_order = pull[s][i] * scale * d;
                if (ALONG) {
                    const REAL t = scale * (pull_along[s][i] * d + pull[s][i] * directions[s][j]);
                    to_center[p] += t;
                    to_beta[p] -= (t * d + first_order * directions[s][j]) / 2;
                } else {
                    to_center[p] += first_order;
                    to_beta[p] -= first_order * d / 2;
                }
            }
        }
        UNROLLED
        for (int p = 0; p < WEIGHTS_EACH; ++p) {
            const int k = mine + p * BLOCK;
            if (k >= WEIGHTS) break;
            for (int s = 0; s < TILE; ++s) to_weight[p] += adjoints[s][k / NEURONS] * response[s][k % NEURONS];
        }
        UNROLLED
        for (int p = 0; !ALONG && p < BIASES_EACH; ++p) {
            const int o = mine + p * BLOCK;
            if (o >= OUTPUTS || thread_y() > 0) break;
            for (int s = 0; s < TILE; ++s) to_bias[p] += adjoints[s][o];
        }
    }
    const int64_t places = neurons * FEATURES;
    UNROLLED
    for (int p = 0; p < PLACES_EACH; ++p) {
        const int k = mine + p * BLOCK;
        if (k >= PLACES || neuron + k / FEATURES >= neurons) break;
        shared_add(sums + neuron * FEATURES + k, to_center[p]);
        shared_add(sums + places + neuron * FEATURES + k, to_beta[p]);
    }
    UNROLLED
    for (int p = 0; p < WEIGHTS_EACH; ++p) {
        const int k = mine + p * BLOCK;
        if (k < WEIGHTS && neuron + k % NEURONS < neurons)
            shared_add(sums + 2 * places + (k / NEURONS) * neurons + neuron + k % NEURONS, to_weight[p]);
    }
    UNROLLED
    for (int p = 0; !ALONG && p < BIASES_EACH; ++p) {
        const int o = mine + p * BLOCK;
        if (o < OUTPUTS && thread_y() == 0) shared_add(sums + 2 * places + OUTPUTS * neurons + o, to_bias[p]);
    }
}

KERNEL layer_to_parameters(int64_t n, const REAL* x, const REAL* centers, const REAL* betas, const REAL* weight, int64_t neurons,
                           const REAL* dout, REAL* sums) {
    layer_sums<false>(n, x, nullptr, centers, betas, weight, neurons, dout, sums);
}

KERNEL layer_to_parameters_along(int64_t n, const REAL* x, const REAL* v, const REAL* centers, const REAL* betas, const REAL* weight,
                                 int64_t neurons, const REAL* dout, REAL* sums) {
    layer_sums<true>(n, x, v, centers, betas, weight, neurons, dout, sums);
}

}  // namespace formfield
