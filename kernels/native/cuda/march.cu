// march_rays: one thread per ray, counting and then filling with the same arithmetic. CONE: 1 for steps that grow with distance. `lattice` are
// the numbers of a lattice, which the host computes: see backends/cuda/march.py.
#include "cuda/thread.h"

#include "bodies/lattices.h"

namespace formfield {

#if CONE
DEVICE Lattice<double> lattice_of(const double* v) {
    Lattice<double> l{};
    l.cone = true;
    l.step = l.first = v[0], l.max_step = v[1], l.rate = v[2], l.t_a = v[3], l.t_b = v[4], l.n_a = v[5], l.n_b = v[6];
    return l;
}
DEVICE ConeLattice lattice_of(const float* v) {
    const auto at = [v](int i) { return Twofold<float>{v[2 * i], v[2 * i + 1]}; };
    return {at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8), at(9)};
}
#else
DEVICE EvenLattice<REAL> lattice_of(const REAL* v) { return {v[0]}; }
#endif

struct CountOnly {
    template <class Ray>
    HOST_DEVICE void operator()(int32_t, const Ray&, int32_t) const {}
};

struct Fill {
    int32_t *rays, ray;
    REAL *t, *dt;
    template <class Ray>
    HOST_DEVICE void operator()(int32_t i, const Ray& lattice, int32_t k) const {
        rays[i] = ray;
        t[i] = lattice.t(k);
        dt[i] = lattice.dt(k);
    }
};

KERNEL march_count(int64_t n, const REAL* origins, const REAL* directions, const REAL* near, const REAL* far, const REAL* jitter,
                   const uint8_t* bits, int64_t resolution, int64_t cascades, const REAL* lattice, int64_t max_samples, int32_t* counts) {
    const int64_t r = thread_x();
    if (r >= n) return;
    const OccupancyBits grid = {bits, int32_t(resolution), int32_t(cascades)};
    counts[r] = march_ray(origins + 3 * r, directions + 3 * r, near[r], far[r], jitter[r], grid, lattice_of(lattice), int32_t(max_samples),
                          CountOnly());
}

KERNEL march_fill(int64_t n, const REAL* origins, const REAL* directions, const REAL* near, const REAL* far, const REAL* jitter,
                  const uint8_t* bits, int64_t resolution, int64_t cascades, const REAL* lattice, const int64_t* offsets, int32_t* rays,
                  REAL* t, REAL* dt) {
    const int64_t r = thread_x();
    if (r >= n) return;
    const int64_t base = offsets[r];
    const int32_t wanted = int32_t(offsets[r + 1] - base);
    if (wanted == 0) return;
    const OccupancyBits grid = {bits, int32_t(resolution), int32_t(cascades)};
    const Fill fill = {rays + base, int32_t(r), t + base, dt + base};
    march_ray(origins + 3 * r, directions + 3 * r, near[r], far[r], jitter[r], grid, lattice_of(lattice), wanted, fill);
}

}  // namespace formfield
