// field_mlp and fused_field: one thread per sample, compiled for one network, whose shape the compiler then knows.
//
// NETWORK: its initialiser. WIDTH: total_width of it. Sums into parameters are made warp by warp, so every thread of a warp takes part in
// the backward kernels: those beyond the last sample repeat it with adjoints of 0. With FIELD also DIMS and ROW, the inputs in front of
// the encoding (DIMS or 0).
#include "cuda/thread.h"

#include "bodies/hash_grid.h"
#include "bodies/mlp.h"

namespace formfield {

KERNEL mlp_forward_rows(int64_t n, const REAL* x, const REAL* params, REAL* out) {
    const int64_t i = thread_x();
    if (i >= n) return;
    const Network net = NETWORK;
    const int inputs = net.widths[0], outputs = net.widths[net.layers];
    REAL a[WIDTH], first[WIDTH], second[WIDTH];
    const Trace<REAL> trace = {a, first, second, nullptr, nullptr};
    for (int k = 0; k < inputs; ++k) a[k] = x[i * inputs + k];
    mlp_forward(net, params, trace);
    for (int j = 0; j < outputs; ++j) out[i * outputs + j] = a[WIDTH - outputs + j];
}

// dx and dparams may be null; dparams is added to.
KERNEL mlp_backward_rows(int64_t n, const REAL* x, const REAL* params, const REAL* dout, REAL* dx, REAL* dparams) {
    const int64_t thread = thread_x(), i = thread < n ? thread : n - 1;
    const Network net = NETWORK;
    const int inputs = net.widths[0], outputs = net.widths[net.layers];
    REAL a[WIDTH], first[WIDTH], second[WIDTH], da[WIDTH];
    const Trace<REAL> trace = {a, first, second, nullptr, nullptr};
    for (int k = 0; k < inputs; ++k) a[k] = x[i * inputs + k];
    mlp_forward(net, params, trace);
    for (int j = 0; j < outputs; ++j) da[WIDTH - outputs + j] = thread < n ? dout[i * outputs + j] : REAL(0);
    mlp_backward(net, params, trace, da, static_cast<REAL*>(nullptr), dparams, WarpAdd());
    if (dx && thread < n)
        for (int k = 0; k < inputs; ++k) dx[i * inputs + k] = da[k];
}

#if defined(FIELD)

struct Encoding {
    const REAL* table;
    const GridLevel* levels;
    int active, features;
    bool smoothstep;
};

// Inputs of the network, and their change along v if that is given.
DEVICE void field_inputs(const Network& net, const Encoding& e, const REAL* x, const REAL* v, const Trace<REAL>& t) {
    for (int k = 0; k < net.widths[0]; ++k) {
        t.a[k] = k < ROW ? 2 * x[k] - 1 : REAL(0);
        if (v) t.adot[k] = k < ROW ? 2 * v[k] : REAL(0);
    }
    for (int l = 0; l < e.active; ++l) {
        const int at = ROW + l * e.features;
        encode_level<REAL, DIMS>(x, v, e.table, e.features, e.levels[l], e.smoothstep, t.a + at, v ? t.adot + at : nullptr);
    }
}

DEVICE void field_to_point(const Encoding& e, const REAL* x, const REAL* adjoint, REAL* result) {
    REAL sum[DIMS];
    for (int d = 0; d < DIMS; ++d) sum[d] = ROW ? 2 * adjoint[d] : REAL(0);
    for (int l = 0; l < e.active; ++l)
        encode_level_to_point<REAL, DIMS>(x, adjoint + ROW + l * e.features, e.table, e.features, e.levels[l], e.smoothstep, sum);
    for (int d = 0; d < DIMS; ++d) result[d] = sum[d];
}

KERNEL field_forward(int64_t n, const REAL* x, const REAL* table, const REAL* params, const GridLevel* levels, int64_t active,
                     int64_t features, int64_t smoothstep, REAL* out) {
    const int64_t i = thread_x();
    if (i >= n) return;
    const Network net = NETWORK;
    const int outputs = net.widths[net.layers];
    REAL a[WIDTH], first[WIDTH], second[WIDTH];
    const Trace<REAL> trace = {a, first, second, nullptr, nullptr};
    field_inputs(net, {table, levels, int(active), int(features), smoothstep != 0}, x + i * DIMS, nullptr, trace);
    mlp_forward(net, params, trace);
    for (int j = 0; j < outputs; ++j) out[i * outputs + j] = a[WIDTH - outputs + j];
}

// Also the gradient of output 0 to x.
KERNEL field_jet(int64_t n, const REAL* x, const REAL* table, const REAL* params, const GridLevel* levels, int64_t active, int64_t features,
                 int64_t smoothstep, REAL* out, REAL* gradient) {
    const int64_t i = thread_x();
    if (i >= n) return;
    const Network net = NETWORK;
    const int outputs = net.widths[net.layers];
    const Encoding encoding = {table, levels, int(active), int(features), smoothstep != 0};
    REAL a[WIDTH], first[WIDTH], second[WIDTH], chain[WIDTH];
    const Trace<REAL> trace = {a, first, second, nullptr, nullptr};
    field_inputs(net, encoding, x + i * DIMS, nullptr, trace);
    mlp_forward(net, params, trace);
    for (int j = 0; j < outputs; ++j) {
        out[i * outputs + j] = a[WIDTH - outputs + j];
        chain[WIDTH - outputs + j] = j == 0 ? REAL(1) : REAL(0);
    }
    mlp_backward(net, params, trace, static_cast<REAL*>(nullptr), chain, static_cast<REAL*>(nullptr), WarpAdd());
    field_to_point(encoding, x + i * DIMS, chain, gradient + i * DIMS);
}

// Gradients of <dout, out>; dx may be null, dtable and dparams are added to.
KERNEL field_backward(int64_t n, const REAL* x, const REAL* table, const REAL* params, const GridLevel* levels, int64_t active,
                      int64_t features, int64_t smoothstep, const REAL* dout, REAL* dx, REAL* dtable, REAL* dparams) {
    const int64_t thread = thread_x(), i = thread < n ? thread : n - 1;
    const Network net = NETWORK;
    const int outputs = net.widths[net.layers];
    const Encoding encoding = {table, levels, int(active), int(features), smoothstep != 0};
    REAL a[WIDTH], first[WIDTH], second[WIDTH], da[WIDTH];
    const Trace<REAL> trace = {a, first, second, nullptr, nullptr};
    field_inputs(net, encoding, x + i * DIMS, nullptr, trace);
    mlp_forward(net, params, trace);
    for (int j = 0; j < outputs; ++j) da[WIDTH - outputs + j] = thread < n ? dout[i * outputs + j] : REAL(0);
    mlp_backward(net, params, trace, da, static_cast<REAL*>(nullptr), dparams, WarpAdd());
    if (thread >= n) return;
    for (int l = 0; l < active; ++l)
        encode_level_to_table<REAL, DIMS>(x + i * DIMS, nullptr, da + ROW + l * features, nullptr, dtable, int(features), levels[l],
                                          smoothstep != 0, SharedAdd());
    if (dx) field_to_point(encoding, x + i * DIMS, da, dx + i * DIMS);
}

// Gradients of <dout, out> + <v, gradient of output 0>.
KERNEL field_jet_backward(int64_t n, const REAL* x, const REAL* table, const REAL* params, const GridLevel* levels, int64_t active,
                          int64_t features, int64_t smoothstep, const REAL* dout, const REAL* v, REAL* dtable, REAL* dparams) {
    const int64_t thread = thread_x(), i = thread < n ? thread : n - 1;
    const Network net = NETWORK;
    const int outputs = net.widths[net.layers];
    REAL a[WIDTH], first[WIDTH], second[WIDTH], zdot[WIDTH], adot[WIDTH], da[WIDTH], dadot[WIDTH];
    const Trace<REAL> trace = {a, first, second, zdot, adot};
    field_inputs(net, {table, levels, int(active), int(features), smoothstep != 0}, x + i * DIMS, v + i * DIMS, trace);
    mlp_forward(net, params, trace);
    for (int j = 0; j < outputs; ++j) {
        da[WIDTH - outputs + j] = thread < n ? dout[i * outputs + j] : REAL(0);
        dadot[WIDTH - outputs + j] = thread < n && j == 0 ? REAL(1) : REAL(0);
    }
    mlp_backward(net, params, trace, da, dadot, dparams, WarpAdd());
    if (thread >= n) return;
    for (int l = 0; l < active; ++l) {
        const int64_t at = ROW + l * features;
        encode_level_to_table<REAL, DIMS>(x + i * DIMS, v + i * DIMS, da + at, dadot + at, dtable, int(features), levels[l],
                                          smoothstep != 0, SharedAdd());
    }
}

#endif

}  // namespace formfield
