// Geometry of a grid, shared by the scalar and the SIMD code.
#pragma once
#include <cstdint>
#include <vector>

#include "bodies/hash_grid.h"
#include "bodies/mlp.h"

namespace formfield {

struct Grid {
    int dims, features;
    bool smoothstep;
    std::vector<GridLevel> levels;
};

}  // namespace formfield
