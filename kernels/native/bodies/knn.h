// Nearest neighbours of one query in an implicit balanced k-d tree (layout: kernels/ops/knn.py).
#pragma once
#include "bodies/scalar.h"

namespace formfield {

constexpr int KNN_LEAF = 16;
constexpr int KNN_MAX_DEPTH = 32;

template <class T>
struct KnnTree {
    const T* boxes;        // [2 leaves][2 D]
    const T* leaf_points;  // [leaves][D][16]
    const int32_t* leaf_ids;
    int64_t leaves;
};

template <int D, class T>
HOST_DEVICE T box_distance2(const T* box, const T* q) {
    T sum = 0;
    for (int a = 0; a < D; ++a) {
        const T outside = larger(larger(box[a] - q[a], q[a] - box[D + a]), T(0));
        sum += outside * outside;
    }
    return sum;
}

// Keeps the k smallest, sorted. ids and squared hold `found` <= k entries.
template <class T>
HOST_DEVICE void insert_neighbor(int32_t* ids, T* squared, int& found, int k, int32_t id, T d2) {
    int i = found < k ? found++ : k - 1;
    for (; i > 0 && squared[i - 1] > d2; --i) {
        squared[i] = squared[i - 1];
        ids[i] = ids[i - 1];
    }
    squared[i] = d2;
    ids[i] = id;
}

// Searches within squared distance < limit; writes k ids and squared distances (-1 and infinity where there are fewer).
template <int D, class T>
HOST_DEVICE void knn_query(const KnnTree<T>& tree, const T* q, int k, T limit, T infinity, int32_t* ids, T* squared) {
    struct Pending {
        int64_t node;
        T d2;
    } stack[KNN_MAX_DEPTH];
    int depth = 0, found = 0;
    T worst = limit;
    Pending at{1, box_distance2<D>(tree.boxes + 2 * D, q)};
    for (;;) {
        // A point's computed distance can be below that of its box by rounding, so look a little farther than the worst.
        while (at.node < tree.leaves && at.d2 * T(1 - 1e-6) < worst) {
            const int64_t left = 2 * at.node;
            Pending a{left, box_distance2<D>(tree.boxes + left * 2 * D, q)};
            Pending b{left + 1, box_distance2<D>(tree.boxes + (left + 1) * 2 * D, q)};
            if (b.d2 < a.d2) {
                const Pending swap = a;
                a = b;
                b = swap;
            }
            stack[depth++] = b;
            at = a;
        }
        if (at.d2 * T(1 - 1e-6) < worst) {
            const int64_t leaf = at.node - tree.leaves;
            const T* p = tree.leaf_points + leaf * D * KNN_LEAF;
            T d2[KNN_LEAF];
            for (int i = 0; i < KNN_LEAF; ++i) d2[i] = (p[i] - q[0]) * (p[i] - q[0]);
            for (int a = 1; a < D; ++a)
                for (int i = 0; i < KNN_LEAF; ++i) d2[i] += (p[a * KNN_LEAF + i] - q[a]) * (p[a * KNN_LEAF + i] - q[a]);
            for (int i = 0; i < KNN_LEAF; ++i) {
                if (!(d2[i] < worst)) continue;
                insert_neighbor(ids, squared, found, k, tree.leaf_ids[leaf * KNN_LEAF + i], d2[i]);
                if (found == k) worst = smaller(worst, squared[k - 1]);
            }
        }
        do {
            if (depth == 0) {
                for (; found < k; ++found) {
                    ids[found] = -1;
                    squared[found] = infinity;
                }
                return;
            }
            at = stack[--depth];
        } while (!(at.d2 * T(1 - 1e-6) < worst));
    }
}

}  // namespace formfield
