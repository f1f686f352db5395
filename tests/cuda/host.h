// The kernels' machine on this processor: stands in for src/inference/cuda/kernels/device.cuh, so that the very kernels run in
// tests without a GPU. Every thread of a block is a fibre; what a warp or a block does together waits for all of them.
//
// It finds: wrong indices (memory around values is NaN), missing barriers (warps run in an order that the test chooses),
// copies that are not waited for (they are done no earlier than their wait), barriers that not all threads reach. It does not
// find: what only happens when two blocks run at once, and what the real compiler does wrong.
#pragma once

#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <vector>

#define KERNEL(block) static void
#define DEVICE static inline
#define SHARED alignas(16) static

typedef _Float16 f16;

DEVICE float to_float(f16 x) { return (float)x; }
DEVICE float to_float(float x) { return x; }
DEVICE void from_float(f16 &to, float x) { to = (f16)x; }
DEVICE void from_float(float &to, float x) { to = x; }
DEVICE float power_of_two(float x) { return exp2f(x); }
DEVICE float error_function(float x) { return erff(x); }
DEVICE float inverse_root(float x) { return 1.f / sqrtf(x); }

struct Index {
  unsigned x, y, z;
};
static Index threadIdx, blockIdx, gridDim;

enum { LANES_OF_WARP = 32, THREADS_MAX = 256, STACK = 1 << 18 };
enum State { READY, AT_WARP, AT_BLOCK, OVER };

struct Copy {
  void *to;
  const void *from;
  int bytes, group;
};
struct Fibre {
  jmp_buf at;
  State state;
  bool is_begun;
  std::vector<Copy> copies;
  int groups, together;
};
// What the lanes of a warp show each other; two, because one may be at the next before another has read.
struct Shown {
  unsigned words[LANES_OF_WARP][12];
  const void *address[LANES_OF_WARP];
};
static Fibre fibres[THREADS_MAX];
static Shown shown[THREADS_MAX / LANES_OF_WARP][2];
static int threads, running;
static jmp_buf scheduler;
static ucontext_t contexts[THREADS_MAX], begin_here;
static void (*body)(const void *);
static const void *arguments;

static void pause_as(State state) {
  Fibre &own = fibres[running];
  own.state = state;
  if (!_setjmp(own.at)) _longjmp(scheduler, 1);
}

static void fibre_main() {
  for (;;) {
    body(arguments);
    pause_as(OVER);
  }
}

static void resume(int thread) {
  running = thread;
  threadIdx = {(unsigned)thread, 0, 0};
  fibres[thread].state = READY;
  if (_setjmp(scheduler)) return;
  if (fibres[thread].is_begun) _longjmp(fibres[thread].at, 1);
  fibres[thread].is_begun = true;
  ucontext_t &context = contexts[thread];
  getcontext(&context);
  context.uc_stack.ss_sp = malloc(STACK);
  context.uc_stack.ss_size = STACK;
  context.uc_link = nullptr;
  makecontext(&context, fibre_main, 0);
  swapcontext(&begin_here, &context);
}

// Runs one block. `turned`: the last warp first.
static void run_block(bool turned) {
  for (int i = 0; i < threads; i++) {
    fibres[i].state = READY;
    fibres[i].copies.clear();
    fibres[i].groups = fibres[i].together = 0;
  }
  int warps = (threads + LANES_OF_WARP - 1) / LANES_OF_WARP;
  for (;;) {
    bool has_moved = false;
    int over = 0, at_block = 0;
    for (int turn = 0; turn < warps; turn++) {
      int warp = turned ? warps - 1 - turn : turn, first = warp * LANES_OF_WARP;
      int end = first + LANES_OF_WARP < threads ? first + LANES_OF_WARP : threads;
      for (bool again = true; again;) {
        again = false;
        int waiting = 0, gone = 0;
        for (int i = first; i < end; i++) {
          if (fibres[i].state == READY) {
            resume(i);
            again = has_moved = true;
          }
          waiting += fibres[i].state == AT_WARP;
          gone += fibres[i].state == OVER;
        }
        if (waiting > 0 && waiting + gone == end - first) {
          for (int i = first; i < end; i++)
            if (fibres[i].state == AT_WARP) fibres[i].state = READY;
          again = true;
        }
      }
    }
    for (int i = 0; i < threads; i++) {
      over += fibres[i].state == OVER;
      at_block += fibres[i].state == AT_BLOCK;
    }
    if (over == threads) return;
    if (at_block + over == threads) {
      for (int i = 0; i < threads; i++)
        if (fibres[i].state == AT_BLOCK) fibres[i].state = READY;
    } else if (!has_moved) {
      fprintf(stderr, "a barrier that not all threads reach\n");
      abort();
    }
  }
}

DEVICE void block_barrier() { pause_as(AT_BLOCK); }

// Shows the others what this lane shows, and gives what all show.
DEVICE Shown &together(const unsigned *words, int count, const void *address) {
  int lane = running % LANES_OF_WARP;
  Shown &all = shown[running / LANES_OF_WARP][fibres[running].together++ % 2];
  for (int i = 0; i < count; i++) all.words[lane][i] = words[i];
  all.address[lane] = address;
  pause_as(AT_WARP);
  return all;
}

template <int BYTES>
DEVICE void copy_begin(void *to, const void *from, bool is_there) {
  if ((uintptr_t)to % BYTES || (uintptr_t)from % BYTES) {
    fprintf(stderr, "a copy of %d bytes from or to no multiple of it\n", BYTES);
    abort();
  }
  fibres[running].copies.push_back({to, is_there ? from : nullptr, BYTES, fibres[running].groups});
}
DEVICE void copy_group() { fibres[running].groups++; }
template <int PENDING>
DEVICE void copy_wait() {
  Fibre &own = fibres[running];
  std::vector<Copy> left;
  for (Copy &copy : own.copies) {
    if (copy.group >= own.groups - PENDING) left.push_back(copy);
    else if (copy.from) memcpy(copy.to, copy.from, copy.bytes);
    else memset(copy.to, 0, copy.bytes);
  }
  own.copies.swap(left);
}

DEVICE void load_matrices(unsigned (&to)[4], const f16 *row) {
  if ((uintptr_t)row % 16) {
    fprintf(stderr, "a row of a matrix at no multiple of 16 bytes\n");
    abort();
  }
  Shown &all = together(nullptr, 0, row);
  int lane = running % LANES_OF_WARP;
  for (int i = 0; i < 4; i++) memcpy(&to[i], (const f16 *)all.address[i * 8 + lane / 4] + lane % 4 * 2, 4);
}

// As PTX ISA, "Matrix Fragments for mma.m16n8k16": where each lane has which values.
DEVICE void multiply_add(float (&sum)[4], const unsigned (&x)[4], unsigned y0, unsigned y1) {
  unsigned own[6] = {x[0], x[1], x[2], x[3], y0, y1};
  Shown &all = together(own, 6, nullptr);
  int lane = running % LANES_OF_WARP;
  auto half = [&](int of, int word, int which) {
    f16 two[2];
    memcpy(two, &all.words[of][word], 4);
    return (float)two[which];
  };
  for (int i = 0; i < 4; i++) {
    int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    float more = 0.f;
    for (int k = 0; k < 16; k++)
      more += half(row % 8 * 4 + k % 8 / 2, row / 8 + k / 8 * 2, k % 2) * half(column * 4 + k % 8 / 2, 4 + k / 8, k % 2);
    sum[i] += more;
  }
}

DEVICE float from_lane(float x, int bits) {
  unsigned word;
  memcpy(&word, &x, 4);
  Shown &all = together(&word, 1, nullptr);
  float other;
  memcpy(&other, &all.words[(running % LANES_OF_WARP) ^ bits][0], 4);
  return other;
}

DEVICE void fence_system() {}
DEVICE unsigned count_one(unsigned *counter) { return (*counter)++; }
DEVICE void store_for_processor(unsigned *to, unsigned value) { *(volatile unsigned *)to = value; }
DEVICE unsigned long long nanoseconds() {
  static unsigned long long now = 0;
  return now += 1000;
}
