// Walks of a ray through voxel grids: nested boxes with one grid each (intervals), and one grid of a region under a contraction (samples).
// Internally in double precision, whatever the rays are stored in: what decides is where a midpoint lies, not how it was reached.
#pragma once
#include <cmath>
#include <cstdint>

#include "bodies/host_device.h"

namespace formfield {

struct Stepping {
    double step;  // smallest length of an interval; 0 or less: one interval per voxel
    double cone;  // length per distance
    HOST_DEVICE double length(double t) const { return fmin(fmax(t * cone, step), 1e10); }
    // The first point of the comb of t whose interval has its middle at `target` or behind.
    HOST_DEVICE double skip(double t, double target) const {
        const double h = length(t), n = ceil((target - 0.5 * h - t) / h);
        return n > 0 ? t + n * h : t;
    }
};

struct NestedGrids {
    const bool* occupied;  // [grids, x, y, z]
    const float* boxes;    // [grids, 6]: lower corner, upper corner
    int32_t grids;
    int32_t resolution[3];
};

// One ray; its boxes' crossings sorted by distance: `order` below `grids` is an entry, else an exit. Calls emit(start, end, joined) for
// every interval, joined if it begins where the one before ends. Returns where the walk came to (and how many in `count`).
template <class Emit>
HOST_DEVICE double walk_nested(
    const float* origin, const float* direction, const float* sorted, const int64_t* order, const bool* hits, double near, double far,
    const NestedGrids& grids, const Stepping& stepping, int64_t limit, int64_t& count, Emit&& emit
) {
    const int32_t m = grids.grids;
    double t = near;
    bool joined = false;
    count = 0;
    for (int32_t k = 0; k + 1 < 2 * m; ++k) {
        int64_t level = order[k] % m;
        if (!hits[level]) continue;
        if (order[k] >= m) {  // leaving this box: go on in the one around it, if there is one
            if (order[k + 1] < m) continue;
            level = order[k + 1] % m;
            if (!hits[level]) continue;
        }
        const double from = fmax(double(sorted[k]), near), to = fmin(double(sorted[k + 1]), far);
        if (!(from < to)) continue;
        if (!joined) t = stepping.step <= 0 ? from : stepping.skip(t, from);

        const float* box = grids.boxes + 6 * level;
        const bool* cells = grids.occupied + level * grids.resolution[0] * grids.resolution[1] * grids.resolution[2];
        double exits[3], size[3];
        int32_t cell[3], sign[3];
        const double start = from + 1e-6 * fmax(1.0, fabs(from));
        for (int d = 0; d < 3; ++d) {
            size[d] = (double(box[3 + d]) - box[d]) / grids.resolution[d];
            const double place = (origin[d] + direction[d] * start - box[d]) / size[d];
            cell[d] = int32_t(fmin(fmax(place, 0.0), double(grids.resolution[d] - 1)));
            sign[d] = direction[d] > 0 ? 1 : direction[d] < 0 ? -1 : 0;
        }
        for (;;) {
            int axis = 0;
            for (int d = 0; d < 3; ++d) {
                exits[d] = sign[d] ? (box[d] + (cell[d] + (sign[d] > 0)) * size[d] - origin[d]) / direction[d] : INFINITY;
                if (exits[d] < exits[axis]) axis = d;
            }
            const double end = fmin(exits[axis], to);
            if (!(end < INFINITY)) break;  // no direction at all
            if (!cells[(int64_t(cell[0]) * grids.resolution[1] + cell[1]) * grids.resolution[2] + cell[2]]) {
                t = stepping.step <= 0 ? fmax(t, end) : stepping.skip(t, end);
                joined = false;
            } else {
                while (t < end) {
                    if (limit > 0 && count >= limit) return t;
                    double next = end;
                    if (stepping.step > 0) {
                        const double h = stepping.length(t);
                        if (t + 0.5 * h >= end) break;
                        next = t + h;
                        if (next <= t) break;  // a step below the resolution of the numbers
                    }
                    emit(t, next, joined);
                    ++count;
                    joined = true;
                    t = next;
                }
            }
            if (limit > 0 && count >= limit) return t;
            if (exits[axis] >= to) break;
            cell[axis] += sign[axis];
            if (cell[axis] < 0 || cell[axis] >= grids.resolution[axis]) break;
        }
    }
    return t;
}

// Contractions of space to the unit cube: 0 the region alone, 1 by tanh, 2 by the sphere of mip-NeRF 360 at half size.
HOST_DEVICE bool contract_point(const double* x, const float* region, int kind, double* unit) {
    double z[3], norm = 0;
    for (int d = 0; d < 3; ++d) {
        unit[d] = (x[d] - region[d]) / (double(region[3 + d]) - region[d]);
        if (kind == 0 && !(unit[d] >= 0 && unit[d] <= 1)) return false;
        if (kind == 1) unit[d] = 0.5 * (tanh(unit[d] - 0.5) + 1);
        z[d] = 2 * unit[d] - 1;
        norm += z[d] * z[d];
    }
    if (kind == 2) {
        norm = sqrt(norm);
        const double scale = norm > 1 ? (2 - 1 / norm) / norm : 1;
        for (int d = 0; d < 3; ++d) unit[d] = 0.25 * scale * z[d] + 0.5;
    }
    return true;
}

struct RegionGrid {
    const bool* occupied;  // [x, y, z]
    const float* region;   // [6]
    int32_t resolution[3];
    int kind;
};

// One ray: calls emit(start, end) for every interval of the comb from `near` whose middle lies in an occupied cell, before `far`.
template <class Emit>
HOST_DEVICE int64_t walk_region(
    const float* origin, const float* direction, double near, double far, const RegionGrid& grid, const Stepping& stepping, Emit&& emit
) {
    int64_t count = 0;
    double t = near;
    for (;;) {
        const double h = stepping.length(t), middle = t + 0.5 * h;
        if (!(middle < far) || t + h <= t) return count;
        double x[3], unit[3];
        for (int d = 0; d < 3; ++d) x[d] = origin[d] + double(direction[d]) * middle;
        int32_t cell[3] = {0, 0, 0};
        const bool inside = contract_point(x, grid.region, grid.kind, unit);
        for (int d = 0; inside && d < 3; ++d) cell[d] = int32_t(fmin(fmax(unit[d] * grid.resolution[d], 0.0), grid.resolution[d] - 1.0));
        if (inside && grid.occupied[(int64_t(cell[0]) * grid.resolution[1] + cell[1]) * grid.resolution[2] + cell[2]]) {
            emit(t, t + h);
            ++count;
            t += h;
            continue;
        }
        double target = t + h;  // where the next middle may lie: behind the cell, or where the ray enters the region
        if (grid.kind == 0) {
            double leave = INFINITY, enter = -INFINITY;
            bool missed = false;
            for (int d = 0; d < 3; ++d) {
                const double low = grid.region[d], high = grid.region[3 + d], size = (high - low) / grid.resolution[d];
                if (direction[d] == 0) {
                    missed |= x[d] < low || x[d] > high;
                    continue;
                }
                if (inside) {
                    leave = fmin(leave, (low + (cell[d] + (direction[d] > 0)) * size - origin[d]) / direction[d]);
                } else {
                    const double a = (low - origin[d]) / direction[d], b = (high - origin[d]) / direction[d];
                    enter = fmax(enter, fmin(a, b));
                    leave = fmin(leave, fmax(a, b));
                }
            }
            if (!inside) {
                if (missed || leave <= middle || enter > leave) return count;
                leave = enter;
            }
            target = fmin(leave, far);
        }
        const double next = grid.kind == 0 ? stepping.skip(t, target) : t + h;
        t = next > t ? next : t + h;
    }
}

}  // namespace formfield
