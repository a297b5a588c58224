// composite, composite_alpha and distortion_loss: one ray per call of the bodies, rays over threads.
#include "bodies/composite.h"

#include <nanobind/nanobind.h>

#include "cpu/arrays.h"
#include "cpu/bindings.h"
#include "cpu/parallel.h"

namespace formfield {
namespace {

// Calls f with the number of channels as a compile-time constant where it is a usual one.
template <class F>
void with_channels(int channels, F&& f) {
    switch (channels) {
        case 1: return f(std::integral_constant<int, 1>{});
        case 3: return f(std::integral_constant<int, 3>{});
        case 4: return f(std::integral_constant<int, 4>{});
        case 5: return f(std::integral_constant<int, 5>{});
        case 7: return f(std::integral_constant<int, 7>{});
        case 8: return f(std::integral_constant<int, 8>{});
        default: return f(std::integral_constant<int, 0>{});
    }
}

template <class T, class F>
void each_ray(const int64_t* offsets, int64_t rays, int channels, int threads, F&& f) {
    nb::gil_scoped_release release;
    with_channels(channels, [&](auto c) {
        parallel_ranges(threads, rays, RAY_GRAIN, [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) f(c, r, offsets[r], offsets[r + 1] - offsets[r]);
        });
    });
}

template <class T>
RayOutputs<T> outputs_of(Array<T>& values, Array<T>& opacity, Array<T>& weights, Array<T>& after, int64_t r, int64_t first) {
    return {values.data() + r * int64_t(values.shape(1)), opacity.data() + r, weights.data() + first, after.data() + first};
}

template <class T>
struct Gradients {
    const T *values, *opacity, *weights;
    int channels;

    RayGradients<T> ray(int64_t r, int64_t first) const {
        return {values ? values + r * channels : nullptr, opacity ? opacity + r : nullptr, weights ? weights + first : nullptr};
    }
};

template <class T>
void forward(
    Array<const T> density, Array<const T> dt, Array<const T> channels, Array<const int64_t> offsets, double early_stop, Array<T> values,
    Array<T> opacity, Array<T> weights, Array<T> after, int threads
) {
    const int count = int(channels.shape(1));
    each_ray<T>(offsets.data(), int64_t(opacity.shape(0)), count, threads, [&](auto c, int64_t r, int64_t first, int64_t n) {
        composite_ray<c()>(
            n, density.data() + first, dt.data() + first, channels.data() + first * count, count, T(early_stop),
            outputs_of(values, opacity, weights, after, r, first)
        );
    });
}

template <class T>
void backward(
    Array<const T> density, Array<const T> dt, Array<const T> channels, Array<const int64_t> offsets, Array<const T> weights,
    Array<const T> after, MaybeArray<const T> grad_values, MaybeArray<const T> grad_opacity, MaybeArray<const T> grad_weights,
    MaybeArray<T> grad_density, MaybeArray<T> grad_dt, MaybeArray<T> grad_channels, int threads
) {
    const int count = int(channels.shape(1));
    const Gradients<T> g{data_or_null(grad_values), data_or_null(grad_opacity), data_or_null(grad_weights), count};
    T *gd = data_or_null(grad_density), *gt = data_or_null(grad_dt), *gc = data_or_null(grad_channels);
    each_ray<T>(offsets.data(), int64_t(offsets.shape(0)) - 1, count, threads, [&](auto c, int64_t r, int64_t first, int64_t n) {
        composite_ray_backward<c()>(
            n, density.data() + first, dt.data() + first, channels.data() + first * count, count, weights.data() + first,
            after.data() + first, g.ray(r, first), gd ? gd + first : nullptr, gt ? gt + first : nullptr, gc ? gc + first * count : nullptr
        );
    });
}

template <class T>
void alpha_forward(
    Array<const T> alpha, Array<const T> channels, Array<const int64_t> offsets, double early_stop, Array<T> values, Array<T> opacity,
    Array<T> weights, Array<T> before, int threads
) {
    const int count = int(channels.shape(1));
    each_ray<T>(offsets.data(), int64_t(opacity.shape(0)), count, threads, [&](auto c, int64_t r, int64_t first, int64_t n) {
        composite_alpha_ray<c()>(
            n, alpha.data() + first, channels.data() + first * count, count, T(early_stop),
            outputs_of(values, opacity, weights, before, r, first)
        );
    });
}

template <class T>
void alpha_backward(
    Array<const T> alpha, Array<const T> channels, Array<const int64_t> offsets, double early_stop, Array<const T> weights,
    Array<const T> before, MaybeArray<const T> grad_values, MaybeArray<const T> grad_opacity, MaybeArray<const T> grad_weights,
    MaybeArray<T> grad_alpha, MaybeArray<T> grad_channels, int threads
) {
    const int count = int(channels.shape(1));
    const Gradients<T> g{data_or_null(grad_values), data_or_null(grad_opacity), data_or_null(grad_weights), count};
    T *ga = data_or_null(grad_alpha), *gc = data_or_null(grad_channels);
    each_ray<T>(offsets.data(), int64_t(offsets.shape(0)) - 1, count, threads, [&](auto c, int64_t r, int64_t first, int64_t n) {
        composite_alpha_ray_backward<c()>(
            n, alpha.data() + first, channels.data() + first * count, count, T(early_stop), weights.data() + first, before.data() + first,
            g.ray(r, first), ga ? ga + first : nullptr, gc ? gc + first * count : nullptr
        );
    });
}

template <class T>
void distortion_forward(
    Array<const T> weights, Array<const T> t, Array<const T> dt, Array<const int64_t> offsets, Array<T> loss, int threads
) {
    T* out = loss.data();
    each_ray<T>(offsets.data(), int64_t(loss.shape(0)), 0, threads, [&](auto, int64_t r, int64_t first, int64_t n) {
        out[r] = distortion_ray(n, weights.data() + first, t.data() + first, dt.data() + first);
    });
}

template <class T>
void distortion_backward(
    Array<const T> weights, Array<const T> t, Array<const T> dt, Array<const int64_t> offsets, Array<const T> grad_loss,
    Array<T> grad_weights, int threads
) {
    const T* g = grad_loss.data();
    T* out = grad_weights.data();
    each_ray<T>(offsets.data(), int64_t(grad_loss.shape(0)), 0, threads, [&](auto, int64_t r, int64_t first, int64_t n) {
        distortion_ray_backward(n, weights.data() + first, t.data() + first, dt.data() + first, g[r], out + first);
    });
}

const Bindings bindings([](nb::module_& m) {
    both(
        m, "composite_forward", &forward<float>, &forward<double>, "density"_a, "dt"_a, "channels"_a, "offsets"_a, "early_stop"_a,
        "values"_a, "opacity"_a, "weights"_a, "after"_a, "threads"_a, "kernels/native/cpu/composite.cpp"
    );
    both(
        m, "composite_backward", &backward<float>, &backward<double>, "density"_a, "dt"_a, "channels"_a, "offsets"_a, "weights"_a,
        "after"_a, "grad_values"_a.none(), "grad_opacity"_a.none(), "grad_weights"_a.none(), "grad_density"_a.none(), "grad_dt"_a.none(),
        "grad_channels"_a.none(), "threads"_a, "kernels/native/cpu/composite.cpp"
    );
    both(
        m, "composite_alpha_forward", &alpha_forward<float>, &alpha_forward<double>, "alpha"_a, "channels"_a, "offsets"_a, "early_stop"_a,
        "values"_a, "opacity"_a, "weights"_a, "before"_a, "threads"_a, "kernels/native/cpu/composite.cpp"
    );
    both(
        m, "composite_alpha_backward", &alpha_backward<float>, &alpha_backward<double>, "alpha"_a, "channels"_a, "offsets"_a,
        "early_stop"_a, "weights"_a, "before"_a, "grad_values"_a.none(), "grad_opacity"_a.none(), "grad_weights"_a.none(),
        "grad_alpha"_a.none(), "grad_channels"_a.none(), "threads"_a, "kernels/native/cpu/composite.cpp"
    );
    both(
        m, "distortion_forward", &distortion_forward<float>, &distortion_forward<double>, "weights"_a, "t"_a, "dt"_a, "offsets"_a, "loss"_a,
        "threads"_a, "kernels/native/cpu/composite.cpp"
    );
    both(
        m, "distortion_backward", &distortion_backward<float>, &distortion_backward<double>, "weights"_a, "t"_a, "dt"_a, "offsets"_a,
        "grad_loss"_a, "grad_weights"_a, "threads"_a, "kernels/native/cpu/composite.cpp"
    );
});

}  // namespace
}  // namespace formfield
