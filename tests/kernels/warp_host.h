// The functions of native/cuda/warp.h on a CPU: the 128 threads of a block are fibers that take turns, in one of four orders. A fiber
// runs until it comes to an operation of its warp or block that others have not come to. Shared memory starts as NaN.
//
// Found besides wrong numbers: threads that never arrive or meet in different operations, words of shared memory that two warps use without
// a barrier between them (whatever the order), addresses not aligned, accesses that take more than one turn for conflicts of banks.
#pragma once
#define FORMFIELD_WARP_HOST
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace emulator {

constexpr int LANES = 128;
enum Order { FORWARD, REVERSE, PERMUTED, GREEDY };
enum Operation { SYNC, MULTIPLY, MATRICES, TRANSPOSED, EXCHANGE };
enum Access { WORD, TWO, FOUR, MATRIX };  // kinds of accesses whose banks are looked at

struct Slot {
    int operation, peer;
    uint32_t a[4], b[2];
    float c[4], given, got;
    const uint32_t* row;
    uint32_t matrices[4];
};
struct Group {
    int arrived = 0, generation = 0;
    Slot slot[LANES];
};
struct Lane {
    ucontext_t begin;
    jmp_buf context;
    bool started, done;
    Group* waits;
    int generation, epoch;
    std::vector<std::pair<int, uint32_t>> log;
};
struct Word {
    int written = -1, writer = -1, read = -1;
    uint32_t readers = 0;
};

inline Lane lanes[LANES];
inline Group warps[LANES / 32], whole;
inline jmp_buf scheduler;
inline int current, block, blocks;
inline std::vector<uint32_t> pool;
inline std::vector<Word> words;
inline std::string error;
inline int64_t races, most_turns[4];
inline void (*kernel)(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t);
inline int64_t arguments[11];

inline std::vector<std::pair<int64_t, int64_t>> tensors;  // first and last address of each
inline void fail(const char* what) {
    if (error.empty()) error = what;
}
inline void yield() {
    if (!_setjmp(lanes[current].context)) _longjmp(scheduler, 1);
}
// The last to arrive does the work for all.
template <class F>
void collect(Group& group, int first, int size, int operation, F work) {
    Lane& lane = lanes[current];
    group.slot[current - first].operation = operation;
    if (++group.arrived == size) {
        for (int i = 0; i < size; ++i)
            if (group.slot[i].operation != operation) fail("threads meet in different operations");
        work(group);
        group.arrived = 0;
        ++group.generation;
        return;
    }
    lane.waits = &group, lane.generation = group.generation;
    yield();
    lane.waits = nullptr;
}
template <class F>
void in_warp(int operation, F work) {
    collect(warps[current / 32], current / 32 * 32, 32, operation, work);
}
inline Slot& slot() { return warps[current / 32].slot[current % 32]; }

inline uint32_t at(const void* address, int size) {
    const auto word = static_cast<const uint32_t*>(address) - pool.data();
    if (word < 0 || word + size > int64_t(pool.size()) - 64) fail("outside shared memory"), std::abort();
    return uint32_t(word);
}
inline void wrote(uint32_t word) {
    const int epoch = lanes[current].epoch, warp = current / 32;
    Word& w = words[word];
    if ((w.written == epoch && w.writer != warp) || (w.read == epoch && (w.readers & ~(1u << warp)))) ++races;
    w.written = epoch, w.writer = warp;
}
inline void reads(const void* address, int count, int kind) {
    const int epoch = lanes[current].epoch, warp = current / 32;
    const uint32_t first = at(address, count);
    if (uint32_t(reinterpret_cast<uintptr_t>(address) % (4 * count))) fail("a shared address is not aligned");
    for (int i = 0; i < count; ++i) {
        Word& w = words[first + i];
        if (w.written == epoch && w.writer != warp) ++races;
        if (w.read != epoch) w.read = epoch, w.readers = 0;
        w.readers |= 1u << warp;
    }
    lanes[current].log.push_back({kind, first});
}

// Turns of each access of a warp: how many different words its lanes want of one bank. Wide ones are made by 16 or 8 lanes at a time.
inline void count_turns() {
    const int width[] = {1, 2, 4, 4};
    for (int w = 0; w < LANES / 32; ++w) {
        const Lane* of = lanes + 32 * w;
        for (int l = 1; l < 32; ++l)
            if (of[l].log.size() != of[0].log.size()) return fail("lanes of a warp differ in their accesses");
        for (size_t i = 0; i < of[0].log.size(); ++i) {
            const int kind = of[0].log[i].first, size = 32 / width[kind];
            for (int begin = 0; begin < 32; begin += size) {
                std::vector<uint32_t> wanted[32];
                for (int l = begin; l < begin + size; ++l)
                    for (int k = 0; k < width[kind]; ++k) {
                        const uint32_t word = of[l].log[i].second + k;
                        auto& bank = wanted[word % 32];
                        if (std::find(bank.begin(), bank.end(), word) == bank.end()) bank.push_back(word);
                    }
                for (const auto& bank : wanted) most_turns[kind] = std::max(most_turns[kind], int64_t(bank.size()));
            }
        }
    }
}

inline void enter() {
    const int64_t* a = arguments;
    kernel(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10]);
    lanes[current].done = true;
    _longjmp(scheduler, 1);
}
inline bool turn(int lane) {
    Lane& l = lanes[lane];
    if (l.done || (l.waits && l.waits->generation == l.generation)) return false;
    current = lane;
    if (!_setjmp(scheduler)) {
        if (l.started) _longjmp(l.context, 1);
        l.started = true;
        setcontext(&l.begin);
    }
    return true;
}
inline bool pass(int order) {
    bool moved = false;
    if (order == GREEDY)  // a warp as far as it comes alone
        for (int w = 0; w < LANES / 32; ++w)
            for (bool again = true; again;) {
                again = false;
                for (int l = 0; l < 32; ++l) again |= turn(32 * w + l);
                moved |= again;
            }
    else
        for (int l = 0; l < LANES; ++l) moved |= turn(order == REVERSE ? LANES - 1 - l : order == PERMUTED ? (l * 37 + 11) % LANES : l);
    return moved;
}

// Runs all blocks; numbers of races and turns are added to the counts. The error, empty if there is none.
extern "C" const char* emulator_run(void* function, const int64_t* given, const int64_t* sizes, int order, int number, int64_t bytes,
                                    int64_t* counts) {
    static std::vector<std::vector<char>> stacks(LANES, std::vector<char>(1 << 18));
    kernel = reinterpret_cast<decltype(kernel)>(function);
    std::copy(given, given + 11, arguments);
    tensors.clear();
    for (int i = 0; i < 11; ++i)
        if (sizes[i]) tensors.push_back({given[i], given[i] + sizes[i]});
    blocks = number, races = 0, error.clear();
    std::fill(most_turns, most_turns + 4, 0);
    for (block = 0; block < blocks && error.empty(); ++block) {
        pool.assign(bytes / 4 + 64, 0xFFFFFFFFu);
        words.assign(pool.size(), {});
        for (Group& warp : warps) warp = {};
        whole = {};
        for (Lane& lane : lanes) {
            lane.started = lane.done = false, lane.waits = nullptr, lane.epoch = 0;
            lane.log.clear();
            getcontext(&lane.begin);
            auto& stack = stacks[&lane - lanes];
            lane.begin.uc_stack.ss_sp = stack.data(), lane.begin.uc_stack.ss_size = stack.size(), lane.begin.uc_link = nullptr;
            makecontext(&lane.begin, enter, 0);
        }
        while (pass(order)) {
        }
        for (const Lane& lane : lanes)
            if (!lane.done) fail("a thread waits for others that never come");
        if (error.empty()) count_turns();
        if (std::any_of(pool.end() - 64, pool.end(), [](uint32_t w) { return w != 0xFFFFFFFFu; })) fail("written past shared memory");
    }
    counts[0] += races;
    for (int kind = 0; kind < 4; ++kind) counts[1 + kind] = std::max(counts[1 + kind], most_turns[kind]);
    return error.c_str();
}

// Whether so many bytes are aligned and in a tensor that the kernel was given.
inline bool sound(const void* p, int bytes) {
    const auto first = int64_t(reinterpret_cast<uintptr_t>(p));
    if (first % bytes) fail("a global address is not aligned");
    for (const auto& [begin, end] : tensors)
        if (begin <= first && first + bytes <= end) return true;
    fail("outside of all tensors");
    return false;
}
// A number in [-1, 1] that hangs on the bits of x only: errors of the fast functions, as large as they may be.
inline float noise(float x) {
    uint32_t h;
    std::memcpy(&h, &x, 4);
    h = (h ^ h >> 15) * 2246822519u;
    return float(int32_t(h ^ h >> 13)) * (1.0f / 2147483648.0f);
}
inline void matrices(const uint32_t* row, int operation, uint32_t (&r)[4]) {
    reads(row, 4, MATRIX);
    slot().row = row;
    in_warp(operation, [operation](Group& group) {
        auto element = [&](int m, int i, int j) { return group.slot[8 * m + i].row[j / 2] >> 16 * (j & 1) & 0xFFFFu; };
        for (int l = 0; l < 32; ++l)
            for (int m = 0; m < 4; ++m) {
                const int g = l / 4, t = l % 4;
                group.slot[l].matrices[m] = operation == MATRICES ? element(m, g, 2 * t) | element(m, g, 2 * t + 1) << 16
                                                                  : element(m, 2 * t, g) | element(m, 2 * t + 1, g) << 16;
            }
    });
    std::memcpy(r, slot().matrices, 16);
}

}  // namespace emulator

namespace formfield {

#define WARP inline
#define WARP_TABLE constexpr
#define UNROLL
#define BLOCK_KERNEL(resident) extern "C" void
#define BLOCK_POOL(name) uint32_t* name = emulator::pool.data()

WARP int lane_of() { return emulator::current & 31; }
WARP int warp_of() { return emulator::current >> 5; }
WARP int64_t block_of() { return emulator::block; }
WARP int64_t blocks_of() { return emulator::blocks; }
WARP void block_sync() {
    emulator::collect(emulator::whole, 0, emulator::LANES, emulator::SYNC, [](emulator::Group&) {});
    ++emulator::lanes[emulator::current].epoch;
}
WARP float as_float(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}
WARP uint32_t as_bits(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}
WARP uint32_t multiply_high(uint32_t a, uint32_t b) { return uint32_t(uint64_t(a) * b >> 32); }
WARP uint32_t rounded(float x) {  // to bf16, to nearest even
    const uint32_t u = as_bits(x);
    return x != x ? 0x7FFFu : (u + 0x7FFFu + (u >> 16 & 1)) >> 16;
}
WARP uint32_t pack(float first, float second) { return rounded(first) | rounded(second) << 16; }
WARP void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    emulator::Slot& mine = emulator::slot();
    std::memcpy(mine.a, a, 16), std::memcpy(mine.c, c, 16);
    mine.b[0] = b0, mine.b[1] = b1;
    emulator::in_warp(emulator::MULTIPLY, [](emulator::Group& group) {
        float A[16][16], B[16][8];
        auto half = [](uint32_t word, int i) { return as_float(i ? word & 0xFFFF0000u : word << 16); };
        for (int l = 0; l < 32; ++l) {
            const int g = l / 4, t = l % 4;
            for (int h = 0; h < 2; ++h) {
                for (int i = 0; i < 4; ++i) A[g + 8 * (i & 1)][2 * t + h + 8 * (i >> 1)] = half(group.slot[l].a[i], h);
                for (int i = 0; i < 2; ++i) B[2 * t + h + 8 * i][g] = half(group.slot[l].b[i], h);
            }
        }
        for (int l = 0; l < 32; ++l)
            for (int i = 0; i < 4; ++i) {
                const int row = l / 4 + 8 * (i >> 1), column = 2 * (l % 4) + (i & 1);
                float sum = group.slot[l].c[i];
                for (int k = 0; k < 16; ++k) sum += A[row][k] * B[k][column];
                group.slot[l].c[i] = sum;
            }
    });
    std::memcpy(c, mine.c, 16);  // a lane takes only what is in its own slot: others may be further on
}
WARP void load_matrices(uint32_t (&r)[4], const uint32_t* row) { emulator::matrices(row, emulator::MATRICES, r); }
WARP void load_transposed(uint32_t (&r)[4], const uint32_t* row) { emulator::matrices(row, emulator::TRANSPOSED, r); }
WARP void place(uint32_t* to, uint32_t word) { emulator::wrote(emulator::at(to, 1)), *to = word; }
WARP void put(uint32_t* to, uint32_t word) {
    emulator::lanes[emulator::current].log.push_back({emulator::WORD, emulator::at(to, 1)});
    place(to, word);
}
WARP void get4(const uint32_t* from, uint32_t (&words)[4]) {
    emulator::reads(from, 4, emulator::FOUR);
    std::memcpy(words, from, 16);
}
WARP void get2(const float* from, float& a, float& b) {
    emulator::reads(from, 2, emulator::TWO);
    a = from[0], b = from[1];
}
WARP float gather(const float* from) { return emulator::sound(from, 4) ? *from : NAN; }
WARP void gather2(const float* from, float& a, float& b) {
    const bool sound = emulator::sound(from, 8);
    a = sound ? from[0] : NAN, b = sound ? from[1] : NAN;
}
WARP void write2(float* to, float a, float b) {
    if (emulator::sound(to, 8)) to[0] = a, to[1] = b;
}
WARP float exchange(float value, int peer) {
    emulator::slot().given = value, emulator::slot().peer = peer;
    emulator::in_warp(emulator::EXCHANGE, [](emulator::Group& group) {
        for (int l = 0; l < 32; ++l) group.slot[l].got = group.slot[group.slot[l].peer].given;
    });
    return emulator::slot().got;
}
WARP float from_lane(float value, int lane) { return exchange(value, lane); }
WARP float across(float value, int mask) { return exchange(value, lane_of() ^ mask); }
WARP void add(float* to, float a) {
    if (emulator::sound(to, 4)) *to += a;
}
WARP void add2(float* to, float a, float b) {
    if (emulator::sound(to, 8)) to[0] += a, to[1] += b;
}
WARP float fast_exp(float x) { return std::exp(x) * (1 + emulator::noise(x) * (2 + 1.2f * std::fabs(x)) * 6e-8f); }
WARP float fast_log(float x) { return std::log(x) + emulator::noise(x) * 4e-7f; }
WARP float fast_inverse(float x) { return (1 + emulator::noise(x) * 1.2e-7f) / x; }
WARP float exact_log1p(float x) { return std::log1p(x); }

}  // namespace formfield
