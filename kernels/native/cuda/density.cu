// VolSDF's density and error bound, and inverse transform sampling. `each` is 1 where beta has a number for every sample or ray, else 0.
#include "cuda/thread.h"

#include "bodies/laplace.h"
#include "bodies/sampling.h"

namespace formfield {

KERNEL laplace_forward(int64_t n, const REAL* sdf, const REAL* beta, int64_t each, REAL* density) {
    const int64_t i = thread_x();
    if (i < n) density[i] = laplace_value(sdf[i], beta[i * each]);
}

// grad_beta per sample, whatever `each` is
KERNEL laplace_backward(int64_t n, const REAL* sdf, const REAL* beta, int64_t each, const REAL* grad, REAL* grad_sdf, REAL* grad_beta) {
    const int64_t i = thread_x();
    if (i >= n) return;
    const LaplaceDensity<REAL> d = laplace_density(sdf[i], beta[i * each]);
    grad_sdf[i] = grad[i] * d.by_sdf;
    grad_beta[i] = grad[i] * d.by_beta;
}

// per_sample or per_ray may be null
KERNEL error_bounds(int64_t rays, const REAL* sdf, const REAL* t, const int64_t* offsets, const REAL* beta, int64_t each, REAL* per_sample,
                    REAL* per_ray) {
    const int64_t r = thread_x();
    if (r >= rays) return;
    const int64_t first = offsets[r];
    const REAL worst = error_bound_ray(offsets[r + 1] - first, sdf + first, t + first, beta[r * each], per_sample ? per_sample + first : nullptr);
    if (per_ray) per_ray[r] = worst;
}

// scratch [samples]
KERNEL solve_betas(int64_t rays, const REAL* sdf, const REAL* t, const int64_t* offsets, const REAL* beta, int64_t each, double epsilon,
                   double log_epsilon, int64_t iterations, REAL* scratch, REAL* result) {
    const int64_t r = thread_x();
    if (r >= rays) return;
    const int64_t first = offsets[r];
    result[r] = solve_beta_ray(offsets[r + 1] - first, sdf + first, t + first, beta[r * each], REAL(epsilon), REAL(log_epsilon),
                               int(iterations), scratch + first);
}

// cdf [samples], flat [rays]: see accumulate_pdf
KERNEL accumulate_pdfs(int64_t rays, const REAL* bins, const REAL* weights, const int64_t* offsets, REAL* cdf, uint8_t* flat) {
    const int64_t r = thread_x();
    if (r >= rays) return;
    const int64_t first = offsets[r];
    flat[r] = accumulate_pdf(offsets[r + 1] - first, bins + first, weights + first, cdf + first);
}

// One thread per number of u [rays, samples].
KERNEL invert_cdfs(int64_t total, int64_t samples, const REAL* bins, const REAL* weights, const int64_t* offsets, const REAL* cdf,
                   const uint8_t* flat, const REAL* u, REAL* out) {
    const int64_t i = thread_x();
    if (i >= total) return;
    const int64_t r = i / samples, first = offsets[r], n = offsets[r + 1] - first;
    const REAL zero = 0;
    out[i] = n == 0 ? zero / zero : invert_cdf(n, bins + first, weights + first, cdf + first, flat[r] != 0, u[i]);
}

}  // namespace formfield
