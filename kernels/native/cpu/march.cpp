// march_rays: count, then (offsets known) fill. Compiled with -ffp-contract=off: see multiply_then_add.
#include <nanobind/nanobind.h>

#include "bodies/march.h"
#include "cpu/arrays.h"
#include "cpu/bindings.h"
#include "cpu/lattice.h"
#include "cpu/parallel.h"

namespace formfield {
namespace {

template <class T>
struct Rays {
    const T *origins, *directions, *near, *far, *jitter;
    int64_t count;
};

template <class T, class Emit>
int32_t march(const Rays<T>& rays, int64_t r, const OccupancyBits& grid, const Lattice<T>& lattice, int32_t max_samples, Emit&& emit) {
    return march_ray(
        rays.origins + 3 * r, rays.directions + 3 * r, rays.near[r], rays.far[r], rays.jitter[r], grid, lattice, max_samples, emit
    );
}

template <class T>
void count(
    Array<const T> origins, Array<const T> directions, Array<const T> near, Array<const T> far, Array<const T> jitter,
    Array<const uint8_t> bitfield, int resolution, double step, double cone_angle, double max_step, int max_samples,
    Array<int64_t> offsets, int threads
) {
    const Rays<T> rays{origins.data(), directions.data(), near.data(), far.data(), jitter.data(), int64_t(near.shape(0))};
    const OccupancyBits grid{bitfield.data(), resolution, int32_t(bitfield.shape(0))};
    const Lattice<T> lattice = make_lattice<T>(step, cone_angle, max_step);
    int64_t* out = offsets.data();
    nb::gil_scoped_release release;
    parallel_ranges(threads, rays.count, RAY_GRAIN, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r)
            out[r + 1] = march(rays, r, grid, lattice, max_samples, [](int32_t, const RayLattice<T>&, int32_t) {});
    });
    out[0] = 0;
    for (int64_t r = 0; r < rays.count; ++r) out[r + 1] += out[r];
}

template <class T>
void fill(
    Array<const T> origins, Array<const T> directions, Array<const T> near, Array<const T> far, Array<const T> jitter,
    Array<const uint8_t> bitfield, int resolution, double step, double cone_angle, double max_step, Array<const int64_t> offsets,
    Array<int32_t> ray_indices, Array<T> t, Array<T> dt, int threads
) {
    const Rays<T> rays{origins.data(), directions.data(), near.data(), far.data(), jitter.data(), int64_t(near.shape(0))};
    const OccupancyBits grid{bitfield.data(), resolution, int32_t(bitfield.shape(0))};
    const Lattice<T> lattice = make_lattice<T>(step, cone_angle, max_step);
    const int64_t* first = offsets.data();
    int32_t* index = ray_indices.data();
    T *ts = t.data(), *dts = dt.data();
    nb::gil_scoped_release release;
    parallel_ranges(threads, rays.count, RAY_GRAIN, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
            const int64_t base = first[r];
            const int32_t wanted = int32_t(first[r + 1] - base);  // never more than counted, whatever the caller did to the arrays
            if (wanted == 0) continue;
            march(rays, r, grid, lattice, wanted, [&](int32_t i, const RayLattice<T>& ray, int32_t k) {
                index[base + i] = int32_t(r);
                ts[base + i] = ray.t(k);
                dts[base + i] = ray.dt(k);
            });
        }
    });
}

const Bindings bindings([](nb::module_& m) {
    both(
        m, "march_count", &count<float>, &count<double>, "origins"_a, "directions"_a, "near"_a, "far"_a, "jitter"_a, "bitfield"_a,
        "resolution"_a, "step"_a, "cone_angle"_a, "max_step"_a, "max_samples"_a, "offsets"_a, "threads"_a, "kernels/native/cpu/march.cpp"
    );
    both(
        m, "march_fill", &fill<float>, &fill<double>, "origins"_a, "directions"_a, "near"_a, "far"_a, "jitter"_a, "bitfield"_a,
        "resolution"_a, "step"_a, "cone_angle"_a, "max_step"_a, "offsets"_a, "ray_indices"_a, "t"_a, "dt"_a, "threads"_a,
        "kernels/native/cpu/march.cpp"
    );
});

}  // namespace
}  // namespace formfield
