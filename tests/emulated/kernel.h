// What a CUDA kernel needs to be C++: the qualifiers, the indices, the intrinsics, and a launch that runs its threads.
//
// Blocks run one after the other and so do the threads of a block. Where a kernel has a barrier each thread is a context
// of its own (ucontext) that leaves at the barrier and is resumed when all the others have come that far.
#pragma once
#include <algorithm>
#include <cmath>
#include <math.h>
#include <stddef.h>
#include <cstdint>
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

struct Thread { ucontext_t context; std::vector<char> stack; bool ended; };
static const size_t STACK = 1 << 16;
static ucontext_t scheduler;
static std::vector<Thread> threads;
static size_t running;
static void (*body)(void**);
static void** arguments;

static void leave() { swapcontext(&threads[running].context, &scheduler); }
#define __syncthreads() leave()
#define __syncwarp(...) leave()

static void in_context() {
  body(arguments);
  threads[running].ended = true;
  leave();
}

static void set_thread(unsigned t) {
  threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
}

static void run_block_with_barriers(size_t count) {
  if (threads.size() < count) threads.resize(count);
  for (size_t t = 0; t < count; t++) {
    Thread& thread = threads[t];
    thread.stack.resize(STACK);
    thread.ended = false;
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = thread.stack.data();
    thread.context.uc_stack.ss_size = STACK;
    thread.context.uc_link = nullptr;
    makecontext(&thread.context, in_context, 0);
  }
  for (size_t alive = count; alive;) {
    alive = 0;
    for (running = 0; running < count; running++) {
      if (threads[running].ended) continue;
      set_thread(running);
      swapcontext(&scheduler, &threads[running].context);
      alive += !threads[running].ended;
    }
  }
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
