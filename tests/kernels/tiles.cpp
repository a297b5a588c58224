// Checks the vector code of one instruction set against the scalar bodies in double precision: built by test_cross.py for processors that
// this machine may not be, and run in an emulator. Prints the largest relative error of each part; ends with 1 if one is too large.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "bodies/hash_grid.h"
#include "bodies/laplace.h"
#include "bodies/mlp.h"
#include "cpu/adam.h"
#include "cpu/laplace_simd.h"
#include "cpu/simd_api.h"

using namespace formfield;

namespace {

const FieldSimd& field = isa_baseline::field_simd;
int failures = 0;
constexpr int PACKED = 32 * 64 + 64 * 64 + 64 * 16;  // weights of the network below

float random_number() {  // in [-1, 1], the same everywhere
    static uint64_t state = 88172645463325252ull;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return float(int64_t(state >> 40) - (1 << 23)) / float(1 << 23);
}

std::vector<float> numbers(size_t count, float scale) {
    std::vector<float> out(count);
    for (float& x : out) x = scale * random_number();
    return out;
}

struct Error {
    double worst = 0, size = 0;
    void add(double found, double expected) {
        if (!(std::fabs(found - expected) <= worst)) worst = std::fabs(found - expected);  // also what is not a number
        if (std::fabs(expected) > size) size = std::fabs(expected);
    }
};

void say(const char* what, const Error& e, double most) {
    const double relative = e.worst / (e.size > 0 ? e.size : 1);
    const bool right = relative <= most && e.size > 0;
    std::printf("%s %s %.2e\n", right ? "ok" : "WRONG", what, relative);
    failures += !right;
}

// All of n samples through a network, and back.
void network(int activation, int output_activation, int64_t n) {
    Network net{3, {32, 64, 64, 16}, activation, output_activation, 1, 100.f};
    const std::vector<float> params = numbers(parameter_count(net), 0.2f), x = numbers(n * 32, 1.f), dout = numbers(n * 16, 1.f);
    const int64_t tiles = (n + TILE - 1) / TILE;
    std::vector<float> forward_weights(PACKED), backward_weights(PACKED), scratch(field.scratch_floats(net) + 64);
    field.pack(net, params.data(), forward_weights.data(), backward_weights.data());
    const MlpJob job{&net, params.data(), forward_weights.data(), backward_weights.data()};
    std::vector<float> in(tiles * 32 * TILE), gradient(in.size()), out(n * 16);
    field.rows_to_tiles(x.data(), 32, 0, n, 0.f, in.data(), 32, 0, tiles);
    std::vector<float> again = in;
    field.forward(job, in.data(), nullptr, out.data(), gradient.data(), 0, n, 0, tiles, scratch.data());
    std::vector<float> sums(field.gradient_floats(net)), dparams(params.size()), dx(n * 32);
    field.backward(job, again.data(), nullptr, nullptr, nullptr, dout.data(), 0, n, 0, tiles, sums.data(), scratch.data());
    field.add_gradients(net, sums.data(), dparams.data());
    field.tiles_to_rows(again.data(), 32, 32, 0, n, dx.data(), 0, tiles);
    std::vector<float> slopes(n * 32);
    field.tiles_to_rows(gradient.data(), 32, 32, 0, n, slopes.data(), 0, tiles);

    const int width = total_width(net);
    const std::vector<double> exact(params.begin(), params.end());
    std::vector<double> a(width), first(width), second(width), da(width), sum(params.size());
    Error values, points, weights, slope;
    for (int64_t i = 0; i < n; ++i) {
        const Trace<double> trace{a.data(), first.data(), second.data(), nullptr, nullptr};
        for (int k = 0; k < 32; ++k) a[k] = x[i * 32 + k];
        mlp_forward<double>(net, exact.data(), trace);
        for (int k = 0; k < 16; ++k) values.add(out[i * 16 + k], a[width - 16 + k]);
        for (int k = 0; k < 16; ++k) da[width - 16 + k] = dout[i * 16 + k];
        auto add = [](double* p, double v) { *p += v; };
        mlp_backward<double>(net, exact.data(), trace, da.data(), nullptr, sum.data(), add);
        for (int k = 0; k < 32; ++k) points.add(dx[i * 32 + k], da[k]);
        for (int k = 0; k < 16; ++k) da[width - 16 + k] = k == 0;
        mlp_backward<double>(net, exact.data(), trace, da.data(), nullptr, (double*)nullptr, add);
        for (int k = 0; k < 32; ++k) slope.add(slopes[i * 32 + k], da[k]);
    }
    for (size_t k = 0; k < sum.size(); ++k) weights.add(dparams[k], sum[k]);
    say("network: values", values, 2e-5);
    say("network: gradient at the point", slope, 1e-4);
    say("network: adjoint of the point", points, 1e-4);
    say("network: adjoint of the weights", weights, 1e-4);
}

template <int D>
void grid(int features, bool hashed, bool smoothstep, int64_t n) {
    const uint32_t size = hashed ? 1024 : (D == 3 ? 17 * 17 * 17 : 17 * 17);
    const GridLevel level{hashed ? 100.3f : 15.f, hashed ? 102u : 17u, size, 8, hashed};
    const std::vector<float> table = numbers((size + 8) * features, 1.f), dy = numbers(n * features, 1.f), v = numbers(n * D, 1.f);
    std::vector<float> x = numbers(n * D, 0.499f);
    for (float& c : x) c += 0.5f;
    const int64_t tiles = (n + TILE - 1) / TILE;
    std::vector<float> xt(tiles * D * TILE), vt(xt.size()), yt(tiles * features * TILE), ydt(yt.size()), dyt(yt.size()), dxt(xt.size());
    field.rows_to_tiles(x.data(), D, 0, n, 0.5f, xt.data(), D, 0, tiles);
    field.rows_to_tiles(v.data(), D, 0, n, 0.f, vt.data(), D, 0, tiles);
    field.rows_to_tiles(dy.data(), features, 0, n, 0.f, dyt.data(), features, 0, tiles);
    const LevelJob job{level, D, features, smoothstep, false, xt.data(), vt.data(), features, 0};
    field.encode(job, table.data(), yt.data(), ydt.data(), 0, tiles);
    field.to_point(job, table.data(), dyt.data(), dxt.data(), 0, tiles);
    std::vector<float> dtable(table.size()), y(n * features), ydot(n * features), dx(n * D);
    field.to_table(job, dyt.data(), nullptr, dtable.data(), 0, tiles);
    field.tiles_to_rows(yt.data(), features, features, 0, n, y.data(), 0, tiles);
    field.tiles_to_rows(ydt.data(), features, features, 0, n, ydot.data(), 0, tiles);
    field.tiles_to_rows(dxt.data(), D, D, 0, n, dx.data(), 0, tiles);

    const std::vector<double> exact(table.begin(), table.end());
    std::vector<double> sum(table.size());
    Error values, along, points, entries;
    for (int64_t i = 0; i < n; ++i) {
        double point[D], direction[D], found[8], derivative[8], slope[D] = {}, back[8];
        // The cell is the one that float32 falls into: which side of a border a point lies on is rounding.
        for (int d = 0; d < D; ++d) point[d] = x[i * D + d], direction[d] = v[i * D + d];
        for (int f = 0; f < features; ++f) back[f] = dy[i * features + f];
        bool border = false;
        for (int d = 0; d < D; ++d) {
            const double u = point[d] * level.scale + 0.5;
            border |= std::fabs(u - std::round(u)) < 1e-3;
        }
        encode_level<double, D>(point, direction, exact.data(), features, level, smoothstep, found, derivative);
        encode_level_to_point<double, D>(point, back, exact.data(), features, level, smoothstep, slope);
        encode_level_to_table<double, D>(point, nullptr, back, nullptr, sum.data(), features, level, smoothstep, [](double* p, double w) { *p += w; });
        for (int f = 0; f < features; ++f) values.add(y[i * features + f], found[f]);
        if (border) continue;  // the slope jumps there
        for (int f = 0; f < features; ++f) along.add(ydot[i * features + f], derivative[f]);
        for (int d = 0; d < D; ++d) points.add(dx[i * D + d], slope[d]);
    }
    for (size_t k = 0; k < sum.size(); ++k) entries.add(dtable[k], sum[k]);
    say("grid: values", values, 1e-4);
    say("grid: derivative along", along, 1e-4);
    say("grid: adjoint of the point", points, 1e-4);
    say("grid: adjoint of the table", entries, 1e-4);
}

void density(int64_t n) {
    std::vector<float> sdf = numbers(n, 0.3f), grad = numbers(n, 1.f), out(n), by_sdf(n);
    sdf[0] = 0.f;
    const float beta = 0.02f;
    isa_baseline::laplace_simd.forward(sdf.data(), beta, n, out.data());
    const double by_beta = isa_baseline::laplace_simd.backward(sdf.data(), beta, grad.data(), n, by_sdf.data());
    Error values, slopes, scale;
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) {
        const LaplaceDensity<double> exact = laplace_density<double>(sdf[i], beta);
        values.add(out[i], exact.value);
        slopes.add(by_sdf[i], grad[i] * exact.by_sdf);
        sum += grad[i] * exact.by_beta;
    }
    scale.add(by_beta, sum);
    say("density: values", values, 1e-6);
    say("density: adjoint of the distance", slopes, 1e-6);
    say("density: adjoint of beta", scale, 1e-5);
}

void adam(int64_t n, int width) {
    std::vector<float> w = numbers(n * width, 1.f), g = numbers(n * width, 1.f), m(n * width), v(n * width);
    for (int64_t row = 0; row < n; row += 3)
        for (int k = 0; k < width; ++k) g[row * width + k] = 0.f;
    std::vector<double> exact(w.begin(), w.end());
    std::vector<int32_t> steps(n);
    const float rates[2] = {0.f, 0.01f};
    const AdamRule<float> rule{0.9f, 0.99f, 1e-8f, 0.f};
    const int64_t taken = isa_baseline::adam_simd.touched_rows(rule, w.data(), g.data(), m.data(), v.data(), steps.data(), n, width, rates, 1, false);
    Error values;
    for (int64_t row = 0; row < taken; ++row)
        for (int k = 0; k < width; ++k) {
            const int64_t i = row * width + k;
            const double gradient = g[i], mean = 0.1 * gradient, square = 0.01 * gradient * gradient;
            if (row % 3) exact[i] -= 0.01 * mean / (std::sqrt(square) + 1e-8);
            values.add(w[i], exact[i]);
        }
    say("adam: rows with a gradient", values, 1e-5);
}

}  // namespace

int main() {
    for (int64_t n : {1, 47, 48, 200}) {
        network(ACTIVATION_RELU, ACTIVATION_NONE, n);
        network(ACTIVATION_SOFTPLUS, ACTIVATION_SIGMOID, n);
        for (bool smoothstep : {false, true})
            for (bool hashed : {false, true}) {
                grid<3>(2, hashed, smoothstep, n);
                grid<3>(4, hashed, smoothstep, n);
                grid<2>(1, hashed, smoothstep, n);
            }
        density(n + 3);
    }
    adam(100, 2);
    adam(101, 4);
    std::printf("%d wrong\n", failures);
    return failures ? 1 : 0;
}
