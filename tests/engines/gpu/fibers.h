// Runs kernels, translated from PTX by ptx.py, on the CPU.
//
// A launch runs its blocks one after another, and the threads of a block as fibers on one CPU thread.
// A fiber runs until it waits: at a barrier for its block, at a warp operation for its warp. Which one
// runs next is the launch's `order`, so that code which only works when threads happen to run in step
// gives different results, or none: a barrier that some threads do not reach ends the launch with an
// error. Device memory is host memory; fresh shared memory is poisoned.
//
// What it cannot show: weak memory ordering, limits of the hardware, speed; nor that a __syncwarp is gone
// where the lanes meet at a warp operation or a barrier soon after.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif
#ifndef __x86_64__
#include <ucontext.h>
#endif

struct Dimensions {
  unsigned x, y, z;
};

namespace shim {

enum class State { runnable, at_barrier, at_warp, done };

// Orders of the threads. The warp orders run one warp until all of it waits for the block.
enum Order {
  forward,
  backward,
  warps_forward,
  warps_backward,
  shuffled
};  // and above: other shuffles

constexpr size_t STACK = 64 << 10;
constexpr size_t GUARD = 4096;
constexpr size_t SHARED = 232448;  // the most that a block can have, on compute capability 9.0
constexpr size_t STATIC =
    48 << 10;  // for the arrays that a kernel declares, before its dynamic ones

struct Fiber {
#ifdef __x86_64__
  void* stack_pointer;
#else
  ucontext_t context;
#endif
  std::unique_ptr<char[]> stack{new char[STACK]};
  State state;
  unsigned phase;  // warp operations it has begun
};

struct Warp {
  uint64_t values[2][32];  // by phase: a lane can be one operation ahead of another
  unsigned arrived;
};

inline std::vector<Fiber> fibers;
inline std::vector<Warp> warps;
inline unsigned current;    // the fiber that runs
inline unsigned waiting;    // fibers at the barrier
inline int reached;         // which barrier
inline int votes, verdict;  // of __syncthreads_or
inline int skipped = -1;    // a barrier to leave out, for the tests that notice
inline const char* fault;   // why the launch has to end
inline void (*kernel)(void* const*);
inline void* const* arguments;

#ifdef __x86_64__
extern "C" void shim_switch(void** from, void* to);
asm(R"(
.text
.globl shim_switch
.type shim_switch, @function
shim_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi); movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
.size shim_switch, .-shim_switch
)");
inline void* scheduler;
inline void leave() { shim_switch(&fibers[current].stack_pointer, scheduler); }
inline void enter(unsigned thread) {
  current = thread;
  shim_switch(&scheduler, fibers[thread].stack_pointer);
}
#else
inline ucontext_t scheduler;
inline void leave() { swapcontext(&fibers[current].context, &scheduler); }
inline void enter(unsigned thread) {
  current = thread;
  swapcontext(&scheduler, &fibers[thread].context);
}
#endif

inline void run_thread() {
  kernel(arguments);
  fibers[current].state = State::done;
  leave();
}

inline void prepare(Fiber& fiber) {
  fiber.state = State::runnable;
  fiber.phase = 0;
#ifdef __x86_64__
  auto top = (reinterpret_cast<uintptr_t>(fiber.stack.get() + STACK) & ~uintptr_t(15)) - 16;
  void** slot = reinterpret_cast<void**>(top);
  *slot = reinterpret_cast<void*>(&run_thread);
  for (int i = 0; i < 6; ++i) *--slot = nullptr;  // the registers that shim_switch restores
  fiber.stack_pointer = slot;
#else
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = STACK;
  makecontext(&fiber.context, run_thread, 0);
#endif
}

inline void fail(const char* reason) {
  if (!fault) fault = reason;
  for (;;) leave();  // never resumed
}

inline int barrier(int number, int vote) {
  if (number == skipped) return vote;
  if (waiting && number != reached) fail("threads wait at different barriers");
  reached = number;
  votes |= vote;
  if (++waiting == fibers.size()) {
    verdict = votes;
    waiting = votes = 0;
    for (Fiber& fiber : fibers) fiber.state = State::runnable;
  } else {
    fibers[current].state = State::at_barrier;
    leave();
  }
  return verdict;
}

// Deposits a value, waits for the whole warp, and returns what each lane has deposited.
inline const uint64_t* exchange(unsigned mask, uint64_t value) {
  if (mask != 0xffffffffu) fail("a warp operation without the whole warp");
  unsigned first = current / 32 * 32;
  Warp& warp = warps[current / 32];
  uint64_t* values = warp.values[fibers[current].phase++ % 2];
  values[current % 32] = value;
  if (++warp.arrived == 32) {
    warp.arrived = 0;
    for (unsigned i = first; i < first + 32; ++i) fibers[i].state = State::runnable;
  } else {
    fibers[current].state = State::at_warp;
    leave();
  }
  return values;
}

inline bool run_until_blocked(unsigned thread) {
  if (fibers[thread].state != State::runnable) return false;
  enter(thread);
  return true;
}

inline void run_block(int order) {
  std::vector<unsigned> turns(fibers.size());
  std::iota(turns.begin(), turns.end(), 0u);
  bool backwards = order == backward || order == warps_backward;
  if (backwards) std::reverse(turns.begin(), turns.end());
  uint64_t random = order * 0x9E3779B97F4A7C15ull + 1;
  for (bool progress = true; progress && !fault;) {
    progress = false;
    if (order >= shuffled) {
      for (size_t i = turns.size(); i-- > 1;) {
        random = random * 6364136223846793005ull + 1442695040888963407ull;
        std::swap(turns[i], turns[(random >> 33) % (i + 1)]);
      }
    }
    bool warp_by_warp = order == warps_forward || order == warps_backward;
    for (size_t first = 0; first < turns.size(); first += warp_by_warp ? 32 : turns.size()) {
      size_t last = warp_by_warp ? std::min(first + 32, turns.size()) : turns.size();
      bool again = true;
      while (again && !fault) {
        again = false;
        for (size_t i = first; i < last && !fault; ++i) again |= run_until_blocked(turns[i]);
        progress |= again;
        again &= warp_by_warp;
      }
    }
  }
  for (const Fiber& fiber : fibers) {
    if (fiber.state != State::done && !fault) fault = "threads wait for others that never come";
  }
}

template <class... Parameters, size_t... Places>
void call_with(void (*function)(Parameters...), void* const* values,
               std::index_sequence<Places...>) {
  function(*static_cast<Parameters*>(values[Places])...);
}

template <class... Parameters>
void call(void (*function)(Parameters...), void* const* values) {
  call_with(function, values, std::index_sequence_for<Parameters...>());
}

template <class... Parameters>
std::vector<size_t> sizes_of(void (*)(Parameters...)) {
  return {sizeof(Parameters)...};
}

struct Kernel {
  const char* name;
  void (*run)(void* const*);
  std::vector<size_t> sizes;  // of the parameters
};

}  // namespace shim

// of every kernel: what it declares, then its dynamic shared memory
inline unsigned long long shared_memory[(shim::STATIC + shim::SHARED) / 8];

inline Dimensions blockIdx, blockDim, gridDim;

namespace shim {

// Returns null, or why the kernel could not run to its end.
inline const char* launch(const Kernel& kernel_, unsigned grid, unsigned block, size_t shared,
                          void* const* values, const size_t* sizes, size_t count, int order) {
  if (count != kernel_.sizes.size()) return "wrong number of arguments";
  for (size_t i = 0; i < count; ++i) {
    if (sizes[i] != kernel_.sizes[i]) return "an argument of the wrong size";
  }
  if (block > 1024) return "too many threads";
  if (shared > SHARED) return "too much shared memory";
  fibers.resize(block);
  kernel = kernel_.run;
  arguments = values;
  gridDim = {grid, 1, 1};
  blockDim = {block, 1, 1};
  fault = nullptr;
  char* memory = reinterpret_cast<char*>(shared_memory) + STATIC;
  for (unsigned i = 0; i < grid && !fault; ++i) {
    blockIdx = {i, 0, 0};
    waiting = votes = 0;
    warps.assign((block + 31) / 32, Warp{});
    for (Fiber& fiber : fibers) prepare(fiber);
    std::memset(memory - STATIC, 0xA5, STATIC + std::min(shared + GUARD, SHARED));
#ifdef __SANITIZE_ADDRESS__
    ASAN_POISON_MEMORY_REGION(memory + shared, SHARED - shared);
#endif
    run_block(order);
#ifdef __SANITIZE_ADDRESS__
    ASAN_UNPOISON_MEMORY_REGION(memory, SHARED);
#endif
    for (size_t place = shared; place < std::min(shared + GUARD, SHARED); ++place) {
      if (memory[place] != char(0xA5) && !fault) fault = "a write beyond shared memory";
    }
  }
  return fault;
}

}  // namespace shim

#define SHIM_KERNEL(name)                                                              \
  shim::Kernel {                                                                       \
    #name, [](void* const* values) { shim::call(name, values); }, shim::sizes_of(name) \
  }
