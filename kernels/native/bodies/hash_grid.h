// One point on one level of a multiresolution hash grid (Mueller et al. 2022, section 3): value, derivatives, and their adjoints.
// The definition is written out in kernels/backends/reference/hash_encode.py; T is float or double. F is the number of features of an entry
// where the compiler is to know it (an entry is then read in pieces of 16 bytes at most and added to at once), else 0.
#pragma once
#include "bodies/entry.h"

namespace formfield {

struct GridLevel {
    float scale;          // cells per unit length
    uint32_t resolution;  // vertices per axis
    uint32_t size;        // entries
    uint32_t offset;      // first entry
    uint32_t hashed;      // 0: dense
};

// The cell of a point: integer vertex, interpolation weights of the upper vertex and their derivatives in cell units.
template <class T, int D>
struct Cell {
    uint32_t vertex[D];
    T u[D], first[D], second[D];
};

template <class T, int D>
HOST_DEVICE Cell<T, D> locate(const T* x, const GridLevel& level, bool smoothstep) {
    Cell<T, D> cell;
    for (int d = 0; d < D; ++d) {
        const T position = x[d] * T(level.scale) + T(0.5);
        const T low = floor(position);
        const T u = position - low;
        cell.vertex[d] = uint32_t(int32_t(low));
        cell.u[d] = smoothstep ? u * u * (3 - 2 * u) : u;
        cell.first[d] = smoothstep ? 6 * u * (1 - u) : T(1);
        cell.second[d] = smoothstep ? 6 - 12 * u : T(0);
    }
    return cell;
}

// index % size of a dense level. A point of the unit cube has vertices up to `resolution`, one too many, so that its index is below twice the
// size: one subtraction. Only points outside pay for a division, by shifts: in a kernel eight inlined divisions are in everybody's way.
HOST_DEVICE uint32_t wrapped(uint32_t index, uint32_t size) {
    if (index < size) return index;
    index -= size;
    if (index < size) return index;
#if defined(__CUDA_ARCH__)
    uint32_t step = size << (__clz(size) - __clz(index));
    ONE_BY_ONE
    for (; step >= size; step >>= 1)
        if (index >= step) index -= step;
    return index;
#else
    return index % size;
#endif
}

// Row of the table of corner c: bit d of c says whether axis d takes the upper vertex. A hashed level's size is a power of two.
template <class T, int D>
HOST_DEVICE uint32_t entry_of(const Cell<T, D>& cell, int c, const GridLevel& level) {
    const uint32_t primes[3] = {1u, 2654435761u, 805459861u};
    uint32_t index = 0, stride = 1;
    for (int d = 0; d < D; ++d) {
        const uint32_t vertex = cell.vertex[d] + uint32_t((c >> d) & 1);
        if (level.hashed) {
            index ^= vertex * primes[d];
        } else {
            index += vertex * stride;
            stride *= level.resolution;
        }
    }
    return level.offset + (level.hashed ? index & (level.size - 1) : wrapped(index, level.size));
}

// Weight of a corner without the factors of axes a and b (-1: leave none out).
template <class T, int D>
HOST_DEVICE T weight_without(const Cell<T, D>& cell, int c, int a, int b) {
    T w = 1;
    for (int d = 0; d < D; ++d)
        if (d != a && d != b) w *= (c >> d) & 1 ? cell.u[d] : 1 - cell.u[d];
    return w;
}

// A_c = sum_d v_d dw_c/dx_d: derivative of a corner's weight along v.
template <class T, int D>
HOST_DEVICE T weight_along(const Cell<T, D>& cell, int c, const T* v, const GridLevel& level) {
    T sum = 0;
    for (int d = 0; d < D; ++d) {
        const T sign = (c >> d) & 1 ? T(1) : T(-1);
        sum += v[d] * T(level.scale) * cell.first[d] * sign * weight_without(cell, c, d, -1);
    }
    return sum;
}

// y[f] = sum_c w_c g_c[f];  with v also ydot[f] = sum_c A_c g_c[f].
template <class T, int D, int F = 0>
HOST_DEVICE void encode_level(const T* x, const T* v, const T* table, int features, const GridLevel& level, bool smoothstep, T* y, T* ydot) {
    const Cell<T, D> cell = locate<T, D>(x, level, smoothstep);
    if (F > 0) features = F;
    for (int f = 0; f < features; ++f) {
        y[f] = 0;
        if (v) ydot[f] = 0;
    }
    UNROLLED
    for (int c = 0; c < (1 << D); ++c) {
        const Entry<T, F> g = entry_at<F>(table, entry_of(cell, c, level), features);
        const T w = weight_without(cell, c, -1, -1);
        const T along = v ? weight_along(cell, c, v, level) : T(0);
        for (int f = 0; f < features; ++f) {
            y[f] += w * g[f];
            if (v) ydot[f] += along * g[f];
        }
    }
}

// Adjoint to the table: dg_c[f] += w_c dy[f] + A_c dydot[f]. `dydot` and `v` may be null together; so may `dy`.
// `add(pointer, value)` is a plain sum for one writer, an atomic one for many; with F, `add.template all<F>(pointer, values)`.
template <class T, int D, int F = 0, class Add>
HOST_DEVICE void encode_level_to_table(const T* x, const T* v, const T* dy, const T* dydot, T* dtable, int features,
                                       const GridLevel& level, bool smoothstep, Add add) {
    const Cell<T, D> cell = locate<T, D>(x, level, smoothstep);
    if (F > 0) features = F;
    UNROLLED
    for (int c = 0; c < (1 << D); ++c) {
        T* g = dtable + int64_t(entry_of(cell, c, level)) * features;
        const T w = dy ? weight_without(cell, c, -1, -1) : T(0);
        const T along = dydot ? weight_along(cell, c, v, level) : T(0);
        if constexpr (F > 0) {
            T sum[F];
            for (int f = 0; f < F; ++f) sum[f] = (dy ? w * dy[f] : T(0)) + (dydot ? along * dydot[f] : T(0));
            add.template all<F>(g, sum);
        } else {
            for (int f = 0; f < features; ++f) add(g + f, (dy ? w * dy[f] : T(0)) + (dydot ? along * dydot[f] : T(0)));
        }
    }
}

// Adjoint to the point: dx[d] += sum_f dy[f] dy_f/dx_d.
template <class T, int D, int F = 0>
HOST_DEVICE void encode_level_to_point(const T* x, const T* dy, const T* table, int features, const GridLevel& level, bool smoothstep, T* dx) {
    const Cell<T, D> cell = locate<T, D>(x, level, smoothstep);
    if (F > 0) features = F;
    UNROLLED
    for (int c = 0; c < (1 << D); ++c) {
        const Entry<T, F> g = entry_at<F>(table, entry_of(cell, c, level), features);
        T q = 0;
        for (int f = 0; f < features; ++f) q += dy[f] * g[f];
        for (int d = 0; d < D; ++d) {
            const T sign = (c >> d) & 1 ? T(1) : T(-1);
            dx[d] += q * T(level.scale) * cell.first[d] * sign * weight_without(cell, c, d, -1);
        }
    }
}

// Second order: dx[m] += d/dx_m ( sum_f dy[f] sum_d v_d dy_f/dx_d ).
template <class T, int D, int F = 0>
HOST_DEVICE void encode_level_hessian(const T* x, const T* v, const T* dy, const T* table, int features, const GridLevel& level,
                                      bool smoothstep, T* dx) {
    const Cell<T, D> cell = locate<T, D>(x, level, smoothstep);
    if (F > 0) features = F;
    const T s2 = T(level.scale) * T(level.scale);
    UNROLLED
    for (int c = 0; c < (1 << D); ++c) {
        const Entry<T, F> g = entry_at<F>(table, entry_of(cell, c, level), features);
        T q = 0;
        for (int f = 0; f < features; ++f) q += dy[f] * g[f];
        for (int m = 0; m < D; ++m) {
            const T sign_m = (c >> m) & 1 ? T(1) : T(-1);
            T sum = v[m] * cell.second[m] * sign_m * weight_without(cell, c, m, -1);
            for (int d = 0; d < D; ++d) {
                if (d == m) continue;
                const T sign_d = (c >> d) & 1 ? T(1) : T(-1);
                sum += v[d] * cell.first[d] * cell.first[m] * sign_d * sign_m * weight_without(cell, c, d, m);
            }
            dx[m] += q * s2 * sum;
        }
    }
}

}  // namespace formfield
