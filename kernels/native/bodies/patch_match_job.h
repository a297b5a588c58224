// What a sweep of PatchMatch works on: plain data for every instruction set and for a GPU.
#pragma once
#include "bodies/scalar.h"

namespace formfield {

constexpr int PATCH_MAX_BEST = 4;
constexpr int PATCH_SIDE = 6;                         // samples per side of the window, two pixels apart: 11 x 11 pixels
constexpr int PATCH_SAMPLES = PATCH_SIDE * PATCH_SIDE;
constexpr float PATCH_LEAST_WEIGHT = 1.2f;            // of a window: 5 % of what it has where all is alike and inside the picture
constexpr float PATCH_WORST = 2.f;                    // the cost of what cannot be compared: 1 - NCC of opposite patches

// A photograph that the reference is compared with. A point z r of the reference camera, r = (x, y, 1), lies at pixel
// (X / Z - 0.5, Y / Z - 0.5) + 0.5 of it with (X, Y, Z) = z A r + b; the half pixel is taken off in A and b already.
struct PatchSource {
    const uint32_t* quads;  // [height][width] grey values of a pixel and of those right, below, and right below it, a byte each
    const float* depth;     // [height][width] along its optical axis, 0 unknown; or null
    const uint8_t* mask;    // [height][width] 0 where it shows something else; or null
    int32_t width, height;
    float a[9], b[3];
    float center[3];  // its centre in the reference camera
};

struct PatchJob {
    const uint8_t* grey;  // the reference [height][width]
    const uint8_t* mask;  // or null
    int32_t width, height;
    float fx, fy, cx, cy;
    const PatchSource* sources;
    int32_t count, best;     // sources, and how many of the best of them make a pixel's cost
    float geometric;         // weight of the reprojection error through the sources' depth, per pixel of at most three
    float nearest, farthest; // depth that is looked for
    float variance;          // grey levels squared, below which a patch has no texture
    uint32_t seed;           // of this pass; see patch_random
    float perturbation;      // of depth, relative; normals by as many half turns
    float* planes;           // [height][width][4] depth along the axis (0: none) and unit normal towards the camera
    float* costs;            // [height][width]
};

}  // namespace formfield
