// Blocks of a kernel run on a CPU: each thread is a fiber, and one that waits for its warp or its block lets the next one go on. ORDER says
// whose turn it is: 0 forward, 1 backward, 2 permuted, 3 a warp as long as any of its lanes can. Whatever depends on the order is a race.
#pragma once
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "cuda/thread.h"

#define SHARED static

namespace formfield {
namespace host {

constexpr int THREADS = 128, WARPS = THREADS / 32;
struct Group {
    int arrived = 0, generation = 0;
};
struct Slot {  // a lane reads its own alone: others may already be in the next exchange
    unsigned char in[16], out[16];
    int from;
};
inline int order = 0, current = 0;
inline int64_t block = 0, blocks = 0;
inline Group warps[WARPS], whole;
inline Slot slots[THREADS];
inline ucontext_t scheduler, fibers[THREADS];
inline bool done[THREADS];
inline std::function<void()> body;

inline void wait() { swapcontext(&fibers[current], &scheduler); }
// The last of `size` to arrive acts for all.
template <class Act>
void meet(Group& group, int size, Act act) {
    const int mine = group.generation;
    if (++group.arrived == size) {
        act();
        group.arrived = 0;
        ++group.generation;
        return;
    }
    for (int turns = 0; group.generation == mine; ++turns) {
        wait();
        if (turns > 1000000) std::puts("a lane never arrived"), std::abort();
    }
}
inline void enter() {
    body();
    done[current] = true;
    wait();
}
inline void step(int i) {
    if (done[i]) return;
    current = i;
    current_thread[0] = block * THREADS + i;
    swapcontext(&scheduler, &fibers[i]);
}
inline void run(int64_t across, int64_t down, std::function<void()> kernel) {
    static std::vector<std::vector<char>> stacks(THREADS, std::vector<char>(1 << 17));
    body = std::move(kernel), blocks = across;
    for (current_thread[1] = 0; current_thread[1] < down; ++current_thread[1]) {
        for (block = 0; block < blocks; ++block) {
            for (int i = 0; i < THREADS; ++i) {
                done[i] = false;
                getcontext(&fibers[i]);
                fibers[i].uc_stack.ss_sp = stacks[size_t(i)].data();
                fibers[i].uc_stack.ss_size = stacks[size_t(i)].size();
                fibers[i].uc_link = &scheduler;
                makecontext(&fibers[i], enter, 0);
            }
            for (Group& warp : warps) warp = {};
            whole = {};
            for (bool left = true; left;) {
                if (order == 3)
                    for (int w = 0; w < WARPS; ++w)
                        for (int turn = 0; turn < 2000; ++turn)
                            for (int k = 0; k < 32; ++k) step(32 * w + k);
                for (int k = 0; k < THREADS; ++k) step(order == 1 ? THREADS - 1 - k : order == 2 ? (k * 37 + 11) % THREADS : k);
                left = false;
                for (bool one : done) left |= !one;
            }
        }
    }
}
template <class T>
T exchanged(T value, int from) {
    static_assert(sizeof(T) <= 16);
    const int first = current / 32 * 32;
    Slot& mine = slots[current];
    std::memcpy(mine.in, &value, sizeof(T));
    mine.from = from;
    meet(warps[current / 32], 32, [&] {
        for (int l = first; l < first + 32; ++l) std::memcpy(slots[l].out, slots[first + slots[l].from].in, sizeof(T));
    });
    T result;
    std::memcpy(&result, slots[current].out, sizeof(T));
    return result;
}
// Calls a kernel with arguments of 8 bytes each.
template <class To>
To argument(uint64_t raw) {
    To value;
    static_assert(sizeof(To) == 8);
    std::memcpy(&value, &raw, 8);
    return value;
}
template <class... A, size_t... I>
void call(void (*kernel)(A...), const uint64_t* raw, std::index_sequence<I...>) {
    kernel(argument<A>(raw[I])...);
}
template <class... A>
void launch(void (*kernel)(A...), int64_t across, int64_t down, const uint64_t* raw) {
    run(across, down, [=] { call(kernel, raw, std::index_sequence_for<A...>()); });
}

}  // namespace host

inline int lane_of() { return host::current % 32; }
inline int thread_of() { return host::current; }
inline int64_t block_of() { return host::block; }
inline int64_t blocks_of() { return host::blocks; }
inline void sync_block() {
    host::meet(host::whole, host::THREADS, [] {});
}
inline void sync_warp() {
    host::meet(host::warps[host::current / 32], 32, [] {});
}
template <class T>
T from_below(T value, int by) {
    return host::exchanged(value, lane_of() >= by ? lane_of() - by : lane_of());
}
template <class T>
T from_above(T value, int by) {
    return host::exchanged(value, lane_of() + by < 32 ? lane_of() + by : lane_of());
}
template <class T>
T from_across(T value, int mask) {
    return host::exchanged(value, lane_of() ^ mask);
}
template <class T>
T from_lane(T value, int lane) {
    return host::exchanged(value, lane);
}
inline bool any_lane(bool it) {
    for (int mask = 16; mask > 0; mask /= 2) it = bool(from_across(it, mask) | it);
    return it;
}

}  // namespace formfield
