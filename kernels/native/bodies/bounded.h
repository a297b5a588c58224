// One ray's samples with a bounded opacity error: its intervals are looked at front to back, cut in three where the bound asks for it, and
// the distance is asked for only where what is known of it does not settle the matter (see kernels/reference/bounded.py).
#pragma once
#include "bodies/laplace.h"

namespace formfield {

constexpr int MAX_CUTS = 8;
// A ray has a handful of intervals with an error worth the name: each may have CUT_SHARE of epsilon, or it is cut. The distance at an
// interval is asked for from ASK_SHARE on; already from LEAST_SHARE on where the ray's whole bound is beyond SPENT of epsilon: what is only
// bounded adds up to more than what is known.
constexpr double CUT_SHARE = 1.0 / 4, ASK_SHARE = 1.0 / 6, LEAST_SHARE = 1.0 / 50, SPENT = 0.3;
constexpr double ERROR_CAP = 13.815510557964274;  // log(1e6): beyond 1 a bound says only "cut", and exp must not overflow

template <class T>
struct BoundRule {
    T beta, slope, epsilon, visible, faint;
    int32_t cuts;
};

template <class T>
struct RayInterval {
    T t, dt, sdf;  // midpoint, length, distance at the midpoint if known
    int32_t cuts;  // how often it was cut
    bool known;
};

// What stands between two questions. The intervals lie on a stack, the foremost on top; what is behind them the march will give.
template <class T>
struct BoundedRay {
    RayInterval<T> stack[2 * MAX_CUTS + 1];
    int32_t intervals;
    T before_t, before_sdf;  // the last known distance in front of the stack, if there is any
    T depth, error, least;   // optical depth and the bound of its error; the least depth that is certain
    bool before, met;

    HOST_DEVICE void begin() {
        intervals = 0;
        before = false;
        depth = error = least = 0;
        met = true;
    }
    HOST_DEVICE void push(T t, T dt) { stack[intervals++] = {t, dt, 0, 0, false}; }
    HOST_DEVICE void answer(T sdf) {
        stack[intervals - 1].sdf = sdf;
        stack[intervals - 1].known = true;
    }
};

enum class Asks { nothing, interval, distance };  // the ray is done; the next interval of the march; the distance at the top's midpoint

// Goes on until something has to be asked. emit(t, dt) gets the samples to keep, front to back.
template <class T, class Emit>
HOST_DEVICE Asks advance(BoundedRay<T>& ray, const BoundRule<T>& rule, Emit&& emit) {
    const T inverse = 1 / rule.beta;
    while (ray.intervals) {
        RayInterval<T>& top = ray.stack[ray.intervals - 1];
        T low = top.sdf, high = top.sdf, guess = top.sdf;
        if (!top.known) {
            low = T(-1e30), high = T(1e30);
            if (ray.before) {
                const T reach = rule.slope * (top.t - ray.before_t);
                low = ray.before_sdf - reach, high = ray.before_sdf + reach;
            }
            guess = ray.before ? ray.before_sdf : high;  // where nothing is known, nothing is in the way
            for (int32_t i = ray.intervals - 2; i >= 0; --i) {
                const RayInterval<T>& next = ray.stack[i];
                if (!next.known) continue;
                const T reach = rule.slope * (next.t - top.t);
                low = larger(low, next.sdf - reach), high = smaller(high, next.sdf + reach);
                guess = next.sdf;
                if (ray.before)  // on the line between the two
                    guess = ray.before_sdf + (next.sdf - ray.before_sdf) * ((top.t - ray.before_t) / (next.t - ray.before_t));
                break;
            }
            guess = smaller(larger(guess, low), high);
        }
        const T nearest = larger(larger(low, -high), T(0));
        const T error = top.dt * top.dt * inverse * inverse / 8 * exp(-larger(nearest - top.dt / 2, T(0)) * inverse);
        const T transmittance = exp(-ray.depth);
        if (!(transmittance > rule.visible)) return Asks::nothing;
        const T worst = transmittance * expm1(smaller(error, T(ERROR_CAP)));
        if (!top.known && worst > rule.epsilon * T(LEAST_SHARE)) {
            const T whole = exp(-ray.least) * expm1(smaller(ray.error + error, T(ERROR_CAP)));
            if (worst > rule.epsilon * T(ASK_SHARE) || whole > rule.epsilon * T(SPENT)) return Asks::distance;
        }
        if (worst > rule.epsilon * T(CUT_SHARE) && top.cuts < rule.cuts) {
            const RayInterval<T> whole = top;
            const T part = whole.dt / 3;
            --ray.intervals;
            ray.stack[ray.intervals++] = {whole.t + part, part, 0, whole.cuts + 1, false};
            ray.stack[ray.intervals++] = {whole.t, part, whole.sdf, whole.cuts + 1, true};
            ray.stack[ray.intervals++] = {whole.t - part, part, 0, whole.cuts + 1, false};
            continue;
        }
        ray.error += error;
        if (exp(-ray.least) * expm1(smaller(ray.error, T(ERROR_CAP))) > rule.epsilon) ray.met = false;
        if (T(0.5) * inverse * exp(-larger(low - top.dt / 2, T(0)) * inverse) * top.dt > rule.faint) emit(top.t, top.dt);
        ray.depth += laplace_value(guess, rule.beta) * top.dt;
        ray.least += laplace_value(high, rule.beta) * top.dt;
        if (top.known) ray.before = true, ray.before_t = top.t, ray.before_sdf = top.sdf;
        --ray.intervals;
    }
    return Asks::interval;
}

}  // namespace formfield
