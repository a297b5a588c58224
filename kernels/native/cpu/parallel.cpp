#include "cpu/parallel.h"

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace formfield {
namespace {

constexpr int MAX_THREADS = 256;

struct Pool {
    std::mutex submit;  // one caller at a time: others wait, they do not share
    std::mutex mutex;
    std::condition_variable wake, done;
    int started = 0;       // helper threads alive
    int wanted = 0;        // helpers taking part in the current job
    int running = 0;       // of those, not finished yet
    uint64_t job = 0;      // number of the current job
    Task task = nullptr;
    void* context = nullptr;
    int64_t tasks = 0;
    std::atomic<int64_t> next{0};

    void work(int worker) {
        for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) task(context, i, worker);
    }

    void loop(int helper, uint64_t seen) {
        std::unique_lock<std::mutex> lock(mutex);
        for (;;) {
            wake.wait(lock, [&] { return job != seen; });
            seen = job;
            if (helper >= wanted) continue;
            lock.unlock();
            work(helper + 1);
            lock.lock();
            if (--running == 0) done.notify_one();
        }
    }

    void run(int threads, int64_t count, Task f, void* c) {
        std::lock_guard<std::mutex> alone(submit);
        const int helpers = threads - 1;
        {
            std::lock_guard<std::mutex> lock(mutex);
            for (; started < helpers; ++started) std::thread(&Pool::loop, this, started, job).detach();
            task = f, context = c, tasks = count;
            next.store(0, std::memory_order_relaxed);
            wanted = running = helpers;
            ++job;
        }
        wake.notify_all();
        work(0);
        std::unique_lock<std::mutex> lock(mutex);
        done.wait(lock, [&] { return running == 0; });
    }
};

// Never destroyed: its threads are detached and may outlive static destructors. After fork() the child has none of the threads, so
// it gets a new pool.
Pool* pool = nullptr;
std::once_flag once;

}  // namespace

void run_tasks(int threads, int64_t tasks, Task task, void* context) {
    if (tasks < threads) threads = static_cast<int>(tasks);
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    if (threads <= 1) {
        for (int64_t i = 0; i < tasks; ++i) task(context, i, 0);
        return;
    }
    std::call_once(once, [] {
        pool = new Pool;
        pthread_atfork(nullptr, nullptr, [] { pool = new Pool; });
    });
    pool->run(threads, tasks, task, context);
}

}  // namespace formfield
