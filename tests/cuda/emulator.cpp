// The kernels for this processor, by name.
#include "host.h"

#include "all.cu"

struct Named {
  const char *name;
  void (*run)(const void *);
  size_t bytes;
};

template <class T, void (*KERNEL_OF)(T)>
static void run_with(const void *from) {
  KERNEL_OF(*(const T *)from);
}
#define NAMED(type, kernel) {#kernel, run_with<type, kernel>, sizeof(type)}
#define BOTH(type, kernel) NAMED(type, kernel##_f16), NAMED(type, kernel##_f32)

static const Named KERNELS[] = {
    NAMED(Product, wide_rows_f16), NAMED(Product, wide_window_f16), NAMED(Product, wide_colours_f16),
    NAMED(Product, deep_rows_f16), NAMED(Product, deep_window_f16), NAMED(Product, deep_colours_f16),
    NAMED(Product, rows_f32), NAMED(Product, window_f32), BOTH(Attention, attention_32), BOTH(Attention, attention_64),
    BOTH(LayerNorm, layer_norm), BOTH(Combine, combine), BOTH(Mean, mean), BOTH(Film, film), BOTH(Words, words), BOTH(Take, take),
    BOTH(Window, depthwise), BOTH(Window, max_pool), NAMED(Down, down), BOTH(Along, along), BOTH(Publish, publish),
    NAMED(Delay, delay),
};

// Of a kernel; 0: there is none of that name.
extern "C" size_t bytes_of_arguments(const char *name) {
  for (const Named &kernel : KERNELS)
    if (!strcmp(kernel.name, name)) return kernel.bytes;
  return 0;
}

// Runs a kernel. 0, or 1: no such kernel, or 2: arguments of another size.
extern "C" int emulate(const char *name, const unsigned *grid, unsigned block, const void *from, size_t bytes, int turned) {
  for (const Named &kernel : KERNELS) {
    if (strcmp(kernel.name, name)) continue;
    if (kernel.bytes != bytes) return 2;
    threads = (int)block;
    body = kernel.run;
    arguments = from;
    gridDim = {grid[0], grid[1], grid[2]};
    for (unsigned z = 0; z < grid[2]; z++)
      for (unsigned y = 0; y < grid[1]; y++)
        for (unsigned x = 0; x < grid[0]; x++) {
          blockIdx = {x, y, z};
          run_block(turned != 0);
        }
    return 0;
  }
  return 1;
}

// Rounded as the kernels round: for a test of the processor's own rounding.
extern "C" unsigned short half_of(float x) {
  f16 half = (f16)x;
  unsigned short bits;
  memcpy(&bits, &half, 2);
  return bits;
}
