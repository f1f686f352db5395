// Linear layers and dense convolutions: each output row is the sum over windows of an input picture times a matrix. A linear
// layer's picture is one row of pixels, with windows of one.
//
// In f16 with the tensor cores, in two shapes: WIDE tiles, where there are enough of them for the whole chip, and DEEP ones, a
// quarter of that, whose warps divide the sum among themselves (at batch 1 the outputs are few and the sums long). A sum has
// one order, so results are the same from run to run. In f32 with plain multiply-adds: exact, for comparison.
#pragma once

struct Product {
  // [pixel][x_pitch]; zeros behind the channels.
  const void *x;
  // [output][weights_pitch], zeros behind `inner`. 0 behind `columns`.
  const void *weights;
  // [columns]
  const float *bias;
  // Added before the activation, or null. [row][columns]
  const void *residual;
  // [row][columns]
  void *to;
  int rows;
  // A multiple of 8.
  int columns;
  // size * size * x_pitch
  int inner;
  // A multiple of 64.
  int weights_pitch;
  // A multiple of 8; 4 for the camera's picture.
  int x_pitch;
  int height, width, to_width;
  int size, stride, before;
  int activation;
};

// How a window is read: pixels one after the other; or one by one in parts of 8 channels; or of 4.
enum Reach { ROWS, WINDOW8, WINDOW4 };

// Where `part` values of a row's window begin, from value `inner` of it on; null: zeros.
template <class T, Reach REACH>
DEVICE const T *window_part(const Product &p, int row, int inner) {
  const T *x = (const T *)p.x;
  if (row >= p.rows || inner >= p.inner) return nullptr;
  if (REACH == ROWS) return x + (long)row * p.x_pitch + inner;
  unsigned tap = (unsigned)inner / (unsigned)p.x_pitch, channel = (unsigned)inner % (unsigned)p.x_pitch;
  unsigned up = (unsigned)row / (unsigned)p.to_width, left = (unsigned)row % (unsigned)p.to_width;
  int y = (int)up * p.stride - p.before + (int)(tap / (unsigned)p.size);
  int column = (int)left * p.stride - p.before + (int)(tap % (unsigned)p.size);
  if (y < 0 || y >= p.height || column < 0 || column >= p.width) return nullptr;
  return x + ((long)y * p.width + column) * p.x_pitch + channel;
}

// What leaves a product: two neighbours of a row.
template <class T>
struct alignas(2 * sizeof(T)) Two {
  T value[2];
};

DEVICE unsigned word_of(const Two<f16> &two) {
  unsigned word;
  memcpy(&word, &two, sizeof word);
  return word;
}

template <class T>
DEVICE void finish(const Product &p, int row, int column, float first, float second) {
  if (row >= p.rows || column >= p.columns) return;
  long at = (long)row * p.columns + column;
  first += p.bias[column];
  second += p.bias[column + 1];
  if (p.residual) {
    Two<T> more = *(const Two<T> *)((const T *)p.residual + at);
    first += to_float(more.value[0]);
    second += to_float(more.value[1]);
  }
  Two<T> two;
  from_float(two.value[0], activate(first, p.activation));
  from_float(two.value[1], activate(second, p.activation));
  *(Two<T> *)((T *)p.to + at) = two;
}

// ---- f16 ---------------------------------------------------------------------------------------------------------

#define PRODUCT_THREADS 128
// Four warps. A tile has ROW rows and columns; DEPTH values of the sum are in shared memory at a time, in STAGES places; SPLIT of
// the warps divide the sum, the others the tile.
template <int TILE, int DEPTH, int STAGES, int SPLIT, Reach REACH>
DEVICE void product_f16(const Product &p) {
  // 16 bytes more, so that eight rows are in different banks.
  constexpr int PITCH = DEPTH + 8;
  constexpr int SIDE = SPLIT == 1 ? 2 : 1;   // warps along each side of the tile
  constexpr int OWN = TILE / SIDE;           // rows and columns of a warp
  constexpr int HIGH = OWN / 16, LONG = OWN / 8;
  static_assert(SIDE * SIDE * SPLIT * WARP == PRODUCT_THREADS, "four warps");
  static_assert(DEPTH % (16 * SPLIT) == 0, "whole steps for each warp");
  constexpr int STAGE = 2 * TILE * PITCH;
  constexpr int SUMS = SPLIT == 1 ? 0 : 2 * SPLIT * TILE * TILE;
  SHARED f16 memory[STAGES * STAGE > SUMS ? STAGES * STAGE : SUMS];

  int thread = threadIdx.x, lane = thread % WARP, warp = thread / WARP;
  int share = warp % SPLIT;
  int top = (warp / SPLIT) / SIDE * OWN, left = (warp / SPLIT) % SIDE * OWN;
  int row0 = blockIdx.y * TILE, column0 = blockIdx.x * TILE;

  // Each thread brings the same vectors of each stage.
  constexpr int VECTORS = TILE * DEPTH / LANES;
  static_assert(VECTORS % PRODUCT_THREADS == 0, "as many for each thread");
  auto bring = [&](int step) {
    f16 *xs = memory + (step % STAGES) * STAGE, *ws = xs + TILE * PITCH;
    for (int i = 0; i < VECTORS / PRODUCT_THREADS; i++) {
      int vector = thread + i * PRODUCT_THREADS;
      int row = vector / (DEPTH / LANES), inner = vector % (DEPTH / LANES) * LANES;
      int depth = step * DEPTH + inner;
      f16 *x = xs + row * PITCH + inner;
      if (REACH == WINDOW4) {
        for (int half = 0; half < LANES; half += 4) {
          const f16 *from = window_part<f16, REACH>(p, row0 + row, depth + half);
          copy_begin<8>(x + half, from ? from : (const f16 *)p.x, from != nullptr);
        }
      } else {
        const f16 *from = window_part<f16, REACH>(p, row0 + row, depth);
        copy_begin<16>(x, from ? from : (const f16 *)p.x, from != nullptr);
      }
      int column = column0 + row;
      bool is_there = column < p.columns;
      const f16 *w = (const f16 *)p.weights + (is_there ? (long)column * p.weights_pitch + depth : 0);
      copy_begin<16>(ws + row * PITCH + inner, w, is_there);
    }
  };

  float sums[HIGH][LONG][4] = {};
  int steps = (p.inner + DEPTH - 1) / DEPTH;
  for (int step = 0; step < STAGES - 1; step++) {
    if (step < steps) bring(step);
    copy_group();
  }
  for (int step = 0; step < steps; step++) {
    copy_wait<STAGES - 2>();
    // What was brought is everybody's now, and what the next one overwrites has been read.
    block_barrier();
    if (step + STAGES - 1 < steps) bring(step + STAGES - 1);
    copy_group();
    const f16 *xs = memory + (step % STAGES) * STAGE, *ws = xs + TILE * PITCH;
    for (int part = 0; part < DEPTH / 16 / SPLIT; part++) {
      int inner = (part * SPLIT + share) * 16;
      unsigned x[HIGH][4], w[LONG / 2][4];
      for (int i = 0; i < HIGH; i++) {
        int row = top + i * 16 + lane % 8 + lane / 8 % 2 * 8;
        load_matrices(x[i], xs + row * PITCH + inner + lane / 16 * 8);
      }
      for (int j = 0; j < LONG / 2; j++) {
        int column = left + j * 16 + lane % 8 + lane / 16 * 8;
        load_matrices(w[j], ws + column * PITCH + inner + lane / 8 % 2 * 8);
      }
      for (int i = 0; i < HIGH; i++)
        for (int j = 0; j < LONG; j++) multiply_add(sums[i][j], x[i], w[j / 2][j % 2 * 2], w[j / 2][j % 2 * 2 + 1]);
    }
  }
  copy_wait<0>();

  if constexpr (SPLIT > 1) {
    // Each warp ends with a part of the tile, for which it needs the others' sums: [share][tile][number][lane].
    block_barrier();
    float *all = (float *)memory;
    constexpr int TILES = HIGH * LONG;
    static_assert(TILES % SPLIT == 0, "as many for each warp");
    for (int i = 0; i < HIGH; i++)
      for (int j = 0; j < LONG; j++)
        for (int k = 0; k < 4; k++) all[((share * TILES + i * LONG + j) * 4 + k) * WARP + lane] = sums[i][j][k];
    block_barrier();
    for (int tile = 0; tile < TILES / SPLIT; tile++) {
      int at = tile * SPLIT + share;
      float sum[4];
      for (int k = 0; k < 4; k++) {
        sum[k] = 0.f;
        for (int other = 0; other < SPLIT; other++) sum[k] += all[((other * TILES + at) * 4 + k) * WARP + lane];
      }
      int row = row0 + top + at / LONG * 16 + lane / 4, column = column0 + left + at % LONG * 8 + lane % 4 * 2;
      finish<f16>(p, row, column, sum[0], sum[1]);
      finish<f16>(p, row + 8, column, sum[2], sum[3]);
    }
  } else {
    for (int i = 0; i < HIGH; i++) {
      for (int j = 0; j < LONG; j++) {
        int row = row0 + top + i * 16 + lane / 4, column = column0 + left + j * 8 + lane % 4 * 2;
        finish<f16>(p, row, column, sums[i][j][0], sums[i][j][1]);
        finish<f16>(p, row + 8, column, sums[i][j][2], sums[i][j][3]);
      }
    }
  }
}

// As inference::cuda::compile names and tiles them.
KERNEL(PRODUCT_THREADS) wide_rows_f16(Product p) { product_f16<64, 32, 3, 1, ROWS>(p); }
KERNEL(PRODUCT_THREADS) wide_window_f16(Product p) { product_f16<64, 32, 3, 1, WINDOW8>(p); }
KERNEL(PRODUCT_THREADS) wide_colours_f16(Product p) { product_f16<64, 32, 3, 1, WINDOW4>(p); }
KERNEL(PRODUCT_THREADS) deep_rows_f16(Product p) { product_f16<32, 64, 4, 4, ROWS>(p); }
KERNEL(PRODUCT_THREADS) deep_window_f16(Product p) { product_f16<32, 64, 4, 4, WINDOW8>(p); }
KERNEL(PRODUCT_THREADS) deep_colours_f16(Product p) { product_f16<32, 64, 4, 4, WINDOW4>(p); }

// ---- f32 ---------------------------------------------------------------------------------------------------------

// Tiles of 32 by 32; a thread has two rows and four columns, 16 values of the sum at a time.
template <Reach REACH>
DEVICE void product_f32(const Product &p) {
  constexpr int TILE = 32, DEPTH = 16;
  SHARED float xs[DEPTH][TILE + 1];
  SHARED float ws[DEPTH][TILE + 1];
  int thread = threadIdx.x;
  int row0 = blockIdx.y * TILE, column0 = blockIdx.x * TILE;
  // One vector of four of each.
  int line = thread / 4, inner = thread % 4 * 4;
  int across = thread % 8 * 4, down = thread / 8 * 2;
  float sums[2][4] = {};
  for (int begin = 0; begin < p.inner; begin += DEPTH) {
    const float *x = window_part<float, REACH>(p, row0 + line, begin + inner);
    bool is_there = column0 + line < p.columns;
    const float *w = (const float *)p.weights + (long)(column0 + line) * p.weights_pitch + begin + inner;
    for (int i = 0; i < 4; i++) {
      xs[inner + i][line] = x ? x[i] : 0.f;
      ws[inner + i][line] = is_there ? w[i] : 0.f;
    }
    block_barrier();
    for (int k = 0; k < DEPTH; k++)
      for (int i = 0; i < 2; i++)
        for (int j = 0; j < 4; j++) sums[i][j] += xs[k][down + i] * ws[k][across + j];
    block_barrier();
  }
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 4; j += 2) finish<float>(p, row0 + down + i, column0 + across + j, sums[i][j], sums[i][j + 1]);
}

KERNEL(PRODUCT_THREADS) rows_f32(Product p) { product_f32<ROWS>(p); }
KERNEL(PRODUCT_THREADS) window_f32(Product p) { product_f32<WINDOW4>(p); }
