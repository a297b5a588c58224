// The Gaussian RBF layer on tiles of samples, compiled once per instruction set.
//   phi_i = exp(-1/2 sum_j beta_ij (f_j - c_ij)^2),  y_o = bias_o + sum_i w_oi phi_i
// Given a direction v for the features, outputs and gradients are replaced by their derivatives along it.
#pragma once
#include <cstdint>

namespace formfield {

template <class T>
struct LayerJob {
    int features, neurons, outputs;
    const T *centers, *betas;  // [neurons, features]
    const T *weight, *bias;    // [outputs, neurons], [outputs]
    int64_t n;
};

template <class T>
struct LayerSimd {
    int64_t (*scratch)(const LayerJob<T>&);  // numbers of type T, aligned to 64 bytes
    // Numbers of one partial sum of parameter gradients: centres, log betas, weight, bias, one after another.
    void (*forward)(const LayerJob<T>&, const T* x, const T* direction, int64_t begin, int64_t end, T* y, T* scratch);
    // dx may be null; partial may be null, otherwise it is overwritten.
    void (*backward)(const LayerJob<T>&, const T* x, const T* direction, const T* dy, int64_t begin, int64_t end, T* dx, T* partial,
                     T* scratch);
};

template <class T>
int64_t layer_parameters(const LayerJob<T>& job) {
    return int64_t(job.neurons) * (2 * job.features + job.outputs) + job.outputs;
}

#define FORMFIELD_DECLARE_ISA(name)                   \
    namespace isa_##name {                            \
    extern const LayerSimd<float> rbf_layer_simd;     \
    }
FORMFIELD_DECLARE_ISA(baseline)
FORMFIELD_DECLARE_ISA(avx2)
FORMFIELD_DECLARE_ISA(avx512)
#undef FORMFIELD_DECLARE_ISA

}  // namespace formfield
