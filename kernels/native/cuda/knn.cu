// knn: one thread per query. DIMS: dimensions of a point. K: neighbours asked for.
//
// The walk is that of bodies/knn.h, nearer child first, without its stack: the tree's nodes are numbered, so a node's sibling and parent are
// known, and one bit per level says whether the farther child is still to come. The neighbours found stay in registers.
#include "cuda/thread.h"

#include "bodies/entry.h"
#include "bodies/knn.h"

namespace formfield {

struct Neighbors {
    int32_t ids[K];
    REAL squared[K];

    DEVICE explicit Neighbors(REAL infinity) {
        UNROLLED
        for (int j = 0; j < K; ++j) ids[j] = -1, squared[j] = infinity;
    }
    // Sorted, the nearest first; what is as far as another comes behind it. An exchange for every place, so that none has to be looked up.
    DEVICE void insert(int32_t id, REAL d2) {
        UNROLLED
        for (int j = K - 1; j >= 0; --j) {
            const bool here = d2 < squared[j], before = j > 0 && d2 < squared[j > 0 ? j - 1 : 0];
            if (before) {
                squared[j] = squared[j > 0 ? j - 1 : 0];
                ids[j] = ids[j > 0 ? j - 1 : 0];
            } else if (here) {
                squared[j] = d2;
                ids[j] = id;
            }
        }
    }
};

struct Tree {
    const REAL* boxes;
    REAL q[DIMS];

    DEVICE REAL to_box(uint32_t node) const {
        using Corners = Entry<REAL, 2 * DIMS>;
        const Corners box = reinterpret_cast<const Corners*>(boxes)[node];
        return box_distance2<DIMS>(box.v, q);
    }
};

KERNEL knn_queries(int64_t n, const REAL* boxes, const REAL* leaf_points, const int32_t* leaf_ids, int64_t leaves, const REAL* queries,
                   double infinity, int32_t* ids, REAL* squared) {
    const int64_t i = thread_x();
    if (i >= n) return;
    Tree tree = {boxes, {}};
    for (int a = 0; a < DIMS; ++a) tree.q[a] = queries[i * DIMS + a];
    Neighbors found = Neighbors(REAL(infinity));
    uint32_t node = 1, waiting = 0;  // bit 0: the sibling of `node` is still to come; bit 1: its parent's; ...
    REAL d2 = tree.to_box(node);
    for (;;) {
        // A point's computed distance can be below that of its box by rounding, so look a little farther than the worst.
        while (node < leaves && d2 * REAL(1 - 1e-6) < found.squared[K - 1]) {
            const REAL left = tree.to_box(2 * node), right = tree.to_box(2 * node + 1);
            node = 2 * node + (right < left ? 1 : 0);
            d2 = right < left ? right : left;
            waiting = waiting << 1 | 1;
        }
        if (d2 * REAL(1 - 1e-6) < found.squared[K - 1]) {
            const int64_t leaf = int64_t(node) - leaves;
            using Four = Entry<REAL, 4>;
            const Four* points = reinterpret_cast<const Four*>(leaf_points + leaf * DIMS * KNN_LEAF);
            ONE_BY_ONE
            for (int part = 0; part < KNN_LEAF / 4; ++part) {
                REAL away[4] = {};
                UNROLLED
                for (int a = 0; a < DIMS; ++a) {
                    const Four p = points[a * (KNN_LEAF / 4) + part];
                    UNROLLED
                    for (int j = 0; j < 4; ++j) away[j] += (p[j] - tree.q[a]) * (p[j] - tree.q[a]);
                }
                UNROLLED
                for (int j = 0; j < 4; ++j)
                    if (away[j] < found.squared[K - 1]) found.insert(leaf_ids[leaf * KNN_LEAF + 4 * part + j], away[j]);
            }
        }
        do {
            while (node > 1 && (waiting & 1) == 0) node >>= 1, waiting >>= 1;
            if (node == 1) {
                UNROLLED
                for (int j = 0; j < K; ++j) {
                    ids[i * K + j] = found.ids[j];
                    squared[i * K + j] = found.squared[j];
                }
                return;
            }
            node ^= 1, waiting ^= 1;
            d2 = tree.to_box(node);
        } while (!(d2 * REAL(1 - 1e-6) < found.squared[K - 1]));
    }
}

}  // namespace formfield
