// The lattices of a march without double precision: EvenLattice for constant steps, the same bits as Lattice; ConeLattice for steps that grow
// with distance, in sums of two numbers, where Lattice computes logarithms and exponentials in double precision. With m = n - n_a (see
// kernels/backends/reference/march.py) a distance is t_a + m step up to m = 0, t_a exp(rate m) up to m = m_b, then t_b + (m - m_b) max_step.
#pragma once
#include "bodies/march.h"
#include "bodies/twofold.h"

namespace formfield {

#if !defined(__CUDACC_RTC__)
using std::rint;
#endif

template <class T>
struct EvenRay;

template <class T>
struct EvenLattice {
    using Ray = EvenRay<T>;
    T step;
};

// First index from `after` on, or an earlier one, whose t is not below `exit`: all between lie strictly before it. n: about where that is.
template <class T, class Ray>
HOST_DEVICE int32_t first_from(const Ray& ray, T n, T exit, int32_t after) {
    if (!(n > T(after))) return after;
    int32_t k = n < T(2e9) ? int32_t(n) + 1 : 2000000000;
    while (k > after && !(ray.t(k - 1) < exit)) --k;
    return k;
}

template <class T>
struct EvenRay {
    T step, start, jitter, inverse_step;

    HOST_DEVICE EvenRay(const EvenLattice<T>& l, T t0, T j) : step(l.step), start(t0), jitter(j), inverse_step(1 / l.step) {}
    HOST_DEVICE T t(int32_t k) const { return multiply_then_add(T(k) + jitter, step, start); }
    HOST_DEVICE T dt(int32_t) const { return step; }
    HOST_DEVICE int32_t first_not_before(T exit, int32_t after) const {
        return first_from(*this, (exit - start) * inverse_step - jitter, exit, after);
    }
};

#if defined(__CUDACC_RTC__)
#define CONSTANT __constant__ const
#else
#define CONSTANT constexpr
#endif
// 2^(j/16) and what float leaves of it
CONSTANT float ROOTS[16] = {
    1.0f, 1.0442737340927124f, 1.0905077457427979f, 1.1387885808944702f, 1.1892070770263672f, 1.2418577671051025f, 1.2968395948410034f,
    1.3542555570602417f, 1.4142135381698608f, 1.4768261909484863f, 1.5422108173370361f, 1.610490322113037f, 1.6817928552627563f,
    1.7562521696090698f, 1.8340080976486206f, 1.9152065515518188f,
};
CONSTANT float ROOTS_REST[16] = {
    0.0f, 4.8334701574503924e-08f, -1.3077539939843064e-08f, 5.386222312608879e-08f, 3.797635272917432e-08f, 4.496838101886169e-08f,
    -4.018999533172973e-08f, -1.0123349269974824e-08f, 2.4203234971764687e-08f, -4.500898853621038e-08f, 8.070904833346049e-09f,
    9.836217174097328e-09f, -2.4755326677450284e-08f, -9.235770370707996e-09f, -1.1239277952768134e-08f, 9.845328108326612e-09f,
};

HOST_DEVICE float power_of_two(int32_t n) {
#if defined(__CUDACC_RTC__)
    return __int_as_float((n + 127) << 23);
#else
    return std::ldexp(1.0f, n);
#endif
}

// e^x for |x| < 80, to about 2^-36: x = k log(2) / 16 + r, and e^r - 1 by its series, of which r alone needs both parts.
HOST_DEVICE Twofold<float> exp_of(Twofold<float> x) {
    const float log_step = 0.043321698904037476f, log_rest = -1.1904088825787085e-10f;  // log(2) / 16
    const float k = rint(x.hi * 23.083120346069336f);
    const Twofold<float> r = sum_of(fma(-k, log_step, x.hi), fma(-k, log_rest, x.lo));
    const float rest = r.hi * r.hi * (1.0f / 2 + r.hi * (1.0f / 6 + r.hi * (1.0f / 24 + r.hi * (1.0f / 120))));
    const int32_t whole = int32_t(k), j = whole & 15;
    const Twofold<float> root = {ROOTS[j], ROOTS_REST[j]};
    const Twofold<float> power = root + root * (r + rest);
    const float scale = power_of_two(whole >> 4);
    return {power.hi * scale, power.lo * scale};
}

struct ConeRay;

struct ConeLattice {
    using Ray = ConeRay;
    Twofold<float> step, max_step, rate, t_a, t_b, m_b, inverse_step, inverse_max_step, inverse_rate, inverse_t_a;

    HOST_DEVICE Twofold<float> distance(Twofold<float> m) const {
        if (m.hi <= 0) return m * step + t_a;
        if (m.hi <= m_b.hi) return t_a * exp_of(m * rate);
        return (m + -m_b) * max_step + t_b;
    }
    HOST_DEVICE Twofold<float> coordinate(float t) const {
        if (t <= t_a.hi) return (-t_a + t) * inverse_step;
        if (!(t <= t_b.hi)) return (-t_b + t) * inverse_max_step + m_b;
        const Twofold<float> ratio = inverse_t_a * t;
        const float about = log(ratio.hi);
        const Twofold<float> one = ratio * exp_of({-about, 0.0f});  // less a rounding error of the logarithm, which is
        return sum_of(about, (one.hi - 1) + one.lo) * inverse_rate;
    }
    HOST_DEVICE float about_coordinate(float t) const {
        if (t <= t_a.hi) return (t - t_a.hi) * inverse_step.hi;
        if (t <= t_b.hi) return log(t * inverse_t_a.hi) * inverse_rate.hi;
        return (t - t_b.hi) * inverse_max_step.hi + m_b.hi;
    }
};

struct ConeRay {
    const ConeLattice& lattice;
    float jitter;
    Twofold<float> origin;

    HOST_DEVICE ConeRay(const ConeLattice& l, float t0, float j) : lattice(l), jitter(j), origin(l.coordinate(t0)) {}
    HOST_DEVICE float t(int32_t k) const { return lattice.distance(origin + (float(k) + jitter)).hi; }
    HOST_DEVICE float dt(int32_t k) const {
        const Twofold<float> m = origin + (float(k) + jitter);
        return (lattice.distance(m + 0.5f) + -lattice.distance(m + -0.5f)).hi;
    }
    HOST_DEVICE int32_t first_not_before(float exit, int32_t after) const {
        return first_from(*this, lattice.about_coordinate(exit) - origin.hi - jitter, exit, after);
    }
};

}  // namespace formfield
