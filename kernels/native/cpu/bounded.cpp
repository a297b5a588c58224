// bounded_samples: every worker has some rays under way. In turn each of them goes on until it needs a distance, then the field is asked for
// all of these distances at once. Compiled with -ffp-contract=off as march.cpp is: the same lattice points.
#include "bodies/bounded.h"

#include <nanobind/nanobind.h>
#include <memory>
#include <stdexcept>

#include "bodies/march.h"
#include "cpu/arrays.h"
#include "cpu/bindings.h"
#include "cpu/groups.h"
#include "cpu/lattice.h"

namespace formfield {
namespace {

constexpr int64_t RAYS_PER_TASK = 512;
constexpr int32_t MARCH_AHEAD = 8;  // intervals that the march gives at a time

template <class T>
struct Setting {
    const T *origins, *directions, *near, *far, *jitter;
    int64_t rays;
    OccupancyBits grid;
    Lattice<T> lattice;
    BoundRule<T> rule;
};

template <class T>
struct Kept {
    T t, dt;
};

// A ray under way: the march's next intervals, and what was kept.
template <class T>
struct Walk {
    BoundedRay<T> ray;
    T t[MARCH_AHEAD], dt[MARCH_AHEAD];
    int32_t given, taken, next;  // of those; the lattice point to march on from
    std::vector<Kept<T>> kept;
};

// The rays of one task, from beginning to end.
template <class T>
struct Batch {
    const Setting<T>& setting;
    std::vector<Walk<T>> walks;
    std::vector<int32_t> asking, still;  // walks that wait for a distance
    int64_t first = 0;

    Batch(const Setting<T>& s, int64_t size) : setting(s), walks(size_t(size)) {
        asking.reserve(size_t(size));
        still.reserve(size_t(size));
    }
    Batch(const Batch&) = delete;

    void begin(int64_t begin, int64_t end) {
        first = begin;
        asking.clear();
        for (int64_t r = begin; r < end; ++r) {
            Walk<T>& w = walks[size_t(r - begin)];
            w.ray.begin();
            w.given = w.taken = w.next = 0;
            w.kept.clear();
            if (go_on(r - begin)) asking.push_back(int32_t(r - begin));
        }
    }

    // Whether the walk then waits for a distance.
    bool go_on(int64_t i) {
        Walk<T>& w = walks[size_t(i)];
        const int64_t r = first + i;
        for (;;) {
            const Asks asks = advance(w.ray, setting.rule, [&](T t, T dt) { w.kept.push_back({t, dt}); });
            if (asks != Asks::interval) return asks == Asks::distance;
            if (w.taken == w.given) {
                w.taken = 0;
                w.given = march_ray_from(
                    setting.origins + 3 * r, setting.directions + 3 * r, setting.near[r], setting.far[r], setting.jitter[r], setting.grid,
                    setting.lattice, MARCH_AHEAD, w.next, [&](int32_t n, const RayLattice<T>& ray, int32_t k) {
                        w.t[n] = ray.t(k);
                        w.dt[n] = ray.dt(k);
                    }
                );
                if (w.given == 0) return false;
            }
            w.ray.push(w.t[w.taken], w.dt[w.taken]);
            ++w.taken;
        }
    }

    // Points that are asked for, times `scale` plus `shift`. [asking, 3]
    void points(T* to, T scale, T shift) const {
        for (int32_t i : asking) {
            const Walk<T>& w = walks[size_t(i)];
            const T t = w.ray.stack[w.ray.intervals - 1].t;
            for (int a = 0; a < 3; ++a) {
                const int64_t at = 3 * (first + i) + a;
                *to++ = multiply_then_add(multiply_then_add(t, setting.directions[at], setting.origins[at]), scale, shift);
            }
        }
    }

    void answer(const T* sdf) {
        still.clear();
        for (int32_t i : asking) {
            walks[size_t(i)].ray.answer(*sdf++);
            if (go_on(i)) still.push_back(i);
        }
        asking.swap(still);
    }
};

// What one task found.
template <class T>
struct Found {
    std::vector<Kept<T>> kept;
    int64_t queries = 0;
};

template <class T>
struct Result {
    std::vector<int64_t> offsets;
    std::vector<uint8_t> met;
    std::vector<Found<T>> found;  // per task
    int64_t queries = 0;

    Result(int64_t rays, int64_t tasks) : offsets(size_t(rays + 1), 0), met(size_t(rays), 1), found(size_t(tasks)) {}

    void collect(const Batch<T>& batch, int64_t begin, int64_t end, Found<T>& to) {
        for (int64_t r = begin; r < end; ++r) {
            const Walk<T>& w = batch.walks[size_t(r - begin)];
            offsets[size_t(r + 1)] = int64_t(w.kept.size());
            met[size_t(r)] = w.ray.met;
            to.kept.insert(to.kept.end(), w.kept.begin(), w.kept.end());
        }
    }
    void finish() {
        for (size_t r = 1; r < offsets.size(); ++r) offsets[r] += offsets[r - 1];
        for (const Found<T>& f : found) queries += f.queries;
    }
    int64_t samples() const { return offsets.back(); }

    void write(Array<int64_t> to_offsets, Array<int32_t> to_rays, Array<T> to_t, Array<T> to_dt, Array<bool> to_met) const {
        std::copy(offsets.begin(), offsets.end(), to_offsets.data());
        std::copy(met.begin(), met.end(), to_met.data());
        int32_t* rays = to_rays.data();
        for (size_t r = 0; r + 1 < offsets.size(); ++r) std::fill(rays + offsets[r], rays + offsets[r + 1], int32_t(r));
        int64_t at = 0;
        for (const Found<T>& f : found)
            for (const Kept<T>& k : f.kept) to_t.data()[at] = k.t, to_dt.data()[at] = k.dt, ++at;
    }
};

// The hash grid's distance for one worker: no threads of its own.
struct Distance {
    GroupEncoder encoder;
    GroupNetwork network;
    Floats x, y, out;
    const float* table;

    Distance(const Grid& grid, const Network& net, const float* params, const float* table, bool include_input, int active, int64_t tiles)
        : encoder(grid, active, include_input ? grid.dims : 0, net.widths[0], 1, tiles, false), network(net, params, 1, tiles, false),
          x(tiles * TILE * 3), y(tiles * net.widths[0] * TILE), out(tiles * TILE), table(table) {}

    const float* operator()(int64_t n) {
        const Group group{0, (n + TILE - 1) / TILE};
        encoder.read(x, nullptr, group, n);
        encoder.encode(table, y, nullptr, group.tiles);
        network.forward(y, nullptr, out, nullptr, group, n);
        return out;
    }
};

// The network with output 0 alone.
struct FirstOutput {
    Network net;
    std::vector<float> params;

    FirstOutput(const Network& whole, const float* from) : net(whole) {
        int64_t before = 0;
        for (int i = 0; i + 1 < whole.layers; ++i) before += int64_t(whole.widths[i] + (whole.bias ? 1 : 0)) * whole.widths[i + 1];
        const int last = whole.widths[whole.layers - 1], outputs = whole.widths[whole.layers];
        net.widths[whole.layers] = 1;
        params.assign(from, from + before + last);
        if (whole.bias) params.push_back(from[before + int64_t(last) * outputs]);
    }
};

template <class T>
Setting<T> make_setting(
    const Array<const T>& origins, const Array<const T>& directions, const Array<const T>& near, const Array<const T>& far,
    const Array<const T>& jitter, const Array<const uint8_t>& bitfield, int resolution, double step, double beta, double slope,
    double epsilon, double visible, double faint, int cuts
) {
    if (cuts < 0 || cuts > MAX_CUTS) throw std::invalid_argument("an interval can be cut 0 to 8 times");
    return {origins.data(), directions.data(), near.data(), far.data(), jitter.data(), int64_t(near.shape(0)),
            OccupancyBits{bitfield.data(), resolution, int32_t(bitfield.shape(0))}, make_lattice<T>(step, 0.0, step),
            BoundRule<T>{T(beta), T(slope), T(epsilon), T(visible), T(faint), int32_t(cuts)}};
}

Result<float>* sample(
    Array<const float> origins, Array<const float> directions, Array<const float> near, Array<const float> far, Array<const float> jitter,
    Array<const uint8_t> bitfield, int resolution, double step, double beta, double slope, double epsilon, double visible, double faint,
    int cuts, Array<const float> table, Array<const float> params, const Grid& grid, const Network& net, bool include_input, int active,
    int threads
) {
    const Setting<float> setting = make_setting<float>(
        origins, directions, near, far, jitter, bitfield, resolution, step, beta, slope, epsilon, visible, faint, cuts
    );
    const float* entries = table.data();
    const FirstOutput first(net, params.data());
    nb::gil_scoped_release release;
    const int64_t tasks = (setting.rays + RAYS_PER_TASK - 1) / RAYS_PER_TASK;
    auto* result = new Result<float>(setting.rays, tasks);
    const int workers = int(std::max<int64_t>(1, std::min<int64_t>(threads, tasks)));
    std::vector<std::unique_ptr<Batch<float>>> batches;
    std::vector<std::unique_ptr<Distance>> distances;
    const int64_t tiles = (RAYS_PER_TASK + TILE - 1) / TILE;
    for (int w = 0; w < workers; ++w) {
        batches.push_back(std::make_unique<Batch<float>>(setting, RAYS_PER_TASK));
        distances.push_back(std::make_unique<Distance>(grid, first.net, first.params.data(), entries, include_input, active, tiles));
    }
    parallel_tasks(workers, tasks, [&](int64_t task, int worker) {
        const int64_t begin = task * RAYS_PER_TASK, end = std::min(setting.rays, begin + RAYS_PER_TASK);
        Batch<float>& batch = *batches[size_t(worker)];
        Distance& distance = *distances[size_t(worker)];
        Found<float>& found = result->found[size_t(task)];
        batch.begin(begin, end);
        while (!batch.asking.empty()) {
            const int64_t n = int64_t(batch.asking.size());
            batch.points(distance.x, 0.5f, 0.5f);
            found.queries += n;
            batch.answer(distance(n));
        }
        result->collect(batch, begin, end, found);
    });
    result->finish();
    return result;
}

// The same with somebody else's field: points() and answer() in turn until no more points are asked for.
template <class T>
struct Walker {
    Setting<T> setting;
    Batch<T> batch;
    Result<T> result;

    explicit Walker(const Setting<T>& s) : setting(s), batch(setting, s.rays), result(s.rays, 1) { batch.begin(0, s.rays); }
    Walker(const Walker&) = delete;

    int64_t asked() const { return int64_t(batch.asking.size()); }
    void points(Array<T> to) const { batch.points(to.data(), T(1), T(0)); }
    void answer(Array<const T> sdf) {
        result.found[0].queries += asked();
        batch.answer(sdf.data());
    }
    Result<T>& finish() {
        result.collect(batch, 0, setting.rays, result.found[0]);
        result.finish();
        return result;
    }
};

template <class T>
Walker<T>* walk(
    Array<const T> origins, Array<const T> directions, Array<const T> near, Array<const T> far, Array<const T> jitter,
    Array<const uint8_t> bitfield, int resolution, double step, double beta, double slope, double epsilon, double visible, double faint,
    int cuts
) {
    return new Walker<T>(
        make_setting<T>(origins, directions, near, far, jitter, bitfield, resolution, step, beta, slope, epsilon, visible, faint, cuts)
    );
}

template <class T>
void define(nb::module_& m, const char* result_name, const char* walker_name) {
    nb::class_<Result<T>>(m, result_name, "Samples that bounded_samples found.")
        .def("samples", &Result<T>::samples)
        .def("queries", [](const Result<T>& r) { return r.queries; })
        .def("write", &Result<T>::write, "offsets"_a, "ray_indices"_a, "t"_a, "dt"_a, "met"_a);
    nb::class_<Walker<T>>(m, walker_name, "bounded_samples with a field of the caller's: points() and answer() as long as something is asked.")
        .def("asked", &Walker<T>::asked)
        .def("points", &Walker<T>::points, "points"_a)
        .def("answer", &Walker<T>::answer, "sdf"_a)
        .def("finish", [](Walker<T>& w) -> Result<T>& { return w.finish(); }, nb::rv_policy::reference_internal);
}

const Bindings bindings([](nb::module_& m) {
    define<float>(m, "BoundedResult", "BoundedWalker");
    define<double>(m, "BoundedResultDouble", "BoundedWalkerDouble");
    m.def(
        "bounded_samples", &sample, "origins"_a, "directions"_a, "near"_a, "far"_a, "jitter"_a, "bitfield"_a, "resolution"_a, "step"_a,
        "beta"_a, "slope"_a, "epsilon"_a, "visible"_a, "faint"_a, "cuts"_a, "table"_a, "params"_a, "grid"_a, "mlp"_a, "include_input"_a,
        "active_levels"_a, "threads"_a, "kernels/native/cpu/bounded.cpp"
    );
    // the walker reads the rays and the grid for as long as it lives
    both(
        m, "bounded_walker", &walk<double>, &walk<float>, nb::keep_alive<0, 1>(), nb::keep_alive<0, 2>(), nb::keep_alive<0, 3>(),
        nb::keep_alive<0, 4>(), nb::keep_alive<0, 5>(), nb::keep_alive<0, 6>(), "origins"_a, "directions"_a, "near"_a, "far"_a, "jitter"_a,
        "bitfield"_a, "resolution"_a, "step"_a, "beta"_a, "slope"_a, "epsilon"_a, "visible"_a, "faint"_a, "cuts"_a,
        "kernels/native/cpu/bounded.cpp"
    );
});

}  // namespace
}  // namespace formfield
