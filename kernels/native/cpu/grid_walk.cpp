// Walks through voxel grids: count, then (offsets known) fill. Compiled with -ffp-contract=off, so that both passes decide alike.
#include "bodies/grid_walk.h"

#include <nanobind/nanobind.h>

#include "cpu/arrays.h"
#include "cpu/bindings.h"
#include "cpu/parallel.h"

namespace formfield {
namespace {

struct NestedRays {
    const float *origins, *directions, *sorted, *near, *far;
    const int64_t* order;
    const bool *hits, *wanted;
    int64_t count;
};

NestedRays nested_rays(
    const Array<const float>& origins, const Array<const float>& directions, const Array<const float>& sorted,
    const Array<const int64_t>& order, const Array<const bool>& hits, const Array<const bool>& wanted, const Array<const float>& near,
    const Array<const float>& far
) {
    return {origins.data(), directions.data(), sorted.data(), near.data(), far.data(),
            order.data(),   hits.data(),       wanted.data(), int64_t(near.shape(0))};
}

NestedGrids nested_grids(const Array<const bool>& occupied, const Array<const float>& boxes) {
    return {
        occupied.data(), boxes.data(), int32_t(occupied.shape(0)),
        {int32_t(occupied.shape(1)), int32_t(occupied.shape(2)), int32_t(occupied.shape(3))}
    };
}

template <class Emit>
double walk(const NestedRays& rays, int64_t r, const NestedGrids& grids, const Stepping& stepping, int64_t limit, int64_t& n, Emit&& emit) {
    const int64_t m = grids.grids;
    return walk_nested(
        rays.origins + 3 * r, rays.directions + 3 * r, rays.sorted + 2 * m * r, rays.order + 2 * m * r, rays.hits + m * r, rays.near[r],
        rays.far[r], grids, stepping, limit, n, emit
    );
}

// Per ray: edges of intervals, intervals, where the walk came to.
void nested_count(
    Array<const float> origins, Array<const float> directions, Array<const float> sorted, Array<const int64_t> order,
    Array<const bool> hits, Array<const bool> wanted, Array<const float> near, Array<const float> far, Array<const bool> occupied,
    Array<const float> boxes, double step, double cone, int64_t limit, Array<int64_t> edges, Array<int64_t> intervals, Array<float> ends,
    int threads
) {
    const NestedRays rays = nested_rays(origins, directions, sorted, order, hits, wanted, near, far);
    const NestedGrids grids = nested_grids(occupied, boxes);
    const Stepping stepping{step, cone};
    int64_t *edge = edges.data(), *interval = intervals.data();
    float* end = ends.data();
    nb::gil_scoped_release release;
    parallel_ranges(threads, rays.count, RAY_GRAIN, [&](int64_t begin, int64_t stop) {
        for (int64_t r = begin; r < stop; ++r) {
            int64_t n = 0, e = 0;
            end[r] = rays.near[r];
            if (rays.wanted[r])
                end[r] = float(walk(rays, r, grids, stepping, limit, n, [&](double, double, bool joined) { e += joined ? 1 : 2; }));
            edge[r] = e, interval[r] = n;
        }
    });
}

void nested_fill(
    Array<const float> origins, Array<const float> directions, Array<const float> sorted, Array<const int64_t> order,
    Array<const bool> hits, Array<const bool> wanted, Array<const float> near, Array<const float> far, Array<const bool> occupied,
    Array<const float> boxes, double step, double cone, int64_t limit, Array<const int64_t> first_edges, Array<const int64_t> first_intervals,
    Array<float> edges, Array<int64_t> edge_rays, Array<bool> is_left, Array<bool> is_right, Array<float> middles, Array<int64_t> middle_rays,
    int threads
) {
    const NestedRays rays = nested_rays(origins, directions, sorted, order, hits, wanted, near, far);
    const NestedGrids grids = nested_grids(occupied, boxes);
    const Stepping stepping{step, cone};
    const int64_t *first_edge = first_edges.data(), *first_interval = first_intervals.data();
    const int64_t edges_there = int64_t(edges.shape(0)), middles_there = int64_t(middles.shape(0));
    float *edge = edges.data(), *middle = middles.data();
    int64_t *edge_ray = edge_rays.data(), *middle_ray = middle_rays.data();
    bool *left = is_left.data(), *right = is_right.data();
    nb::gil_scoped_release release;
    parallel_ranges(threads, rays.count, RAY_GRAIN, [&](int64_t begin, int64_t stop) {
        for (int64_t r = begin; r < stop; ++r) {
            if (!rays.wanted[r]) continue;
            int64_t n = 0, e = first_edge[r], i = first_interval[r];
            walk(rays, r, grids, stepping, limit, n, [&](double from, double to, bool joined) {
                if (e + 2 > edges_there + joined || i >= middles_there) return;  // whatever the caller did to the arrays in between
                if (joined) {
                    left[e - 1] = true;
                } else {
                    edge[e] = float(from), edge_ray[e] = r, left[e] = true, right[e] = false;
                    ++e;
                }
                edge[e] = float(to), edge_ray[e] = r, left[e] = false, right[e] = true;
                ++e;
                middle[i] = float(0.5 * (from + to)), middle_ray[i] = r;
                ++i;
            });
        }
    });
}

// first[r + 1] receives the number of intervals of ray r, summed up from 0; with `starts` given they are written from first[r] on.
void region_walk(
    Array<const float> origins, Array<const float> directions, Array<const float> near, Array<const float> far, Array<const bool> occupied,
    Array<const float> region, int kind, double step, double cone, Array<int64_t> first, MaybeArray<float> starts, MaybeArray<float> ends,
    MaybeArray<int64_t> indices, int threads
) {
    const int64_t rays = int64_t(near.shape(0)), there = starts ? int64_t(starts->shape(0)) : 0;
    const RegionGrid grid{
        occupied.data(), region.data(), {int32_t(occupied.shape(0)), int32_t(occupied.shape(1)), int32_t(occupied.shape(2))}, kind
    };
    const Stepping stepping{step, cone};
    const float *o = origins.data(), *d = directions.data(), *low = near.data(), *high = far.data();
    int64_t *offset = first.data(), *index = data_or_null(indices);
    float *start = data_or_null(starts), *end = data_or_null(ends);
    nb::gil_scoped_release release;
    parallel_ranges(threads, rays, RAY_GRAIN, [&](int64_t begin, int64_t stop) {
        for (int64_t r = begin; r < stop; ++r) {
            if (!start) {
                offset[r + 1] = walk_region(o + 3 * r, d + 3 * r, low[r], high[r], grid, stepping, [](double, double) {});
                continue;
            }
            int64_t i = offset[r];
            walk_region(o + 3 * r, d + 3 * r, low[r], high[r], grid, stepping, [&](double from, double to) {
                if (i >= there) return;
                start[i] = float(from), end[i] = float(to), index[i] = r;
                ++i;
            });
        }
    });
    if (start) return;
    offset[0] = 0;
    for (int64_t r = 0; r < rays; ++r) offset[r + 1] += offset[r];
}

const Bindings bindings([](nb::module_& m) {
    m.def(
        "nested_grids_count", &nested_count, "origins"_a, "directions"_a, "sorted"_a, "order"_a, "hits"_a, "wanted"_a, "near"_a, "far"_a,
        "occupied"_a, "boxes"_a, "step"_a, "cone"_a, "limit"_a, "edges"_a, "intervals"_a, "ends"_a, "threads"_a,
        "kernels/native/cpu/grid_walk.cpp"
    );
    m.def(
        "nested_grids_fill", &nested_fill, "origins"_a, "directions"_a, "sorted"_a, "order"_a, "hits"_a, "wanted"_a, "near"_a, "far"_a,
        "occupied"_a, "boxes"_a, "step"_a, "cone"_a, "limit"_a, "first_edges"_a, "first_intervals"_a, "edges"_a, "edge_rays"_a,
        "is_left"_a, "is_right"_a, "middles"_a, "middle_rays"_a, "threads"_a, "kernels/native/cpu/grid_walk.cpp"
    );
    m.def(
        "region_walk", &region_walk, "origins"_a, "directions"_a, "near"_a, "far"_a, "occupied"_a, "region"_a, "kind"_a, "step"_a, "cone"_a,
        "first"_a, "starts"_a.none(), "ends"_a.none(), "indices"_a.none(), "threads"_a, "kernels/native/cpu/grid_walk.cpp"
    );
});

}  // namespace
}  // namespace formfield
