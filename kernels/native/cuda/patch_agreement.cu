// patch_agreement: a warp for each window and other photograph, whose lanes take the window's pixels. REACH: pixels from its middle to its
// border. Definitions and formulas: bodies/patch_agreement.h, where one thread goes through a window. Here sums are those of a warp.
#include "cuda/lanes.h"

#include "bodies/patch_agreement.h"

namespace formfield {

constexpr int SIDE = 2 * REACH + 1, COUNT = SIDE * SIDE, TURNS = (COUNT + LANES - 1) / LANES;

// The window about a pixel: each lane has every 32nd of its pixels, with weight 0 beyond the last.
struct Window {
    REAL weight[TURNS], centred[TURNS], mean, variance;
    bool there;  // wholly; for all lanes
};

DEVICE int pixel_of(int turn) { return turn * LANES + lane_of(); }
DEVICE REAL right_of_middle(int turn) { return REAL(pixel_of(turn) % SIDE - REACH); }
DEVICE REAL below_middle(int turn) { return REAL(pixel_of(turn) / SIDE - REACH); }

DEVICE Window window_about(const Picture<REAL>& picture, const REAL* middle) {
    Window window = {};
    REAL grey[TURNS] = {}, unused[2];
    bool missing = false;
    UNROLLED
    for (int t = 0; t < TURNS; ++t)
        if (pixel_of(t) < COUNT)
            missing |= !look(picture, middle[0] + right_of_middle(t), middle[1] + below_middle(t), grey[t], unused[0], unused[1]);
    window.there = !any_lane(missing);
    if (!window.there) return window;
    const REAL in_the_middle = from_lane(grey[COUNT / 2 / LANES], COUNT / 2 % LANES);
    REAL total = 0, mean = 0;
    UNROLLED
    for (int t = 0; t < TURNS; ++t) {
        if (pixel_of(t) < COUNT) window.weight[t] = agreement_weight(grey[t], in_the_middle, right_of_middle(t), below_middle(t), REACH);
        total += window.weight[t];
        mean += window.weight[t] * grey[t];
    }
    total = warp_sum(total);
    window.mean = warp_sum(mean) / total;
    UNROLLED
    for (int t = 0; t < TURNS; ++t) {
        window.weight[t] /= total;
        window.centred[t] = window.weight[t] * (grey[t] - window.mean);
        window.variance += window.centred[t] * (grey[t] - window.mean);
    }
    window.variance = warp_sum(window.variance);
    return window;
}

// others [views][sources], warps [views][sources][3][4]. Of the y of the launch, each other has one; the first also writes the texture.
KERNEL agreement_windows(int64_t windows, const uint8_t* pixels, const int64_t* starts, const int64_t* widths, int64_t sources,
                         const int64_t* others, const REAL* warps, const int64_t* view, const REAL* middle, const REAL* planes,
                         double noise, REAL* costs, REAL* slopes, REAL* texture) {
    const int64_t i = thread_x() / LANES, s = thread_y();
    if (i >= windows) return;
    const Pictures pictures = {pixels, starts, widths};
    const Window window = window_about(picture_of<REAL>(pictures, view[i]), middle + 2 * i);
    if (s == 0 && lane_of() == 0) texture[i] = window.there ? window.variance / (window.variance + REAL(noise)) : REAL(0);
    if (s >= sources) return;  // there may be none
    const int64_t pair = view[i] * sources + s, other = others[pair], to = i * sources + s;
    REAL cost = REAL(AGREEMENT_NONE), slope[3] = {};
    if (window.there && other >= 0) {  // alike for all lanes
        const Picture<REAL> picture = picture_of<REAL>(pictures, other);
        const WindowMap<REAL> map = window_map(middle + 2 * i, warps + 12 * pair, planes + 3 * i);
        AgreementSums<REAL> sums = {};
        bool missing = false;
        UNROLLED
        for (int t = 0; t < TURNS; ++t)
            if (pixel_of(t) < COUNT)
                missing |= !agreement_add(
                    picture, map, right_of_middle(t), below_middle(t), window.weight[t], window.centred[t], window.mean, sums
                );
        if (!any_lane(missing)) {
            UNROLLED
            for (int j = 0; j < 4; ++j)
                sums.plain[j] = warp_sum(sums.plain[j]), sums.square[j] = warp_sum(sums.square[j]), sums.cross[j] = warp_sum(sums.cross[j]);
            cost = agreement_of(sums, window.variance, REAL(noise), slope);
        }
    }
    if (lane_of() != 0) return;
    costs[to] = cost;
    for (int k = 0; k < 3; ++k) slopes[3 * to + k] = slope[k];
}

}  // namespace formfield
