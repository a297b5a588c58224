// What the extension takes: contiguous arrays on the CPU, handed over by DLPack without copies.
#pragma once
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "cpu/parallel.h"

namespace formfield {

namespace nb = nanobind;

template <class T>
using Array = nb::ndarray<T, nb::c_contig, nb::device::cpu>;
template <class T>
using MaybeArray = std::optional<nb::ndarray<T, nb::c_contig, nb::device::cpu>>;

template <class T>
T* data_or_null(const MaybeArray<T>& array) {
    return array ? array->data() : nullptr;
}

// Rays are short tasks: this many go to a thread at a time.
constexpr int64_t RAY_GRAIN = 64;

// f(ray, first sample, samples, scratch) for all rays of packed data; scratch has room for one value of type T per sample of the longest
// ray (allocated before the threads start: tasks must not throw).
template <class T, class F>
void each_ray_with_scratch(const int64_t* offsets, int64_t rays, int threads, F&& f) {
    int64_t longest = 0;
    for (int64_t r = 0; r < rays; ++r) longest = std::max(longest, offsets[r + 1] - offsets[r]);
    std::vector<T> scratch(static_cast<size_t>(longest * std::max(threads, 1)));
    parallel_tasks(threads, (rays + RAY_GRAIN - 1) / RAY_GRAIN, [&](int64_t task, int worker) {
        const int64_t end = std::min(rays, (task + 1) * RAY_GRAIN);
        for (int64_t r = task * RAY_GRAIN; r < end; ++r)
            f(r, offsets[r], offsets[r + 1] - offsets[r], scratch.data() + longest * worker);
    });
}

}  // namespace formfield
