// Depth maps of several views: the normal of a pixel from its neighbours' depth, and which other views agree with a pixel.
#pragma once
#include "bodies/scalar.h"

namespace formfield {

// The plane through the depth within `radius` pixels of (x, y), leaving out what is farther than `jump` of the depth from it. On a plane
// 1 / z is affine in the pixel: least squares. Zeros where fewer than half of the window's pixels are left. normal: unit, to the camera.
template <class T>
HOST_DEVICE void refit_normal(const float* depth, int width, int height, const T* camera, int radius, float jump, int x, int y,
                              float* normal) {
    normal[0] = normal[1] = normal[2] = 0;
    const float z = depth[int64_t(y) * width + x];
    if (!(z > 0)) return;
    const float middle = 1.f / z;
    float n = 0, su = 0, sv = 0, suu = 0, suv = 0, svv = 0, sw = 0, swu = 0, swv = 0;
    for (int dy = -radius; dy <= radius; ++dy) {
        if (y + dy < 0 || y + dy >= height) continue;
        for (int dx = -radius; dx <= radius; ++dx) {
            if (x + dx < 0 || x + dx >= width) continue;
            const float there = depth[int64_t(y + dy) * width + x + dx];
            if (!(there > 0) || fabs(there - z) > jump * z) continue;
            const float w = (1.f / there - middle) * z, u = float(dx), v = float(dy);
            n += 1, su += u, sv += v, suu += u * u, suv += u * v, svv += v * v, sw += w, swu += w * u, swv += w * v;
        }
    }
    if (2 * n < (2 * radius + 1) * (2 * radius + 1)) return;
    const float uu = suu - su * su / n, uv = suv - su * sv / n, vv = svv - sv * sv / n, wu = swu - sw * su / n, wv = swv - sw * sv / n;
    const float determinant = uu * vv - uv * uv;
    if (!(determinant > 1e-3f * uu * vv)) return;
    const T b = (wu * vv - wv * uv) / determinant, c = (wv * uu - wu * uv) / determinant;
    const T a = 1 + (sw - b * su - c * sv) / n;  // times z: only directions matter
    const T p = -b * camera[0], q = -c * camera[1], r = -(a - b * (x + T(0.5) - camera[2]) - c * (y + T(0.5) - camera[3]));
    const T length = sqrt(p * p + q * q + r * r);
    if (!(a > 0) || !(length > 0)) return;
    normal[0] = float(p / length), normal[1] = float(q / length), normal[2] = float(r / length);
}

// Another view: `pixel` [3][4] takes a point of the reference camera to its pixel times z, `center` [3] is its place there.
template <class T>
struct OtherView {
    const float* depth;
    int32_t width, height;
    T pixel[12], center[3];
};

struct Agreement {
    float depth;     // mean over the reference and the views that agree
    float angle;     // largest between its ray and theirs, radians
    uint8_t count;   // views that agree
    uint8_t before;  // of those, whether one of the first `earlier`
};

// Depth of another view at a place: between the four pixels about it where they belong together, else the pixel's own; 0 unknown.
template <class T>
HOST_DEVICE T depth_at(const OtherView<T>& s, T u, T v, T jump) {
    const int i = int(u), j = int(v);
    const T own = s.depth[int64_t(j) * s.width + i];
    if (!(own > 0)) return 0;
    const T x = u - T(0.5), y = v - T(0.5);
    const int left = int(floor(x)), top = int(floor(y));
    if (left < 0 || top < 0 || left + 1 >= s.width || top + 1 >= s.height) return own;
    const float* d = s.depth + int64_t(top) * s.width + left;
    const T four[4] = {d[0], d[1], d[s.width], d[s.width + 1]};
    for (T z : four)
        if (!(z > 0) || fabs(z - own) > jump * own) return own;
    const T fx = x - left, fy = y - top;
    return 1 / ((1 - fy) * ((1 - fx) / four[0] + fx / four[1]) + fy * ((1 - fx) / four[2] + fx / four[3]));
}

// Views agree whose own depth, where the point falls in them, leads back to the same pixel and the same depth.
template <class T>
HOST_DEVICE Agreement depth_agreement(float z, T rx, T ry, const T* camera, const OtherView<T>* views, int count, int earlier, T pixels,
                                      T relative) {
    Agreement out = {0, 0, 0, 0};
    if (!(z > 0)) return out;
    const T x[3] = {z * rx, z * ry, z};
    T total = z;
    ONE_BY_ONE
    for (int i = 0; i < count; ++i) {
        const OtherView<T>& s = views[i];
        T p[3];
        for (int k = 0; k < 3; ++k) p[k] = s.pixel[4 * k] * x[0] + s.pixel[4 * k + 1] * x[1] + s.pixel[4 * k + 2] * x[2] + s.pixel[4 * k + 3];
        if (!(p[2] > T(1e-6) * z)) continue;
        const T u = p[0] / p[2], v = p[1] / p[2];
        if (!(u >= 0 && v >= 0 && u < s.width && v < s.height)) continue;
        const T k = depth_at(s, u, v, relative) / p[2];
        if (!(k > 0) || fabs(k - 1) > relative) continue;
        T back[3];
        for (int a = 0; a < 3; ++a) back[a] = k * x[a] + (1 - k) * s.center[a];
        if (!(back[2] > 0)) continue;
        const T du = (back[0] / back[2] - rx) * camera[0], dv = (back[1] / back[2] - ry) * camera[1];
        if (!(du * du + dv * dv < pixels * pixels) || fabs(back[2] - z) > relative * z) continue;
        ++out.count;
        if (i < earlier) out.before = 1;
        total += back[2];
        // By tangent: of a small angle, the cosine knows half of the digits.
        const T d[3] = {x[0] - s.center[0], x[1] - s.center[1], x[2] - s.center[2]};
        const T across[3] = {x[1] * d[2] - x[2] * d[1], x[2] * d[0] - x[0] * d[2], x[0] * d[1] - x[1] * d[0]};
        const T sine = sqrt(across[0] * across[0] + across[1] * across[1] + across[2] * across[2]);
        out.angle = larger(out.angle, float(atan2(sine, x[0] * d[0] + x[1] * d[1] + x[2] * d[2])));
    }
    out.depth = float(total / (1 + out.count));
    return out;
}

}  // namespace formfield
