// knn: one thread per query. DIMS: dimensions of a point.
#include "cuda/thread.h"

#include "bodies/knn.h"

namespace formfield {

KERNEL knn_queries(int64_t n, const REAL* boxes, const REAL* leaf_points, const int32_t* leaf_ids, int64_t leaves, const REAL* queries,
                   int64_t k, double infinity, int32_t* ids, REAL* squared) {
    const int64_t i = thread_x();
    if (i >= n) return;
    const KnnTree<REAL> tree = {boxes, leaf_points, leaf_ids, leaves};
    int32_t found[64];
    REAL distances[64];
    knn_query<DIMS>(tree, queries + i * DIMS, int(k), REAL(infinity), REAL(infinity), found, distances);
    for (int j = 0; j < k; ++j) {
        ids[i * k + j] = found[j];
        squared[i * k + j] = distances[j];
    }
}

}  // namespace formfield
