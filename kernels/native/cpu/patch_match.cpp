// patch_match and patch_costs: rows of one colour are independent, so the result does not depend on the number of threads.
#include <nanobind/nanobind.h>
#include <nanobind/stl/vector.h>

#include <vector>

#include "cpu/arrays.h"
#include "cpu/bindings.h"
#include "cpu/isa.h"
#include "cpu/parallel.h"
#include "cpu/patch_match_simd.h"

namespace formfield {
namespace {

constexpr int64_t ROWS = 4;  // of the picture to a task

const PatchMatchSimd& patch_match_simd() {
    switch (isa()) {
#if defined(FORMFIELD_HAVE_avx512)
        case Isa::avx512: return isa_avx512::patch_match_simd;
#endif
#if defined(FORMFIELD_HAVE_avx2)
        case Isa::avx2: return isa_avx2::patch_match_simd;
#endif
        default: return isa_baseline::patch_match_simd;
    }
}

using Bytes = Array<const uint8_t>;
using Floats = Array<const float>;

// The reference and its sources, with what they need for as long as the job lasts.
struct Prepared {
    PatchJob job;
    std::vector<PatchSource> sources;
    std::vector<std::vector<uint32_t>> quads;
};

std::vector<uint32_t> pack_quads(const uint8_t* grey, int height, int width) {
    std::vector<uint32_t> quads(size_t(height) * width);
    for (int y = 0; y < height; ++y) {
        const uint8_t *row = grey + int64_t(y) * width, *below = y + 1 < height ? row + width : row;
        uint32_t* out = quads.data() + int64_t(y) * width;
        for (int x = 0; x < width; ++x) {
            const int right = x + 1 < width ? x + 1 : x;
            out[x] = uint32_t(row[x]) | uint32_t(row[right]) << 8 | uint32_t(below[x]) << 16 | uint32_t(below[right]) << 24;
        }
    }
    return quads;
}

// camera: fx, fy, cx, cy of the reference. geometry [sources][15]: A, b and centre of PatchSource.
Prepared prepare(const Bytes& grey, const MaybeArray<const uint8_t>& mask, const std::vector<double>& camera, const std::vector<Bytes>& sources,
                 const std::vector<Bytes>& masks, const std::vector<Floats>& depths, const Array<const double>& geometry, double geometric,
                 double variance) {
    Prepared p;
    PatchJob& job = p.job;
    job = {};
    job.grey = grey.data();
    job.mask = data_or_null(mask);
    job.height = int32_t(grey.shape(0)), job.width = int32_t(grey.shape(1));
    job.fx = float(camera[0]), job.fy = float(camera[1]), job.cx = float(camera[2]), job.cy = float(camera[3]);
    job.count = int32_t(sources.size());
    p.sources.resize(sources.size());
    job.sources = p.sources.data();
    job.geometric = float(geometric);
    job.variance = float(variance);
    for (int i = 0; i < job.count; ++i) {
        PatchSource& s = p.sources[size_t(i)];
        s.height = int32_t(sources[i].shape(0)), s.width = int32_t(sources[i].shape(1));
        p.quads.push_back(pack_quads(sources[i].data(), s.height, s.width));
        s.quads = p.quads.back().data();
        s.mask = masks.empty() ? nullptr : masks[i].data();
        s.depth = depths.empty() ? nullptr : depths[i].data();
        const double* g = geometry.data() + 15 * i;
        for (int k = 0; k < 9; ++k) s.a[k] = float(g[k]);
        for (int k = 0; k < 3; ++k) s.b[k] = float(g[9 + k]), s.center[k] = float(g[12 + k]);
    }
    return p;
}

// f(columns, count, y) for the pixels of each row that `wanted(x, y)`.
template <class Wanted, class F>
void each_row(const PatchJob& job, int threads, Wanted&& wanted, F&& f) {
    std::vector<int32_t> columns(size_t(job.width) * size_t(std::max(threads, 1)));
    parallel_tasks(threads, (job.height + ROWS - 1) / ROWS, [&](int64_t task, int worker) {
        int32_t* x = columns.data() + int64_t(job.width) * worker;
        const int end = int(std::min<int64_t>(job.height, (task + 1) * ROWS));
        for (int y = int(task * ROWS); y < end; ++y) {
            int n = 0;
            for (int32_t column = 0; column < job.width; ++column)
                if (wanted(column, y)) x[n++] = column;
            if (n) f(x, n, y);
        }
    });
}

// planes [H][W][4] and costs [H][W] are overwritten; planes with z = 0 are drawn.
void match(Bytes grey, MaybeArray<const uint8_t> mask, std::vector<double> camera, std::vector<Bytes> sources, std::vector<Bytes> masks,
           std::vector<Floats> depths, Array<const double> geometry, double geometric, double variance, double nearest, double farthest,
           int best, int iterations, double perturbation, std::vector<uint32_t> seeds, Array<float> planes, Array<float> costs, int threads) {
    Prepared p = prepare(grey, mask, camera, sources, masks, depths, geometry, geometric, variance);
    PatchJob& job = p.job;
    job.nearest = float(nearest), job.farthest = float(farthest);
    job.best = std::min(best, job.count);
    job.planes = planes.data(), job.costs = costs.data();
    nb::gil_scoped_release release;
    const PatchMatchSimd& simd = patch_match_simd();
    job.seed = seeds[0];
    each_row(job, threads, [](int, int) { return true; }, [&](const int32_t* x, int n, int y) { simd.start(job, x, n, y); });
    for (int i = 0; i < iterations; ++i) {
        job.seed = seeds[size_t(i) + 1];
        job.perturbation = float(perturbation / double(1 << std::min(i, 20)));
        for (int colour = 0; colour < 2; ++colour)
            each_row(
                job, threads,
                [&](int x, int y) { return ((x + y) & 1) == colour && job.planes[(int64_t(y) * job.width + x) * 4] > 0; },
                [&](const int32_t* x, int n, int y) { simd.update(job, x, n, y); }
            );
    }
}

void cost_of_planes(Bytes grey, MaybeArray<const uint8_t> mask, std::vector<double> camera, std::vector<Bytes> sources,
                    std::vector<Bytes> masks, std::vector<Floats> depths, Array<const double> geometry, double geometric, double variance,
                    Array<const float> planes, Array<float> costs, int threads) {
    Prepared p = prepare(grey, mask, camera, sources, masks, depths, geometry, geometric, variance);
    PatchJob& job = p.job;
    job.planes = const_cast<float*>(planes.data());  // read only by this pass
    float* out = costs.data();
    const int64_t stride = int64_t(job.height) * job.width;
    nb::gil_scoped_release release;
    const PatchMatchSimd& simd = patch_match_simd();
    each_row(job, threads, [](int, int) { return true; }, [&](const int32_t* x, int n, int y) { simd.costs(job, x, n, y, out, stride); });
}

const Bindings bindings([](nb::module_& m) {
    m.def(
        "patch_match", &match, "grey"_a, "mask"_a.none(), "camera"_a, "sources"_a, "masks"_a, "depths"_a, "geometry"_a, "geometric"_a,
        "variance"_a, "near"_a, "far"_a, "best"_a, "iterations"_a, "perturbation"_a, "seeds"_a, "planes"_a, "costs"_a, "threads"_a,
        "kernels/native/cpu/patch_match.cpp"
    );
    m.def(
        "patch_costs", &cost_of_planes, "grey"_a, "mask"_a.none(), "camera"_a, "sources"_a, "masks"_a, "depths"_a, "geometry"_a,
        "geometric"_a, "variance"_a, "planes"_a, "costs"_a, "threads"_a, "kernels/native/cpu/patch_match.cpp"
    );
});

}  // namespace
}  // namespace formfield
