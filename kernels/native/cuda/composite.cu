// composite, composite_alpha, distortion_loss: a warp per ray, a lane per sample, 32 at a time. CHANNELS: their number, 0 if it is only known
// at run time. Definitions and formulas: bodies/composite.h, where one thread goes along a ray. Here running sums and products are scans.
#include "cuda/lanes.h"

#include "bodies/composite.h"
#include "bodies/entry.h"
#include "bodies/twofold.h"

namespace formfield {

constexpr int KEPT = CHANNELS > 0 ? CHANNELS : 1;  // in registers
using Row = Entry<REAL, KEPT>;

struct RayOfWarp {
    int64_t ray, first, n;  // n: its samples
    bool there;
};
DEVICE RayOfWarp ray_of_warp(int64_t rays, const int64_t* offsets) {
    const int64_t r = thread_x() / LANES;
    if (r >= rays) return {r, 0, 0, false};
    return {r, offsets[r], offsets[r + 1] - offsets[r], true};
}
// Where the last 32 samples begin.
DEVICE int64_t last_of(int64_t n) { return n > 0 ? (n - 1) / LANES * LANES : -1; }

// The number of the next lane below or above, 0 where there is none.
DEVICE REAL below(REAL value) {
    const REAL other = from_below(value, 1);
    return lane_of() == 0 ? REAL(0) : other;
}
DEVICE REAL above(REAL value) {
    const REAL other = from_above(value, 1);
    return lane_of() == LANES - 1 ? REAL(0) : other;
}

// Sums of weights times channels. Without CHANNELS a lane takes a channel, and the weights from where `finish` finds them.
struct Values {
    REAL sum[KEPT] = {};

    DEVICE void add(REAL weight, const REAL* channels, int64_t i) {
        if constexpr (CHANNELS > 0) {
            const Row row = reinterpret_cast<const Row*>(channels)[i];
            for (int c = 0; c < CHANNELS; ++c) sum[c] += weight * row[c];
        }
    }
    DEVICE void finish(const RayOfWarp& at, const REAL* weights, const REAL* channels, int64_t count, REAL* values) {
        if constexpr (CHANNELS > 0) {
            for (int c = 0; c < CHANNELS; ++c) {
                const REAL all = warp_sum(sum[c]);
                if (lane_of() == 0) values[at.ray * CHANNELS + c] = all;
            }
        } else {
            sync_warp();  // the weights are those of all lanes
            for (int64_t c = lane_of(); c < count; c += LANES) {
                REAL all = 0;
                for (int64_t i = at.first; i < at.first + at.n; ++i)
                    if (weights[i] != 0) all += weights[i] * channels[i * count + c];
                values[at.ray * count + c] = all;
            }
        }
    }
};

// dL/dw of a sample of a ray, whose gradients of values the constructor reads. All of them may be null.
struct WeightGradients {
    const REAL *values, *weights;
    REAL opacity, of_channel[KEPT];
    int64_t count;

    DEVICE WeightGradients(int64_t ray, int64_t count, const REAL* values, const REAL* opacity, const REAL* weights)
        : values(values ? values + ray * count : nullptr), weights(weights), opacity(opacity ? opacity[ray] : REAL(0)), count(count) {
        if constexpr (CHANNELS > 0)
            for (int c = 0; c < CHANNELS; ++c) of_channel[c] = values ? values[ray * CHANNELS + c] : REAL(0);
    }
    DEVICE REAL operator()(const REAL* channels, int64_t i) const {
        REAL q = opacity;
        if (weights) q += weights[i];
        if (!values) return q;
        if constexpr (CHANNELS > 0) {
            const Row row = reinterpret_cast<const Row*>(channels)[i];
            for (int c = 0; c < CHANNELS; ++c) q += of_channel[c] * row[c];
        } else {
            for (int64_t c = 0; c < count; ++c) q += values[c] * channels[i * count + c];
        }
        return q;
    }
    DEVICE void to_channels(REAL weight, int64_t i, REAL* grad_channels) const {
        if constexpr (CHANNELS > 0) {
            Row row;
            for (int c = 0; c < CHANNELS; ++c) row.v[c] = weight * of_channel[c];
            reinterpret_cast<Row*>(grad_channels)[i] = row;
        } else {
            for (int64_t c = 0; c < count; ++c) grad_channels[i * count + c] = values ? weight * values[c] : REAL(0);
        }
    }
};

KERNEL composite_forward(int64_t rays, const REAL* density, const REAL* dt, const REAL* channels, int64_t count, const int64_t* offsets,
                         double early_stop, REAL* values, REAL* opacity, REAL* weights, REAL* after) {
    const RayOfWarp at = ray_of_warp(rays, offsets);
    if (!at.there) return;
    const REAL stop = REAL(early_stop);
    Values sums;
    REAL seen = 0, front = 1;             // opacity of this lane's samples; transmittance in front of the 32 at hand
    Twofold<REAL> depth = {REAL(0), REAL(0)};  // there: with a thousand thin samples its rounding would all go one way
    for (int64_t base = 0; base < at.n; base += LANES) {
        const bool mine = base + lane_of() < at.n;
        const int64_t i = at.first + base + lane_of();
        if (front < stop) {  // for all of them
            if (mine) weights[i] = after[i] = 0;
            continue;
        }
        const REAL x = mine ? density[i] * dt[i] : REAL(0);
        const REAL upto = sum_below(x > REAL(1e4) ? REAL(1e4) : x);  // exp(-1e4) is 0, and no infinity less infinity comes of it
        const REAL behind = exp(-(depth.hi + (depth.lo + upto)));
        const REAL next = from_below(behind, 1), before = lane_of() == 0 ? front : next;
        const bool stopped = before < stop;
        const REAL weight = stopped ? REAL(0) : before * one_minus_exp(x, exp(-x));
        if (mine) {
            weights[i] = weight;
            after[i] = stopped ? REAL(0) : behind;
            seen += weight;
            if (!stopped) sums.add(weight, channels, i);
        }
        front = from_lane(behind, LANES - 1);
        depth = depth + from_lane(upto, LANES - 1);
    }
    const REAL all = warp_sum(seen);
    if (lane_of() == 0) opacity[at.ray] = all;
    sums.finish(at, weights, channels, count, values);
}

// Gradients in and out may be null.
KERNEL composite_backward(int64_t rays, const REAL* density, const REAL* dt, const REAL* channels, int64_t count, const int64_t* offsets,
                          const REAL* weights, const REAL* after, const REAL* grad_values, const REAL* grad_opacity,
                          const REAL* grad_weights, REAL* grad_density, REAL* grad_dt, REAL* grad_channels) {
    const RayOfWarp at = ray_of_warp(rays, offsets);
    if (!at.there) return;
    const WeightGradients gradient(at.ray, count, grad_values, grad_opacity, grad_weights);
    REAL beyond = 0;  // sum of w q behind the 32 at hand
    for (int64_t base = last_of(at.n); base >= 0; base -= LANES) {
        const bool mine = base + lane_of() < at.n;
        const int64_t i = at.first + base + lane_of();
        const REAL weight = mine ? weights[i] : REAL(0), q = mine ? gradient(channels, i) : REAL(0);
        const REAL from = sum_above(mine ? weight * q : REAL(0)), behind = beyond + above(from);
        if (mine) {
            const REAL by_depth = after[i] * q - behind;
            if (grad_density) grad_density[i] = dt[i] * by_depth;
            if (grad_dt) grad_dt[i] = density[i] * by_depth;
            if (grad_channels) gradient.to_channels(weight, i, grad_channels);
        }
        beyond += from_lane(from, 0);
    }
}

DEVICE Twofold<REAL> product_below(Twofold<REAL> value) {
    for (int by = 1; by < LANES; by *= 2) {
        const Twofold<REAL> other = {from_below(value.hi, by), from_below(value.lo, by)};
        if (lane_of() >= by) value = other * value;
    }
    return value;
}

KERNEL composite_alpha_forward(int64_t rays, const REAL* alpha, const REAL* channels, int64_t count, const int64_t* offsets,
                               double early_stop, REAL* values, REAL* opacity, REAL* weights, REAL* before) {
    const RayOfWarp at = ray_of_warp(rays, offsets);
    if (!at.there) return;
    const REAL stop = REAL(early_stop);
    Values sums;
    REAL seen = 0;
    Twofold<REAL> front = {REAL(1), REAL(0)};
    for (int64_t base = 0; base < at.n; base += LANES) {
        const bool mine = base + lane_of() < at.n;
        const int64_t i = at.first + base + lane_of();
        const REAL a = mine ? alpha[i] : REAL(0);
        const Twofold<REAL> behind = front * product_below(sum_of(REAL(1), -a));
        const REAL next = from_below(behind.hi, 1), transmittance = lane_of() == 0 ? front.hi : next;
        const REAL weight = stop > 0 && transmittance < stop ? REAL(0) : transmittance * a;
        if (mine) {
            weights[i] = weight;
            before[i] = transmittance;
            seen += weight;
            sums.add(weight, channels, i);
        }
        front = {from_lane(behind.hi, LANES - 1), from_lane(behind.lo, LANES - 1)};
    }
    const REAL all = warp_sum(seen);
    if (lane_of() == 0) opacity[at.ray] = all;
    sums.finish(at, weights, channels, count, values);
}

// What lies behind a sample, as seen from there, is a chain of maps r -> value + keep r: their composition is scanned.
KERNEL composite_alpha_backward(int64_t rays, const REAL* alpha, const REAL* channels, int64_t count, const int64_t* offsets,
                                double early_stop, const REAL* weights, const REAL* before, const REAL* grad_values,
                                const REAL* grad_opacity, const REAL* grad_weights, REAL* grad_alpha, REAL* grad_channels) {
    const RayOfWarp at = ray_of_warp(rays, offsets);
    if (!at.there) return;
    const REAL stop = REAL(early_stop);
    const WeightGradients gradient(at.ray, count, grad_values, grad_opacity, grad_weights);
    REAL beyond = 0;
    for (int64_t base = last_of(at.n); base >= 0; base -= LANES) {
        const bool mine = base + lane_of() < at.n;
        const int64_t i = at.first + base + lane_of();
        const REAL a = mine ? alpha[i] : REAL(0), transmittance = mine ? before[i] : REAL(0);
        const bool stopped = stop > 0 && transmittance < stop;
        const REAL q = mine && !stopped ? gradient(channels, i) : REAL(0);
        REAL value = mine ? a * q : REAL(0), keep = mine ? 1 - a : REAL(1);
        for (int by = 1; by < LANES; by *= 2) {
            const REAL next_value = from_above(value, by), next_keep = from_above(keep, by);
            if (lane_of() + by < LANES) value += keep * next_value, keep *= next_keep;
        }
        const REAL here = value + keep * beyond, next = from_above(here, 1);
        const REAL behind = lane_of() == LANES - 1 ? beyond : next;
        if (mine) {
            if (grad_alpha) grad_alpha[i] = stopped ? REAL(0) : transmittance * (q - behind);
            if (grad_channels) gradient.to_channels(weights[i], i, grad_channels);
        }
        beyond = from_lane(here, 0);
    }
}

KERNEL distortion_forward(int64_t rays, const REAL* weights, const REAL* t, const REAL* dt, const int64_t* offsets, REAL* loss) {
    const RayOfWarp at = ray_of_warp(rays, offsets);
    if (!at.there) return;
    REAL sum = 0, mass = 0, moment = 0;
    for (int64_t base = 0; base < at.n; base += LANES) {
        const bool mine = base + lane_of() < at.n;
        const int64_t i = at.first + base + lane_of();
        const REAL w = mine ? weights[i] : REAL(0), x = mine ? t[i] - t[at.first] : REAL(0);
        const REAL mass_to = sum_below(w), moment_to = sum_below(w * x);
        const REAL mass_before = mass + below(mass_to), moment_before = moment + below(moment_to);
        if (mine) sum += 2 * w * (x * mass_before - moment_before) + w * w * dt[i] * REAL(1.0 / 3);
        mass += from_lane(mass_to, LANES - 1);
        moment += from_lane(moment_to, LANES - 1);
    }
    const REAL all = warp_sum(sum);
    if (lane_of() == 0) loss[at.ray] = all;
}

KERNEL distortion_backward(int64_t rays, const REAL* weights, const REAL* t, const REAL* dt, const int64_t* offsets, const REAL* grad,
                           REAL* grad_weights) {
    const RayOfWarp at = ray_of_warp(rays, offsets);
    if (!at.there) return;
    REAL mass = 0, moment = 0;
    for (int64_t base = 0; base < at.n; base += LANES) {
        const bool mine = base + lane_of() < at.n;
        const int64_t i = at.first + base + lane_of();
        const REAL w = mine ? weights[i] : REAL(0), x = mine ? t[i] - t[at.first] : REAL(0);
        const REAL mass_to = sum_below(w), moment_to = sum_below(w * x);
        const REAL mass_before = mass + below(mass_to), moment_before = moment + below(moment_to);
        if (mine) grad_weights[i] = x * mass_before - moment_before;
        mass += from_lane(mass_to, LANES - 1);
        moment += from_lane(moment_to, LANES - 1);
    }
    mass = moment = 0;
    const REAL scale = grad[at.ray];
    for (int64_t base = last_of(at.n); base >= 0; base -= LANES) {
        const bool mine = base + lane_of() < at.n;
        const int64_t i = at.first + base + lane_of();
        const REAL w = mine ? weights[i] : REAL(0), x = mine ? t[i] - t[at.first] : REAL(0);
        const REAL mass_from = sum_above(w), moment_from = sum_above(w * x);
        const REAL mass_behind = mass + above(mass_from), moment_behind = moment + above(moment_from);
        if (mine) grad_weights[i] = scale * (2 * (grad_weights[i] + (moment_behind - x * mass_behind)) + REAL(2.0 / 3) * w * dt[i]);
        mass += from_lane(mass_from, 0);
        moment += from_lane(moment_from, 0);
    }
}

}  // namespace formfield
