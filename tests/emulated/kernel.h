// What a CUDA kernel needs to be C++: the qualifiers, the indices, the intrinsics, and a launch that runs its threads.
//
// Blocks run one after the other and so do the threads of a block. Where a kernel has a barrier or a shuffle each thread is
// a context of its own (ucontext) that leaves there and is resumed when the others of its block or warp have come that far.
#pragma once
#include <algorithm>
#include <cmath>
#include <math.h>
#include <setjmp.h>
#include <stddef.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <tuple>
#include <type_traits>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __CUDACC_VER_MAJOR__ 12
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __shared__ static  // one block at a time
#define __align__(n) __attribute__((aligned(n)))

#include <cuda_fp16.h>

struct Index { unsigned x, y, z; };
static Index threadIdx, blockIdx, blockDim, gridDim;
static const int warpSize = 32;

// ------------------------------------------------------------------------------------------------ intrinsics

using std::isfinite; using std::isinf; using std::isnan; using std::max; using std::min; using std::signbit;
static inline float rsqrt(float x) { return 1 / std::sqrt(x); }
static inline double rsqrt(double x) { return 1 / std::sqrt(x); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(unsigned x) { return x ? __builtin_clz(x) : 32; }
static inline int __clzll(unsigned long long x) { return x ? __builtin_clzll(x) : 64; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline void __threadfence() {}
template <class T> static inline T __ldg(const T* p) { return *p; }
template <class To, class From> static inline To bits_of(From x) { To y; std::memcpy(&y, &x, sizeof y); return y; }
static inline float __int_as_float(int x) { return bits_of<float>(x); }
static inline int __float_as_int(float x) { return bits_of<int>(x); }
static inline unsigned __float_as_uint(float x) { return bits_of<unsigned>(x); }
static inline float __uint_as_float(unsigned x) { return bits_of<float>(x); }
static inline double __longlong_as_double(long long x) { return bits_of<double>(x); }
static inline long long __double_as_longlong(double x) { return bits_of<long long>(x); }

template <class T> using Same = typename std::common_type<T>::type;  // deduced from the pointer alone
template <class T> static T atomicExch(T* p, Same<T> v) { T old = *p; *p = v; return old; }
template <class T> static T atomicAdd(T* p, Same<T> v) { T old = *p; *p = old + v; return old; }
template <class T> static T atomicSub(T* p, Same<T> v) { T old = *p; *p = old - v; return old; }
template <class T> static T atomicMax(T* p, Same<T> v) { T old = *p; *p = max(old, v); return old; }
template <class T> static T atomicMin(T* p, Same<T> v) { T old = *p; *p = min(old, v); return old; }
template <class T> static T atomicCAS(T* p, Same<T> was, Same<T> v) { T old = *p; if (old == was) *p = v; return old; }

// ---------------------------------------------------------------------------------------------------- launch

enum State { RUNS, AT_WARP, AT_BLOCK, ENDED };  // what a thread waits for: the others of its warp, of its block
struct Thread { ucontext_t context; jmp_buf at; bool begun; char* stack; State state; unsigned shuffles; char handed[2][8]; };
static const size_t STACK = 1 << 16, WARP = 32;
static jmp_buf scheduler;
static std::vector<Thread> threads;
static size_t running, thread_count;
static void (*body)(void**);
static void** arguments;

static void wait_as(State state) {
  threads[running].state = state;
  if (!_setjmp(threads[running].at)) _longjmp(scheduler, 1);
}
// Run the thread until it waits. A context begins it; from then on jumps do, which ask nothing of the system.
__attribute__((noinline)) static void resume(Thread& thread) {
  if (_setjmp(scheduler)) return;
  if (thread.begun) _longjmp(thread.at, 1);
  thread.begun = true;
  setcontext(&thread.context);
}
#define __syncthreads() wait_as(AT_BLOCK)
#define __syncwarp(...) wait_as(AT_WARP)

// What another thread of the warp hands over; the thread's own value if that one is outside of its `width` neighbours.
// Two slots: nobody is more than one shuffle ahead.
template <class T> static T shuffle(T value, unsigned to, unsigned width) {
  unsigned slot = threads[running].shuffles++ % 2, from = running % WARP;
  std::memcpy(threads[running].handed[slot], &value, sizeof value);
  __syncwarp();
  size_t other = running - from + to;
  if (to / width == from / width && other < thread_count) std::memcpy(&value, threads[other].handed[slot], sizeof value);
  return value;
}
static unsigned at_lane() { return running % WARP; }
template <class T> static T __shfl_sync(unsigned, T x, int lane, int width = WARP) {
  return shuffle(x, at_lane() / width * width + lane % width, width);
}
template <class T> static T __shfl_xor_sync(unsigned, T x, int mask, int width = WARP) { return shuffle(x, at_lane() ^ mask, width); }
template <class T> static T __shfl_down_sync(unsigned, T x, unsigned by, int width = WARP) { return shuffle(x, at_lane() + by, width); }
template <class T> static T __shfl_up_sync(unsigned, T x, unsigned by, int width = WARP) { return shuffle(x, at_lane() - by, width); }

static void in_context() {
  body(arguments);
  wait_as(ENDED);
}

static void set_thread(unsigned t) {
  threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
}

static void prepare(Thread& thread) {
  if (!thread.stack) thread.stack = new char[STACK];  // kept, and not written to: most threads need a page of it
  thread.state = RUNS;
  thread.begun = false;
  thread.shuffles = 0;
  getcontext(&thread.context);
  thread.context.uc_stack.ss_sp = thread.stack;
  thread.context.uc_stack.ss_size = STACK;
  thread.context.uc_link = nullptr;
  makecontext(&thread.context, in_context, 0);
}

// Let the threads from first to end - 1 that wait as `from` run on, if all do that have not ended; whether any did.
static bool release(size_t first, size_t end, State from) {
  bool any = false;
  for (size_t t = first; t < end; t++) {
    if (threads[t].state != from && threads[t].state != ENDED) return false;
    any |= threads[t].state == from;
  }
  for (size_t t = first; any && t < end; t++)
    if (threads[t].state == from) threads[t].state = RUNS;
  return any;
}

// From barrier to barrier the threads run once upwards and once downwards: where a barrier is missing, one of the two
// orders has a thread read what was not written yet, or no longer.
static void run_warp(size_t first, size_t end, bool downwards) {
  do {
    for (size_t i = first; i < end; i++) {
      running = downwards ? first + end - 1 - i : i;
      if (threads[running].state != RUNS) continue;
      set_thread(running);
      resume(threads[running]);
    }
    downwards = !downwards;
  } while (release(first, end, AT_WARP));
}

static void run_block_with_barriers(size_t count) {
  thread_count = count;
  if (threads.size() < count) threads.resize(count);
  for (size_t t = 0; t < count; t++) prepare(threads[t]);
  bool downwards = blockIdx.x % 2;
  do {
    size_t warps = (count + WARP - 1) / WARP;
    for (size_t w = 0; w < warps; w++) {
      size_t first = (downwards ? warps - 1 - w : w) * WARP;
      run_warp(first, min(first + WARP, count), downwards);
    }
    downwards = !downwards;
  } while (release(0, count, AT_BLOCK));
  for (size_t t = 0; t < count; t++)
    if (threads[t].state != ENDED) { fprintf(stderr, "emulator: threads wait at different barriers\n"); abort(); }
}

static void launch(void (*kernel)(void**), void** args, const unsigned* size, bool barriers) {
  gridDim = {size[0], size[1], size[2]};
  blockDim = {size[3], size[4], size[5]};
  body = kernel;
  arguments = args;
  unsigned count = blockDim.x * blockDim.y * blockDim.z;
  for (unsigned z = 0; z < gridDim.z; z++)
    for (unsigned y = 0; y < gridDim.y; y++)
      for (unsigned x = 0; x < gridDim.x; x++) {
        blockIdx = {x, y, z};
        if (barriers) { run_block_with_barriers(count); continue; }
        for (unsigned t = 0; t < count; t++) { set_thread(t); kernel(args); }
      }
}

// A launch hands over one pointer per argument; the kernel's own type says what they point to.
template <class... A, size_t... I>
static void call(void (*kernel)(A...), void** args, std::index_sequence<I...>) {
  kernel(*static_cast<typename std::remove_reference<A>::type*>(args[I])...);
}
template <class... A>
static void call(void (*kernel)(A...), void** args) { call(kernel, args, std::index_sequence_for<A...>{}); }

// What a captured launch keeps, for every launch of its graph: the arguments' values, and pointers to them.
template <class... A>
static void** copied(void (*)(A...), void** args) {
  const size_t sizes[] = {sizeof(A)..., 0};
  void** copies = new void*[sizeof...(A) + 1];
  for (size_t i = 0; i < sizeof...(A); i++) copies[i] = std::memcpy(::operator new(sizes[i]), args[i], sizes[i]);
  return copies;
}

#define LAUNCHER(name, barriers)                                    \
  extern "C" void launch_##name(void** args, const unsigned* size) { \
    launch([](void** a) { call(&name, a); }, args, size, barriers); \
  }                                                                 \
  extern "C" void** copy_##name(void** args) { return copied(&name, args); }
