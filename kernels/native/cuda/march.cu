// march_rays: one thread per ray, counting and then filling with the same arithmetic.
#include "cuda/thread.h"

#include "bodies/march.h"

namespace formfield {

DEVICE Lattice<REAL> lattice_of(double step, double cone_angle, double log_cone, double max_step) {
    Lattice<REAL> l{};
    l.step = REAL(step);
    l.first = step;
    l.max_step = larger(step, max_step);
    l.cone = cone_angle > 1e-5;
    if (l.cone) {
        l.rate = log_cone;
        l.t_a = step / l.rate, l.t_b = l.max_step / l.rate;
        l.n_a = log(l.t_a) / l.rate, l.n_b = log(l.t_b) / l.rate;
    }
    return l;
}

struct CountOnly {
    HOST_DEVICE void operator()(int32_t, const RayLattice<REAL>&, int32_t) const {}
};

struct Fill {
    int32_t *rays, ray;
    REAL *t, *dt;
    HOST_DEVICE void operator()(int32_t i, const RayLattice<REAL>& lattice, int32_t k) const {
        rays[i] = ray;
        t[i] = lattice.t(k);
        dt[i] = lattice.dt(k);
    }
};

KERNEL march_count(int64_t n, const REAL* origins, const REAL* directions, const REAL* near, const REAL* far, const REAL* jitter,
                   const uint8_t* bits, int64_t resolution, int64_t cascades, double step, double cone_angle, double log_cone,
                   double max_step, int64_t max_samples, int32_t* counts) {
    const int64_t r = thread_x();
    if (r >= n) return;
    const OccupancyBits grid = {bits, int32_t(resolution), int32_t(cascades)};
    const Lattice<REAL> lattice = lattice_of(step, cone_angle, log_cone, max_step);
    counts[r] = march_ray(origins + 3 * r, directions + 3 * r, near[r], far[r], jitter[r], grid, lattice, int32_t(max_samples), CountOnly());
}

KERNEL march_fill(int64_t n, const REAL* origins, const REAL* directions, const REAL* near, const REAL* far, const REAL* jitter,
                  const uint8_t* bits, int64_t resolution, int64_t cascades, double step, double cone_angle, double log_cone,
                  double max_step, const int64_t* offsets, int32_t* rays, REAL* t, REAL* dt) {
    const int64_t r = thread_x();
    if (r >= n) return;
    const int64_t base = offsets[r];
    const int32_t wanted = int32_t(offsets[r + 1] - base);
    if (wanted == 0) return;
    const OccupancyBits grid = {bits, int32_t(resolution), int32_t(cascades)};
    const Lattice<REAL> lattice = lattice_of(step, cone_angle, log_cone, max_step);
    const Fill fill = {rays + base, int32_t(r), t + base, dt + base};
    march_ray(origins + 3 * r, directions + 3 * r, near[r], far[r], jitter[r], grid, lattice, wanted, fill);
}

}  // namespace formfield
