// A small persistent thread pool. Work is cut the same way for every number of threads, or reduced in a fixed order by the caller,
// so that results do not depend on who ran what. Independent of OpenMP: two of its runtimes in one process spin against each other.
#pragma once
#include <cstdint>

namespace formfield {

using Task = void (*)(void* context, int64_t task, int worker);

// Runs task 0 .. tasks-1 on up to `threads` workers (the caller is worker 0), in order of number but on whichever worker is free.
// Returns when all are done. Tasks must not throw, nor call this again.
void run_tasks(int threads, int64_t tasks, Task task, void* context);

// parallel_tasks(threads, tasks, [&](int64_t task, int worker) { ... })
template <class F>
void parallel_tasks(int threads, int64_t tasks, F&& f) {
    run_tasks(threads, tasks, [](void* context, int64_t task, int worker) { (*static_cast<F*>(context))(task, worker); }, &f);
}

// parallel_ranges(threads, n, grain, [&](int64_t begin, int64_t end) { ... }): [0, n) in pieces of `grain`.
template <class F>
void parallel_ranges(int threads, int64_t n, int64_t grain, F&& f) {
    parallel_tasks(threads, (n + grain - 1) / grain, [&](int64_t task, int) {
        const int64_t begin = task * grain, end = begin + grain < n ? begin + grain : n;
        f(begin, end);
    });
}

}  // namespace formfield
