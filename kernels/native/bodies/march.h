// One ray through the occupancy bitfield.
//
// The samples are the points t(k), k = 0, 1, ..., of a fixed lattice whose cells are occupied. Looking up every one of them would
// define the result; this walks from block to block instead (1, 2, 4 or 8 cells wide, uniformly empty or full in the bitfield) and takes
// or skips all lattice points in a block at once. To give exactly the same samples, the block is shrunk by more than what rounding can move
// a point: points in the remaining margin are looked up one by one.
#pragma once
#include "bodies/scalar.h"

namespace formfield {

constexpr double PARALLEL = 1e-12;  // direction components below this count as parallel to the axis planes

struct OccupancyBits {
    const uint8_t* bits;  // [cascades, resolution^3 / 8], Morton order, 8-byte aligned
    int32_t resolution, cascades;
};

HOST_DEVICE uint32_t spread_bits(uint32_t v) {
    v = (v | (v << 16)) & 0x030000FFu;
    v = (v | (v << 8)) & 0x0300F00Fu;
    v = (v | (v << 4)) & 0x030C30C3u;
    return (v | (v << 2)) & 0x09249249u;
}
HOST_DEVICE uint32_t morton(uint32_t x, uint32_t y, uint32_t z) { return spread_bits(x) | spread_bits(y) << 1 | spread_bits(z) << 2; }

// Distance as a function of the lattice index. Constant steps, or (cone) a line, an exponential and a line; see kernels/backends/reference/march.py.
template <class T>
struct RayLattice;

template <class T>
struct Lattice {
    using Ray = RayLattice<T>;
    T step;
    bool cone;
    double first, max_step, rate, t_a, t_b, n_a, n_b;

    HOST_DEVICE double coordinate(double t) const {
        if (t <= t_a) return (t - t_a) / first + n_a;
        if (t <= t_b) return log(t) / rate;
        return (t - t_b) / max_step + n_b;
    }
    HOST_DEVICE double distance(double n) const {
        if (n <= n_a) return (n - n_a) * first + t_a;
        if (n <= n_b) return exp(n * rate);
        return (n - n_b) * max_step + t_b;
    }
};

template <class T>
struct RayLattice {
    const Lattice<T>& lattice;
    T start, jitter, inverse_step;
    double origin;  // lattice coordinate of start, with a cone

    HOST_DEVICE RayLattice(const Lattice<T>& l, T t0, T j)
        : lattice(l), start(t0), jitter(j), inverse_step(1 / l.step), origin(l.cone ? l.coordinate(t0) : 0.0) {}
    HOST_DEVICE T t(int32_t k) const {
        if (lattice.cone) return T(lattice.distance(origin + double(T(k) + jitter)));
        return multiply_then_add(T(k) + jitter, lattice.step, start);
    }
    HOST_DEVICE T dt(int32_t k) const {
        if (!lattice.cone) return lattice.step;
        const double n = origin + double(T(k) + jitter);
        return T(lattice.distance(n + 0.5) - lattice.distance(n - 0.5));
    }
    // First index from `after` on, or an earlier one, whose t is not below `exit`: all between lie strictly before it.
    HOST_DEVICE int32_t first_not_before(T exit, int32_t after) const {
        T n = lattice.cone ? T(lattice.coordinate(double(exit)) - origin) : (exit - start) * inverse_step;
        n -= jitter;
        if (!(n > T(after))) return after;
        int32_t k = n < T(2e9) ? int32_t(n) + 1 : 2000000000;
        while (k > after && !(t(k - 1) < exit)) --k;
        return k;
    }
};

template <class T>
struct RayClip {
    T start, stop;
};

template <class T>
HOST_DEVICE RayClip<T> clip_to_cube(const T* o, const T* d, T near, T far, T half) {
    RayClip<T> c{near, far};
    for (int a = 0; a < 3; ++a) {
        if (fabs(d[a]) < T(PARALLEL)) {
            if (fabs(o[a]) > half) c.stop = c.start;
            continue;
        }
        const T t1 = (-half - o[a]) / d[a], t2 = (half - o[a]) / d[a];
        c.start = larger(c.start, smaller(t1, t2));
        c.stop = smaller(c.stop, larger(t1, t2));
    }
    return c;
}

// Width of the largest uniform block around a cell that the bitfield shows cheaply, and whether it is occupied.
struct Block {
    int32_t width;
    bool occupied;
};

HOST_DEVICE Block block_at(const OccupancyBits& grid, int32_t cascade, uint32_t cell, int32_t widest) {
    const int64_t bytes = int64_t(grid.resolution) * grid.resolution * grid.resolution / 8;
    const uint8_t* bits = grid.bits + cascade * bytes;
    const uint64_t* words = reinterpret_cast<const uint64_t*>(bits);
    const uint64_t word = words[cell >> 6];
    if (word == 0 && widest >= 4) {
        if (widest < 8) return {4, false};
        uint64_t any = 0;
        const uint64_t* line = words + (cell >> 9) * 8;
        for (int i = 0; i < 8; ++i) any |= line[i];
        return {any ? 4 : 8, false};
    }
    if (word == ~uint64_t(0) && widest >= 4) return {4, true};
    const uint8_t byte = bits[cell >> 3];
    if (byte == 0) return {2, false};
    if (byte == 0xFF) return {2, true};
    return {1, (byte >> (cell & 7) & 1) != 0};
}

// Calls emit(i, ray, k) for sample i = 0, 1, ... < max_samples, which is lattice point k, from point `k` on; returns how many there are.
// `k` is then the point to go on from. Way: Lattice<T>, or another one (bodies/lattices.h).
template <class T, class Way, class Emit>
HOST_DEVICE int32_t march_ray_from(
    const T* o, const T* d, T near, T far, T jitter, const OccupancyBits& grid, const Way& lattice, int32_t max_samples, int32_t& k,
    Emit&& emit
) {
    const T half = T(int64_t(1) << (grid.cascades - 1));
    const RayClip<T> clip = clip_to_cube(o, d, near, far, half);
    if (!(clip.start < clip.stop)) return 0;
    const typename Way::Ray ray(lattice, clip.start, jitter);

    const T largest_origin = larger(fabs(o[0]), larger(fabs(o[1]), fabs(o[2])));
    const T unit = sizeof(T) == 4 ? T(5.9604645e-8) : T(1.1102230246251565e-16);
    const T margin = 16 * unit * (largest_origin + fabs(clip.stop) + half);  // rounding moves a point by less
    T inverse[3];
    for (int a = 0; a < 3; ++a) inverse[a] = fabs(d[a]) < T(PARALLEL) ? T(0) : 1 / d[a];
    // With several cascades a block must not reach over the border to the next finer one.
    const int32_t widest = grid.cascades == 1 ? 8 : grid.resolution / 4;
    const T middle = T(grid.resolution / 2);

    int32_t n = 0;
    for (;;) {
        const T t = ray.t(k);
        if (!(t < clip.stop)) return n;
        T p[3];
        for (int a = 0; a < 3; ++a) p[a] = multiply_then_add(t, d[a], o[a]);
        const T reach = larger(fabs(p[0]), larger(fabs(p[1]), fabs(p[2])));
        int32_t cascade = 0;
        T size = 1;  // half side of the cascade
        while (cascade < grid.cascades - 1 && reach >= size) ++cascade, size *= 2;
        const T cells_per_unit = middle / size;  // a power of two: exact
        int32_t cell[3];
        for (int a = 0; a < 3; ++a) {
            const int32_t c = int32_t(p[a] * cells_per_unit + middle);  // truncation: what floor makes negative is clamped to 0 all the same
            cell[a] = c < 0 ? 0 : (c >= grid.resolution ? grid.resolution - 1 : c);
        }
        const Block block = block_at(grid, cascade, morton(cell[0], cell[1], cell[2]), widest);
        T exit = clip.stop;
        for (int a = 0; a < 3; ++a) {
            if (inverse[a] == 0) continue;
            const int32_t low = cell[a] & -block.width;
            const T face = (T(inverse[a] > 0 ? low + block.width : low) - middle) * (size / middle);
            exit = smaller(exit, ((inverse[a] > 0 ? face - margin : face + margin) - o[a]) * inverse[a]);
        }
        const int32_t next = ray.first_not_before(exit, k + 1);
        if (block.occupied) {
            while (k < next) {
                emit(n, ray, k++);
                if (++n == max_samples) return n;
            }
        }
        k = next;
    }
}

template <class T, class Way, class Emit>
HOST_DEVICE int32_t march_ray(
    const T* o, const T* d, T near, T far, T jitter, const OccupancyBits& grid, const Way& lattice, int32_t max_samples, Emit&& emit
) {
    int32_t k = 0;
    return march_ray_from(o, d, near, far, jitter, grid, lattice, max_samples, k, emit);
}

}  // namespace formfield
