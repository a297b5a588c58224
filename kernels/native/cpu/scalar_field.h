// The shared bodies over all samples, one after another: what double precision runs on, for checks of gradients.
#pragma once
#include <cstdint>
#include <vector>

#include "bodies/hash_grid.h"
#include "bodies/mlp.h"
#include "cpu/parallel.h"
#include "cpu/specs.h"

namespace formfield {

template <class T>
struct PlainAdd {
    void operator()(T* to, T value) const { *to += value; }
};

// f.template operator()<D>() for the grid's number of dimensions.
template <class F>
void for_dims(const Grid& grid, F&& f) {
    if (grid.dims == 2)
        f(std::integral_constant<int, 2>());
    else
        f(std::integral_constant<int, 3>());
}

template <class T>
void scalar_encode(const Grid& grid, int active, const T* x, const T* table, T* out, int64_t n, int threads) {
    const int F = grid.features, E = F * int(grid.levels.size());
    for_dims(grid, [&](auto dims) {
        constexpr int D = decltype(dims)::value;
        parallel_ranges(threads, n, 1024, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i)
                for (int l = 0; l < int(grid.levels.size()); ++l) {
                    T* y = out + i * E + l * F;
                    if (l < active)
                        encode_level<T, D>(x + i * D, nullptr, table, F, grid.levels[size_t(l)], grid.smoothstep, y, nullptr);
                    else
                        for (int f = 0; f < F; ++f) y[f] = 0;
                }
        });
    });
}

template <class T>
void scalar_encode_backward(const Grid& grid, int active, const T* x, const T* table, const T* dy, T* dx, T* dtable, int64_t n,
                            int threads) {
    const int F = grid.features, E = F * int(grid.levels.size());
    for_dims(grid, [&](auto dims) {
        constexpr int D = decltype(dims)::value;
        if (dx)
            parallel_ranges(threads, n, 1024, [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) {
                    for (int d = 0; d < D; ++d) dx[i * D + d] = 0;
                    for (int l = 0; l < active; ++l)
                        encode_level_to_point<T, D>(x + i * D, dy + i * E + l * F, table, F, grid.levels[size_t(l)], grid.smoothstep,
                                                    dx + i * D);
                }
            });
        if (dtable)
            parallel_tasks(threads, active, [&](int64_t l, int) {
                for (int64_t i = 0; i < n; ++i)
                    encode_level_to_table<T, D>(x + i * D, nullptr, dy + i * E + l * F, nullptr, dtable, F, grid.levels[size_t(l)],
                                                grid.smoothstep, PlainAdd<T>());
            });
    });
}

// With v the adjoint of dL/dx: adjoints to dy, to the points (dx: null if not wanted) and to the table.
template <class T>
void scalar_encode_double_backward(const Grid& grid, int active, const T* x, const T* table, const T* dy, const T* v, T* ddy, T* dx,
                                   T* dtable, int64_t n, int threads) {
    const int F = grid.features, E = F * int(grid.levels.size());
    for_dims(grid, [&](auto dims) {
        constexpr int D = decltype(dims)::value;
        parallel_ranges(threads, n, 1024, [&](int64_t begin, int64_t end) {
            std::vector<T> value(size_t(F), T(0));
            for (int64_t i = begin; i < end; ++i) {
                for (int d = 0; dx && d < D; ++d) dx[i * D + d] = 0;
                for (int e = active * F; e < E; ++e) ddy[i * E + e] = 0;
                for (int l = 0; l < active; ++l) {
                    const GridLevel& level = grid.levels[size_t(l)];
                    encode_level<T, D>(x + i * D, v + i * D, table, F, level, grid.smoothstep, value.data(), ddy + i * E + l * F);
                    if (dx)
                        encode_level_hessian<T, D>(x + i * D, v + i * D, dy + i * E + l * F, table, F, level, grid.smoothstep, dx + i * D);
                }
            }
        });
        parallel_tasks(threads, active, [&](int64_t l, int) {
            for (int64_t i = 0; i < n; ++i)
                encode_level_to_table<T, D>(x + i * D, v + i * D, nullptr, dy + i * E + l * F, dtable, F, grid.levels[size_t(l)],
                                            grid.smoothstep, PlainAdd<T>());
        });
    });
}

// One sample's memory for the network.
template <class T>
struct SampleMemory {
    int width;
    std::vector<T> memory;
    explicit SampleMemory(const Network& net) : width(total_width(net)), memory(size_t(width) * 7) {}
    Trace<T> trace(bool direction) {
        T* p = memory.data();
        return {p, p + width, p + 2 * width, direction ? p + 3 * width : nullptr, direction ? p + 4 * width : nullptr};
    }
    T* da() { return memory.data() + 5 * width; }
    T* dadot() { return memory.data() + 6 * width; }
};

// Forward (out, and the gradient of output 0 to x where not null) or, with dout, backward (dx, dparams; v: adjoint of the gradient, or
// null).
template <class T>
struct ScalarMlp {
    const Network& net;
    const T *x, *params;
    T *out, *gradient;
    const T *dout, *v;
    T *dx, *dparams;

    void run(int64_t n) const {
        SampleMemory<T> memory(net);
        const Trace<T> trace = memory.trace(v != nullptr);
        const int inputs = net.widths[0], outputs = net.widths[net.layers], last = memory.width - outputs;
        T *da = memory.da(), *dadot = memory.dadot(), *const none = nullptr;
        for (int64_t i = 0; i < n; ++i) {
            for (int k = 0; k < inputs; ++k) {
                trace.a[k] = x[i * inputs + k];
                if (v) trace.adot[k] = v[i * inputs + k];
            }
            mlp_forward(net, params, trace);
            for (int j = 0; j < outputs; ++j) {
                if (out) out[i * outputs + j] = trace.a[last + j];
                if (dout) da[last + j] = dout[i * outputs + j];
                dadot[last + j] = j == 0 ? T(1) : T(0);
            }
            if (gradient) {
                mlp_backward(net, params, trace, none, dadot, none, PlainAdd<T>());
                for (int k = 0; k < inputs; ++k) gradient[i * inputs + k] = dadot[k];
            }
            if (!dout) continue;
            mlp_backward(net, params, trace, da, v ? dadot : nullptr, dparams, PlainAdd<T>());
            for (int k = 0; dx && k < inputs; ++k) dx[i * inputs + k] = da[k];
        }
    }
};

// Forward (out, and gradient where not null) or, with dout, backward (dx, dtable, dparams; v: adjoint of the gradient, or null).
template <class T>
struct ScalarField {
    const Grid& grid;
    const Network& net;
    bool include_input;
    int active;
    const T *x, *table, *params;
    T *out, *gradient;
    const T *dout, *v;
    T *dx, *dtable, *dparams;

    void run(int64_t n) const {
        for_dims(grid, [&](auto dims) { run_dims<decltype(dims)::value>(n); });
    }

    template <int D>
    void run_dims(int64_t n) const {
        const int F = grid.features, row = include_input ? D : 0, outputs = net.widths[net.layers];
        SampleMemory<T> memory(net);
        const Trace<T> trace = memory.trace(v != nullptr);
        const int last = memory.width - outputs;
        T *da = memory.da(), *dadot = memory.dadot();
        for (int64_t i = 0; i < n; ++i) {
            const T *point = x + i * D, *along = v ? v + i * D : nullptr;
            for (int k = 0; k < net.widths[0]; ++k) {
                trace.a[k] = k < row ? 2 * point[k] - 1 : T(0);
                if (v) trace.adot[k] = k < row ? 2 * along[k] : T(0);
            }
            for (int l = 0; l < active; ++l)
                encode_level<T, D>(point, along, table, F, grid.levels[size_t(l)], grid.smoothstep, trace.a + row + l * F,
                                   v ? trace.adot + row + l * F : nullptr);
            mlp_forward(net, params, trace);
            for (int j = 0; j < outputs; ++j) {
                if (out) out[i * outputs + j] = trace.a[last + j];
                if (dout) da[last + j] = dout[i * outputs + j];
                dadot[last + j] = j == 0 ? T(1) : T(0);
            }
            if (gradient) {
                mlp_backward(net, params, trace, static_cast<T*>(nullptr), dadot, static_cast<T*>(nullptr), PlainAdd<T>());
                to_point<D>(point, dadot, gradient + i * D);
            }
            if (!dout) continue;
            mlp_backward(net, params, trace, da, v ? dadot : nullptr, dparams, PlainAdd<T>());
            for (int l = 0; l < active; ++l)
                encode_level_to_table<T, D>(point, along, da + row + l * F, v ? dadot + row + l * F : nullptr, dtable, F,
                                            grid.levels[size_t(l)], grid.smoothstep, PlainAdd<T>());
            if (dx) to_point<D>(point, da, dx + i * D);
        }
    }

    template <int D>
    void to_point(const T* point, const T* adjoint, T* result) const {
        const int row = include_input ? D : 0;
        for (int d = 0; d < D; ++d) result[d] = row ? 2 * adjoint[d] : T(0);
        for (int l = 0; l < active; ++l)
            encode_level_to_point<T, D>(point, adjoint + row + l * grid.features, table, grid.features, grid.levels[size_t(l)],
                                        grid.smoothstep, result);
    }
};

}  // namespace formfield
