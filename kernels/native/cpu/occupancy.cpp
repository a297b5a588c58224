// update_occupancy, decay_occupancy, cells_seen. Which of several fresh values of a cell comes first does not matter to a maximum: the threads share
// the cells, and the result is the same for any number of them.
#include "bodies/occupancy.h"

#include <nanobind/nanobind.h>

#include <cstring>
#include <type_traits>

#include "cpu/arrays.h"
#include "cpu/bindings.h"
#include "cpu/parallel.h"

namespace formfield {
namespace {

constexpr int64_t GRAIN = 1 << 15;

template <class T>
void pack(Array<const T> values, double threshold, Array<uint8_t> bitfield, int threads) {
    const T* from = values.data();
    uint8_t* bits = bitfield.data();
    const int64_t bytes = int64_t(bitfield.size());
    nb::gil_scoped_release release;
    parallel_ranges(threads, bytes, GRAIN / 8, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) bits[i] = occupied_byte(from + 8 * i, T(threshold));
    });
}

// Numbers that are not negative are ordered as their bits are.
template <class T>
void raise(T* to, T value) {
    using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
    Bits* place = reinterpret_cast<Bits*>(to);
    Bits wanted;
    std::memcpy(&wanted, &value, sizeof wanted);
    Bits old = __atomic_load_n(place, __ATOMIC_RELAXED);
    for (;;) {
        T now;
        std::memcpy(&now, &old, sizeof now);
        if (now < 0 || !(value > now)) return;
        if (__atomic_compare_exchange_n(place, &old, wanted, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return;
    }
}

template <class T>
void decay_cells(Array<T> values, Array<const T> fresh, MaybeArray<const int64_t> indices, double decay, int threads) {
    T* cells = values.data();
    const T* given = fresh.data();
    const int64_t count = int64_t(values.size()), n = int64_t(fresh.size());
    const int64_t* at = data_or_null(indices);
    const bool some = indices.has_value();
    nb::gil_scoped_release release;
    parallel_ranges(threads, count, GRAIN, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) cells[i] = decayed(cells[i], T(decay), some ? T(-1) : given[i]);
    });
    if (!some) return;
    parallel_ranges(threads, n, GRAIN, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            if (given[i] > 0) raise(cells + at[i], given[i]);
    });
}

void see(Array<const float> planes, int resolution, double size, double radius, Array<uint8_t> seen, int threads) {
    const float* frusta = planes.data();
    uint8_t* out = seen.data();
    const int64_t views = int64_t(planes.shape(0)), cells = int64_t(seen.size());
    nb::gil_scoped_release release;
    parallel_ranges(threads, cells, GRAIN / 8, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) out[i] = cell_seen(uint32_t(i), resolution, float(size), float(radius), frusta, views);
    });
}

const Bindings bindings([](nb::module_& m) {
    both(
        m, "occupancy_pack", &pack<float>, &pack<double>, "values"_a, "threshold"_a, "bitfield"_a, "threads"_a,
        "kernels/native/cpu/occupancy.cpp"
    );
    both(
        m, "occupancy_decay", &decay_cells<float>, &decay_cells<double>, "values"_a, "fresh"_a, "indices"_a.none(), "decay"_a, "threads"_a,
        "kernels/native/cpu/occupancy.cpp"
    );
    m.def(
        "occupancy_see", see, "planes"_a, "resolution"_a, "size"_a, "radius"_a, "seen"_a, "threads"_a, "kernels/native/cpu/occupancy.cpp"
    );
});

}  // namespace
}  // namespace formfield
