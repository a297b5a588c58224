// knn: the tree is built level by level with all nodes of a level in parallel; queries are independent.
#include "bodies/knn.h"

#include <nanobind/nanobind.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "cpu/arrays.h"
#include "cpu/bindings.h"
#include "cpu/parallel.h"

namespace formfield {
namespace {

template <int D, class T>
void bounds(const T* points, const int32_t* order, int64_t begin, int64_t end, T* box) {
    for (int a = 0; a < D; ++a) {
        box[a] = std::numeric_limits<T>::infinity();
        box[D + a] = -std::numeric_limits<T>::infinity();
    }
    for (int64_t i = begin; i < end; ++i) {
        for (int a = 0; a < D; ++a) {
            const T x = points[int64_t(order[i]) * D + a];
            box[a] = std::min(box[a], x);
            box[D + a] = std::max(box[D + a], x);
        }
    }
}

template <int D, class T>
void build_tree(const T* points, int64_t n, int64_t leaves, T* boxes, T* leaf_points, int32_t* leaf_ids, int threads) {
    std::vector<int32_t> order(static_cast<size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    std::fill(boxes, boxes + 2 * D, T(0));
    // Node `first + i` of a level with `first` nodes owns [n i / first, n (i+1) / first): halves that differ by one at most.
    for (int64_t first = 1; first <= leaves; first *= 2) {
        parallel_tasks(threads, first, [&](int64_t i, int) {
            const int64_t begin = n * i / first, end = n * (i + 1) / first;
            T* box = boxes + (first + i) * 2 * D;
            bounds<D>(points, order.data(), begin, end, box);
            if (first < leaves) {
                int axis = 0;
                for (int a = 1; a < D; ++a)
                    if (box[D + a] - box[a] > box[D + axis] - box[axis]) axis = a;
                const int64_t middle = n * (2 * i + 1) / (2 * first);
                std::nth_element(
                    order.begin() + begin, order.begin() + middle, order.begin() + end,
                    [&](int32_t p, int32_t q) {
                        const T x = points[int64_t(p) * D + axis], y = points[int64_t(q) * D + axis];
                        return x < y || (x == y && p < q);
                    }
                );
                return;
            }
            std::sort(order.begin() + begin, order.begin() + end);
            for (int64_t j = 0; j < KNN_LEAF; ++j) {
                const bool there = begin + j < end;
                leaf_ids[i * KNN_LEAF + j] = there ? order[begin + j] : -1;
                for (int a = 0; a < D; ++a)
                    leaf_points[(i * D + a) * KNN_LEAF + j] =
                        there ? points[int64_t(order[begin + j]) * D + a] : std::numeric_limits<T>::infinity();
            }
        });
    }
}

template <class T>
void build(Array<const T> points, Array<T> boxes, Array<T> leaf_points, Array<int32_t> leaf_ids, int threads) {
    const int64_t n = int64_t(points.shape(0)), leaves = int64_t(leaf_ids.shape(0));
    const T* p = points.data();
    T *b = boxes.data(), *l = leaf_points.data();
    int32_t* ids = leaf_ids.data();
    const bool flat = points.shape(1) == 2;
    nb::gil_scoped_release release;
    if (flat)
        build_tree<2>(p, n, leaves, b, l, ids, threads);
    else
        build_tree<3>(p, n, leaves, b, l, ids, threads);
}

// The neighbours of the query before are real points: how far they can be from this query bounds the search, tightly if the queries are
// neighbours too.
template <int D, class T>
void query_all(const KnnTree<T>& tree, const T* queries, int64_t count, int k, int32_t* ids, T* squared, int threads) {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    parallel_ranges(threads, count, 256, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const T* q = queries + i * D;
            T limit = infinity;
            if (i > begin && ids[i * k - 1] >= 0) {
                // |q - p| <= |q - q'| + |q' - p|: no need to fetch the points themselves
                T step = 0;
                for (int a = 0; a < D; ++a) step += (q[a] - q[a - D]) * (q[a] - q[a - D]);
                const T reach = std::sqrt(step) + std::sqrt(squared[i * k - 1]);
                limit = reach * reach * T(1 + 1e-5) + std::numeric_limits<T>::min();
            }
            knn_query<D>(tree, q, k, limit, infinity, ids + i * k, squared + i * k);
        }
    });
}

template <class T>
void query(
    Array<const T> boxes, Array<const T> leaf_points, Array<const int32_t> leaf_ids, Array<const T> queries, Array<int32_t> indices,
    Array<T> squared, int threads
) {
    const KnnTree<T> tree{boxes.data(), leaf_points.data(), leaf_ids.data(), int64_t(leaf_ids.shape(0))};
    const int64_t count = int64_t(queries.shape(0));
    const int k = int(indices.shape(1));
    const T* q = queries.data();
    int32_t* ids = indices.data();
    T* d2 = squared.data();
    const bool flat = queries.shape(1) == 2;
    nb::gil_scoped_release release;
    if (flat)
        query_all<2>(tree, q, count, k, ids, d2, threads);
    else
        query_all<3>(tree, q, count, k, ids, d2, threads);
}

const Bindings bindings([](nb::module_& m) {
    both(
        m, "knn_build", &build<float>, &build<double>, "points"_a, "boxes"_a, "leaf_points"_a, "leaf_ids"_a, "threads"_a,
        "kernels/native/cpu/knn.cpp"
    );
    both(
        m, "knn_query", &query<float>, &query<double>, "boxes"_a, "leaf_points"_a, "leaf_ids"_a, "queries"_a, "indices"_a, "squared"_a,
        "threads"_a, "kernels/native/cpu/knn.cpp"
    );
});

}  // namespace
}  // namespace formfield
