#include "cpu/simd/rbf_layer_tile.h"
#include "cpu/simd/vec.h"

namespace formfield {
namespace FORMFIELD_ISA {
namespace {

struct Vectors {
    using T = float;
    using V = vf;
    static constexpr int LANES = W;
    INLINE vf splat(float s) { return FORMFIELD_ISA::splat(s); }
    INLINE vf exp_negative(vf x) { return FORMFIELD_ISA::exp_negative(x); }
    INLINE float sum(vf v) {
        float s = 0;
        for (int i = 0; i < W; ++i) s += v[i];
        return s;
    }
};
using Tile = RbfLayerTile<Vectors>;

}  // namespace

extern const LayerSimd<float> rbf_layer_simd;
const LayerSimd<float> rbf_layer_simd = {Tile::scratch_size, Tile::forward, Tile::backward};

}  // namespace FORMFIELD_ISA
}  // namespace formfield
