// What is done channel by channel in the windows of a picture: depthwise convolutions and the largest value.
#pragma once

struct Window {
  const void *x;
  // [tap][pitch]; null of a pool.
  const void *filters;
  const float *bias;
  void *to;
  int pitch;
  int height, width, to_height, to_width;
  int size, stride, before;
  int activation;
};

#define WINDOW_THREADS 128

// A thread has eight channels of one output pixel.
template <class T, bool IS_POOL>
DEVICE void windows(const Window &p) {
  int vectors = p.pitch / LANES, at = blockIdx.x * WINDOW_THREADS + threadIdx.x;
  if (at >= p.to_height * p.to_width * vectors) return;
  int channel = at % vectors * LANES, pixel = at / vectors;
  int top = pixel / p.to_width * p.stride - p.before, left = pixel % p.to_width * p.stride - p.before;
  float sum[LANES], values[LANES], factors[LANES];
  for (int i = 0; i < LANES; i++) sum[i] = IS_POOL ? -INFINITY : p.bias[channel + i];
  for (int dy = 0; dy < p.size; dy++) {
    int y = top + dy;
    if (y < 0 || y >= p.height) continue;
    for (int dx = 0; dx < p.size; dx++) {
      int x = left + dx;
      if (x < 0 || x >= p.width) continue;
      load_eight(values, (const T *)p.x + ((long)y * p.width + x) * p.pitch + channel);
      if (IS_POOL) {
        for (int i = 0; i < LANES; i++) sum[i] = values[i] > sum[i] || values[i] != values[i] ? values[i] : sum[i];
      } else {
        load_eight(factors, (const T *)p.filters + (long)(dy * p.size + dx) * p.pitch + channel);
        for (int i = 0; i < LANES; i++) sum[i] += values[i] * factors[i];
      }
    }
  }
  for (int i = 0; i < LANES; i++) sum[i] = activate(sum[i], p.activation);
  store_eight((T *)p.to + (long)pixel * p.pitch + channel, sum);
}

KERNEL(WINDOW_THREADS) depthwise_f16(Window p) { windows<f16, false>(p); }
KERNEL(WINDOW_THREADS) depthwise_f32(Window p) { windows<float, false>(p); }
KERNEL(WINDOW_THREADS) max_pool_f16(Window p) { windows<f16, true>(p); }
KERNEL(WINDOW_THREADS) max_pool_f32(Window p) { windows<float, true>(p); }
