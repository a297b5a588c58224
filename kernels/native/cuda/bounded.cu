// bounded_samples with a hash grid's distance: one thread per ray (the walk of bodies/bounded.h), whose intervals lie in shared memory. All
// rays of a warp go on until each of them is through or waits for a distance; then those that wait evaluate the field together.
//
// The field: LEVELS, FEATURES and SMOOTH of its grid, ROW (3 if the network sees the point, else 0), one or two hidden layers of HIDDEN and
// SECOND (or 0) units, BIAS, ACTIVATION, OUTPUT_ACTIVATION, BETA. Its weights come in the order in which they are read, see
// backends/cuda/bounded.py. CAP: samples of a ray that the first pass keeps for the second.
#include "cuda/lanes.h"

#include "bodies/bounded.h"
#include "bodies/hash_grid.h"
#include "bodies/lattices.h"
#include "bodies/mlp.h"

namespace formfield {

constexpr int INPUTS = ROW + LEVELS * FEATURES;
HOST_DEVICE constexpr int padded(int n) { return (n + 3) / 4 * 4; }

struct Field {
    const REAL *table, *weights;
    const GridLevel* levels;
    int active;
};

DEVICE REAL activated(int activation, REAL z) {
    REAL value, first, second;
    activate(activation, REAL(BETA), z, &value, &first, &second);
    return value;
}
// z += v times a row of HIDDEN weights, four at a time
DEVICE void add_row(REAL (&z)[padded(HIDDEN)], REAL v, const REAL* row) {
    UNROLLED
    for (int q = 0; q < padded(HIDDEN) / 4; ++q) {
        const Entry<REAL, 4> w = reinterpret_cast<const Entry<REAL, 4>*>(row)[q];
        for (int j = 0; j < 4; ++j) z[4 * q + j] += v * w[j];
    }
}
DEVICE REAL dot_row(const REAL (&h)[padded(HIDDEN)], const REAL* row) {
    REAL sum = 0;
    UNROLLED
    for (int q = 0; q < padded(HIDDEN) / 4; ++q) {
        const Entry<REAL, 4> w = reinterpret_cast<const Entry<REAL, 4>*>(row)[q];
        for (int j = 0; j < 4; ++j) sum += h[4 * q + j] * w[j];
    }
    return sum;
}

// Output 0 at a point of [0, 1]^3. Weights: biases, a row per input; then with SECOND per unit of it a row, its bias, and what it counts in
// the output, else a row; the output's bias. Everything in pieces of four.
DEVICE REAL distance_at(const Field& field, const REAL* x) {
    REAL z[padded(HIDDEN)];
    const REAL* at = field.weights;
    for (int j = 0; j < padded(HIDDEN); ++j) z[j] = at[j];
    at += padded(HIDDEN);
    for (int d = 0; d < ROW; ++d) add_row(z, 2 * x[d] - 1, at + d * padded(HIDDEN));
    at += ROW * padded(HIDDEN);
    ONE_BY_ONE
    for (int l = 0; l < field.active; ++l) {
        Entry<REAL, FEATURES> y;
        const GridLevel level = field.levels[l];
        encode_level<REAL, 3, FEATURES>(x, nullptr, field.table, FEATURES, level, SMOOTH, y.v, nullptr);
        for (int f = 0; f < FEATURES; ++f) add_row(z, y[f], at + (l * FEATURES + f) * padded(HIDDEN));
    }
    at += LEVELS * FEATURES * padded(HIDDEN);
    UNROLLED
    for (int j = 0; j < padded(HIDDEN); ++j) z[j] = activated(ACTIVATION, z[j]);
    REAL out = 0;
    if (SECOND == 0) {
        out = dot_row(z, at);
        at += padded(HIDDEN);
    } else {
        ONE_BY_ONE
        for (int k = 0; k < SECOND; ++k, at += padded(HIDDEN) + 4)
            out += at[padded(HIDDEN) + 1] * activated(ACTIVATION, dot_row(z, at) + at[padded(HIDDEN)]);
    }
    return activated(OUTPUT_ACTIVATION, out + at[0]);
}

struct Way {
    const REAL *origin, *direction;
    REAL near, far, jitter;
    OccupancyBits grid;
    EvenLattice<REAL> lattice;
    int32_t next;  // lattice point to go on from
};
struct TakeOne {
    REAL &t, &dt;
    template <class Ray>
    HOST_DEVICE void operator()(int32_t, const Ray& ray, int32_t k) const {
        t = ray.t(k);
        dt = ray.dt(k);
    }
};

struct Walked {
    int32_t queries;
    bool met;
};

// All lanes of a warp; those that are not `there` only help. keep(t, dt) gets the samples, front to back.
template <class Keep>
DEVICE Walked walk(bool there, Way& way, const BoundRule<REAL>& rule, const Field& field, Keep& keep) {
    SHARED BoundedRay<REAL> rays[128];
    BoundedRay<REAL>& ray = rays[thread_of()];
    Walked result = {0, true};
    bool going = there;
    if (there) ray.begin();
    for (;;) {
        bool asking = false;
        while (going && !asking) {
            const Asks asks = advance(ray, rule, keep);
            if (asks == Asks::distance) {
                asking = true;
            } else if (asks == Asks::nothing) {
                going = false;
            } else {
                REAL t = 0, dt = 0;
                const TakeOne take = {t, dt};
                const int32_t given = march_ray_from(
                    way.origin, way.direction, way.near, way.far, way.jitter, way.grid, way.lattice, 1, way.next, take
                );
                if (given == 0)
                    going = false;
                else
                    ray.push(t, dt);
            }
        }
        if (!any_lane(asking)) break;
        if (asking) {
            const REAL t = ray.stack[ray.intervals - 1].t;
            REAL x[3];
            for (int a = 0; a < 3; ++a)
                x[a] = multiply_then_add(multiply_then_add(t, way.direction[a], way.origin[a]), REAL(0.5), REAL(0.5));
            ray.answer(distance_at(field, x));
            ++result.queries;
        }
    }
    if (there) result.met = ray.met;
    return result;
}

struct Counted {  // the first CAP of them are kept
    REAL* scratch;
    int32_t count;
    HOST_DEVICE void operator()(REAL t, REAL dt) {
        if (count < CAP) scratch[2 * count] = t, scratch[2 * count + 1] = dt;
        ++count;
    }
};
struct Written {
    REAL *t, *dt;
    HOST_DEVICE void operator()(REAL at, REAL length) { *t++ = at, *dt++ = length; }
};

#define SETTING                                                                                                                        \
    int64_t n, const REAL *origins, const REAL *directions, const REAL *near, const REAL *far, const REAL *jitter, const uint8_t *bits, \
        int64_t resolution, int64_t cascades, double step, double beta, double slope, double epsilon, double visible, double faint,     \
        int64_t cuts, const REAL *table, const REAL *weights, const GridLevel *levels, int64_t active
#define SET                                                                                                                           \
    const int64_t r = thread_x(), at = r < n ? r : n - 1;                                                                             \
    const BoundRule<REAL> rule = {REAL(beta), REAL(slope), REAL(epsilon), REAL(visible), REAL(faint), int32_t(cuts)};                  \
    const Field field = {table, weights, levels, int(active)};                                                                        \
    Way way = {origins + 3 * at, directions + 3 * at, near[at], far[at], jitter[at], {bits, int32_t(resolution), int32_t(cascades)}, \
               {REAL(step)}, 0};

// scratch [n, CAP, 2], counts, queries [n], met [n]
KERNEL bounded_count(SETTING, REAL* scratch, int32_t* counts, int32_t* queries, uint8_t* met) {
    SET
    Counted keep = {scratch + 2 * CAP * at, 0};
    const Walked walked = walk(r < n, way, rule, field, keep);
    if (r >= n) return;
    counts[r] = keep.count;
    queries[r] = walked.queries;
    met[r] = walked.met;
}

// Rays with more than CAP samples are walked along once more.
KERNEL bounded_fill(SETTING, const REAL* scratch, const int64_t* offsets, int32_t* rays, REAL* t, REAL* dt) {
    SET
    const int64_t first = offsets[at], count = r < n ? offsets[at + 1] - first : 0;
    for (int64_t k = 0; k < count; ++k) {
        rays[first + k] = int32_t(r);
        if (count > CAP) continue;
        t[first + k] = scratch[2 * (CAP * at + k)];
        dt[first + k] = scratch[2 * (CAP * at + k) + 1];
    }
    if (!any_lane(count > CAP)) return;
    Written keep = {t + first, dt + first};
    walk(count > CAP, way, rule, field, keep);
}

}  // namespace formfield
