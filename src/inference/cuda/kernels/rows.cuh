// What is done row by row: norms, sums, means, words.
#pragma once

struct LayerNorm {
  const void *x;
  const float *gain, *shift;
  void *to;
  int rows;
  // With and without the zeros behind the last.
  int pitch, columns;
  float epsilon;
};

#define ROW_THREADS 128

// A warp has a row. Mean first, then the squares of what differs from it: no cancellation.
template <class T>
DEVICE void layer_norm(const LayerNorm &p) {
  int lane = threadIdx.x % WARP, row = blockIdx.x * (ROW_THREADS / WARP) + threadIdx.x / WARP;
  if (row >= p.rows) return;
  const T *x = (const T *)p.x + (long)row * p.pitch;
  T *to = (T *)p.to + (long)row * p.pitch;
  float mean = 0.f, squares = 0.f, values[LANES];
  for (int at = lane * LANES; at < p.pitch; at += WARP * LANES) {
    load_eight(values, x + at);
    for (int i = 0; i < LANES; i++) mean += values[i];
  }
  for (int bits = 16; bits > 0; bits /= 2) mean += from_lane(mean, bits);
  mean /= (float)p.columns;
  for (int at = lane * LANES; at < p.pitch; at += WARP * LANES) {
    load_eight(values, x + at);
    for (int i = 0; i < LANES; i++) {
      float off = at + i < p.columns ? values[i] - mean : 0.f;
      squares += off * off;
    }
  }
  for (int bits = 16; bits > 0; bits /= 2) squares += from_lane(squares, bits);
  float factor = inverse_root(squares / (float)p.columns + p.epsilon);
  for (int at = lane * LANES; at < p.pitch; at += WARP * LANES) {
    load_eight(values, x + at);
    // Gain and shift are 0 behind the last column.
    for (int i = 0; i < LANES; i++) values[i] = (values[i] - mean) * factor * p.gain[at + i] + p.shift[at + i];
    store_eight(to + at, values);
  }
}

KERNEL(ROW_THREADS) layer_norm_f16(LayerNorm p) { layer_norm<f16>(p); }
KERNEL(ROW_THREADS) layer_norm_f32(LayerNorm p) { layer_norm<float>(p); }

// activation(factor * x + y), where x has rows of its own in front: class tokens, positions, sums, factors, one row of many.
struct Combine {
  const void *x;
  // [front][pitch], or null.
  const void *front_rows;
  // [pitch], or null for 1.
  const float *factors;
  // [row][pitch], or null.
  const void *y;
  void *to;
  int rows, pitch;
  // Rows of `front_rows`, and the row of x behind them.
  int front, skip;
  int activation;
};

template <class T>
DEVICE void combine(const Combine &p) {
  int vectors = p.pitch / LANES, at = blockIdx.x * ROW_THREADS + threadIdx.x;
  if (at >= p.rows * vectors) return;
  int row = at / vectors, column = at % vectors * LANES;
  float values[LANES], more[LANES];
  if (row < p.front) load_eight(values, (const T *)p.front_rows + (long)row * p.pitch + column);
  else load_eight(values, (const T *)p.x + (long)(row - p.front + p.skip) * p.pitch + column);
  if (p.factors)
    for (int i = 0; i < LANES; i++) values[i] *= p.factors[column + i];
  if (p.y) {
    load_eight(more, (const T *)p.y + (long)row * p.pitch + column);
    for (int i = 0; i < LANES; i++) values[i] += more[i];
  }
  for (int i = 0; i < LANES; i++) values[i] = activate(values[i], p.activation);
  store_eight((T *)p.to + (long)row * p.pitch + column, values);
}

KERNEL(ROW_THREADS) combine_f16(Combine p) { combine<f16>(p); }
KERNEL(ROW_THREADS) combine_f32(Combine p) { combine<float>(p); }

// activation((1 + gains) * x + shifts), both computed.
struct Film {
  const void *x, *gains, *shifts;
  void *to;
  int rows, pitch;
  int activation;
};

template <class T>
DEVICE void film(const Film &p) {
  int vectors = p.pitch / LANES, at = blockIdx.x * ROW_THREADS + threadIdx.x;
  if (at >= p.rows * vectors) return;
  int row = at / vectors, column = at % vectors * LANES;
  float values[LANES], gains[LANES], shifts[LANES];
  load_eight(values, (const T *)p.x + (long)row * p.pitch + column);
  load_eight(gains, (const T *)p.gains + column);
  load_eight(shifts, (const T *)p.shifts + column);
  for (int i = 0; i < LANES; i++) values[i] = activate(values[i] * (1.f + gains[i]) + shifts[i], p.activation);
  store_eight((T *)p.to + (long)row * p.pitch + column, values);
}

KERNEL(ROW_THREADS) film_f16(Film p) { film<f16>(p); }
KERNEL(ROW_THREADS) film_f32(Film p) { film<float>(p); }

// The mean of all rows. A block has 16 vectors of columns; its threads divide the rows, and then meet.
struct Mean {
  const void *x;
  void *to;
  int rows, pitch;
};

template <class T>
DEVICE void mean(const Mean &p) {
  SHARED float sums[8][16][LANES];
  int vector = threadIdx.x % 16, share = threadIdx.x / 16;
  int column = (blockIdx.x * 16 + vector) * LANES;
  float sum[LANES] = {}, values[LANES];
  if (column < p.pitch)
    for (int row = share; row < p.rows; row += 8) {
      load_eight(values, (const T *)p.x + (long)row * p.pitch + column);
      for (int i = 0; i < LANES; i++) sum[i] += values[i];
    }
  for (int i = 0; i < LANES; i++) sums[share][vector][i] = sum[i];
  block_barrier();
  if (share > 0 || column >= p.pitch) return;
  for (int other = 1; other < 8; other++)
    for (int i = 0; i < LANES; i++) sum[i] += sums[other][vector][i];
  for (int i = 0; i < LANES; i++) sum[i] /= (float)p.rows;
  store_eight((T *)p.to + column, sum);
}

KERNEL(ROW_THREADS) mean_f16(Mean p) { mean<f16>(p); }
KERNEL(ROW_THREADS) mean_f32(Mean p) { mean<float>(p); }

// The rows of a table that the words number. Their numbers were checked before they were sent.
struct Words {
  const unsigned *words;
  const void *table;
  void *to;
  int rows, pitch;
};

template <class T>
DEVICE void words(const Words &p) {
  int vectors = p.pitch / LANES, at = blockIdx.x * ROW_THREADS + threadIdx.x;
  if (at >= p.rows * vectors) return;
  int row = at / vectors, column = at % vectors * LANES;
  const T *from = (const T *)p.table + (long)p.words[row] * p.pitch + column;
  *(Eight<T> *)((T *)p.to + (long)row * p.pitch + column) = *(const Eight<T> *)from;
}

KERNEL(ROW_THREADS) words_f16(Words p) { words<f16>(p); }
KERNEL(ROW_THREADS) words_f32(Words p) { words<float>(p); }

// f32 from the processor, [row][columns], as rows of `pitch`: a picture's pixels, with `pitch` 4, or any rows.
struct Take {
  const float *x;
  void *to;
  int rows, columns, pitch;
};

template <class T>
DEVICE void take(const Take &p) {
  int at = blockIdx.x * ROW_THREADS + threadIdx.x;
  if (at >= p.rows * p.pitch) return;
  int row = at / p.pitch, column = at % p.pitch;
  from_float(((T *)p.to)[at], column < p.columns ? p.x[(long)row * p.columns + column] : 0.f);
}

KERNEL(ROW_THREADS) take_f16(Take p) { take<f16>(p); }
KERNEL(ROW_THREADS) take_f32(Take p) { take<float>(p); }
