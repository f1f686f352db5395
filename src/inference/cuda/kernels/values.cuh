// Eight values at a time: the rows of every value are padded with zeros to a multiple of eight, so no kernel has an odd end.
#pragma once

#define LANES 8
#define WARP 32

struct alignas(16) Bytes16 {
  unsigned word[4];
};

template <class T>
struct alignas(16) Eight {
  T value[LANES];
};

template <class T>
DEVICE void load_eight(float (&to)[LANES], const T *from) {
  Eight<T> eight = *(const Eight<T> *)from;
  for (int i = 0; i < LANES; i++) to[i] = to_float(eight.value[i]);
}

template <class T>
DEVICE void store_eight(T *to, const float (&from)[LANES]) {
  Eight<T> eight;
  for (int i = 0; i < LANES; i++) from_float(eight.value[i], from[i]);
  *(Eight<T> *)to = eight;
}

// As inference::cuda::launches numbers them.
enum Activation { NONE = 0, RELU = 1, RELU6 = 2, GELU = 3, SILU = 4, GELU_TANH = 5 };

DEVICE float activate(float x, int activation) {
  switch (activation) {
    case RELU: return x > 0.f ? x : (x == x ? 0.f : x);
    // Keeps NaN, as the processor's kernels do.
    case RELU6: return x < 0.f ? 0.f : (x > 6.f ? 6.f : x);
    case GELU: return 0.5f * x * (1.f + error_function(x * 0.70710678f));
    case SILU: return x / (1.f + power_of_two(-1.44269504f * x));
    case GELU_TANH: return 0.5f * x * (1.f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    default: return x;
  }
}
