// All kernels, one translation unit: build.rs compiles it for each architecture, and tests/cuda for this processor, which
// stands in for the device.
#ifdef __CUDACC__
#include "device.cuh"
#endif

#include "values.cuh"

#include "product.cuh"

#include "attention.cuh"

#include "rows.cuh"

#include "pictures.cuh"

#include "camera.cuh"

// To the processor: f32 without padding into its memory, and behind them, when all of it is there, the number of the run.
struct Publish {
  const void *x;
  // In the processor's memory.
  float *to;
  unsigned *done;
  // Here: blocks that have finished, and runs.
  unsigned *counters;
  int rows, columns, pitch;
};

#define PUBLISH_THREADS 256

template <class T>
DEVICE void publish(const Publish &p) {
  int at = blockIdx.x * PUBLISH_THREADS + threadIdx.x;
  if (at < p.rows * p.columns) {
    int row = at / p.columns, column = at % p.columns;
    p.to[at] = to_float(((const T *)p.x)[(long)row * p.pitch + column]);
  }
  // Each thread's value before its block's arrival, and that before the number.
  fence_system();
  block_barrier();
  if (threadIdx.x > 0) return;
  if (count_one(&p.counters[0]) + 1 < gridDim.x) return;
  p.counters[0] = 0;
  fence_system();
  store_for_processor(p.done, count_one(&p.counters[1]) + 1);
  fence_system();
}

KERNEL(PUBLISH_THREADS) publish_f16(Publish p) { publish<f16>(p); }
KERNEL(PUBLISH_THREADS) publish_f32(Publish p) { publish<float>(p); }

// Holds the stream up for so long: how a missed deadline is tried on purpose.
struct Delay {
  unsigned long long nanoseconds;
};

KERNEL(32) delay(Delay p) {
  unsigned long long end = nanoseconds() + p.nanoseconds;
  // BOUND: ends by itself, whoever waits.
  while (nanoseconds() < end) {
  }
}
