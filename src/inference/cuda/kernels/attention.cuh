// Softmax attention of rows to others' or each other's (Vaswani et al., "Attention is all you need", 2017), in one walk over the
// keys (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018). The queries' weights hold the scale and the
// logarithm of e to base 2, so that powers of two are taken.
#pragma once

struct Attention {
  // [row][query_pitch], [key][key_pitch], [key][value_pitch]: the columns of all heads, one after the other.
  const void *queries, *keys, *values;
  // [row][to_pitch]
  void *to;
  int rows, key_rows;
  int query_pitch, key_pitch, value_pitch, to_pitch;
};

#define ATTENTION_THREADS 128
#define QUERIES 16

// f16, with the tensor cores. A block has 16 queries of a head; its four warps take every fourth sixteen keys each, and bring
// together what they found. Blocks: [heads][queries / 16].
template <int HEAD>
DEVICE void attention_f16(const Attention &p) {
  constexpr int PARTS = HEAD / 16, BLOCKS = HEAD / 8;
  SHARED float mixes[4][QUERIES][HEAD];
  SHARED float highest[4][QUERIES], totals[4][QUERIES];
  int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  int group = lane / 4, pair = lane % 4 * 2;
  int column0 = blockIdx.y * HEAD;
  const f16 *queries = (const f16 *)p.queries + column0, *keys = (const f16 *)p.keys + column0;
  const f16 *values = (const f16 *)p.values + column0;
  int first = blockIdx.x * QUERIES;
  // Rows behind the last have no weight, and are not read.
  auto row_of = [](const f16 *from, int row, int rows, int pitch) { return from + (long)(row < rows ? row : rows - 1) * pitch; };
  auto two = [](const f16 *at) { return *(const unsigned *)at; };

  unsigned q[PARTS][4];
  for (int part = 0; part < PARTS; part++) {
    const f16 *upper = row_of(queries, first + group, p.rows, p.query_pitch) + part * 16 + pair;
    const f16 *lower = row_of(queries, first + group + 8, p.rows, p.query_pitch) + part * 16 + pair;
    q[part][0] = two(upper);
    q[part][1] = two(lower);
    q[part][2] = two(upper + 8);
    q[part][3] = two(lower + 8);
  }
  float mix[BLOCKS][4] = {};
  // Of the two rows of this lane: the highest score so far, and the sum of the powers.
  float most[2] = {-INFINITY, -INFINITY}, total[2] = {0.f, 0.f};
  for (int begin = warp * 16; begin < p.key_rows; begin += 64) {
    float score[2][4] = {};
    for (int block = 0; block < 2; block++) {
      const f16 *key = row_of(keys, begin + block * 8 + group, p.key_rows, p.key_pitch) + pair;
      for (int part = 0; part < PARTS; part++)
        multiply_add(score[block], q[part], two(key + part * 16), two(key + part * 16 + 8));
      for (int i = 0; i < 4; i++)
        if (begin + block * 8 + pair + i % 2 >= p.key_rows) score[block][i] = -INFINITY;
    }
    float fade[2];
    for (int half = 0; half < 2; half++) {
      float high = fmaxf(fmaxf(score[0][half * 2], score[0][half * 2 + 1]), fmaxf(score[1][half * 2], score[1][half * 2 + 1]));
      high = fmaxf(high, from_lane(high, 1));
      high = fmaxf(high, from_lane(high, 2));
      high = fmaxf(high, most[half]);
      fade[half] = power_of_two(most[half] - high);
      most[half] = high;
      float sum = 0.f;
      for (int block = 0; block < 2; block++)
        for (int i = half * 2; i < half * 2 + 2; i++) {
          score[block][i] = power_of_two(score[block][i] - high);
          sum += score[block][i];
        }
      total[half] = total[half] * fade[half] + sum;
    }
    // The scores are where the product with the values wants them.
    unsigned weights[4];
    for (int i = 0; i < 4; i++) {
      Two<f16> pairs;
      from_float(pairs.value[0], score[i / 2][i % 2 * 2]);
      from_float(pairs.value[1], score[i / 2][i % 2 * 2 + 1]);
      weights[i] = word_of(pairs);
    }
    const f16 *value[4];
    for (int i = 0; i < 4; i++) value[i] = row_of(values, begin + i / 2 * 8 + pair + i % 2, p.key_rows, p.value_pitch) + group;
    for (int block = 0; block < BLOCKS; block++) {
      for (int i = 0; i < 4; i++) mix[block][i] *= fade[i / 2];
      Two<f16> upper = {value[0][block * 8], value[1][block * 8]}, lower = {value[2][block * 8], value[3][block * 8]};
      multiply_add(mix[block], weights, word_of(upper), word_of(lower));
    }
  }
  for (int half = 0; half < 2; half++) {
    total[half] += from_lane(total[half], 1);
    total[half] += from_lane(total[half], 2);
    if (lane % 4 == 0) {
      highest[warp][group + half * 8] = most[half];
      totals[warp][group + half * 8] = total[half];
    }
  }
  for (int block = 0; block < BLOCKS; block++)
    for (int i = 0; i < 4; i++) mixes[warp][group + i / 2 * 8][block * 8 + pair + i % 2] = mix[block][i];
  block_barrier();
  for (int at = threadIdx.x; at < QUERIES * HEAD / LANES; at += ATTENTION_THREADS) {
    int row = at / (HEAD / LANES), column = at % (HEAD / LANES) * LANES;
    if (first + row >= p.rows) continue;
    float high = -INFINITY, sum = 0.f, all[LANES] = {};
    for (int w = 0; w < 4; w++) high = fmaxf(high, highest[w][row]);
    for (int w = 0; w < 4; w++) {
      // A warp without keys found minus infinity.
      float share = power_of_two(highest[w][row] - high);
      sum += share * totals[w][row];
      for (int i = 0; i < LANES; i++) all[i] += share * mixes[w][row][column + i];
    }
    for (int i = 0; i < LANES; i++) all[i] /= sum;
    store_eight((f16 *)p.to + (long)(first + row) * p.to_pitch + column0 + column, all);
  }
}

KERNEL(ATTENTION_THREADS) attention_32_f16(Attention p) { attention_f16<32>(p); }
KERNEL(ATTENTION_THREADS) attention_64_f16(Attention p) { attention_f16<64>(p); }

// f32: a warp has one query of a head; each lane takes every 32nd key. Blocks as above with 4 queries.
template <int HEAD>
DEVICE void attention_f32(const Attention &p) {
  int lane = threadIdx.x % WARP, row = blockIdx.x * 4 + threadIdx.x / WARP;
  if (row >= p.rows) return;
  int column0 = blockIdx.y * HEAD;
  const float *query = (const float *)p.queries + column0 + (long)row * p.query_pitch;
  const float *keys = (const float *)p.keys + column0, *values = (const float *)p.values + column0;
  float most = -INFINITY, total = 0.f, mix[HEAD] = {};
  for (int other = lane; other < p.key_rows; other += WARP) {
    const float *key = keys + (long)other * p.key_pitch, *value = values + (long)other * p.value_pitch;
    float score = 0.f;
    for (int i = 0; i < HEAD; i++) score += query[i] * key[i];
    float high = fmaxf(most, score), fade = power_of_two(most - high), share = power_of_two(score - high);
    most = high;
    total = total * fade + share;
    for (int i = 0; i < HEAD; i++) mix[i] = mix[i] * fade + share * value[i];
  }
  float high = most;
  for (int bits = 16; bits > 0; bits /= 2) high = fmaxf(high, from_lane(high, bits));
  float fade = power_of_two(most - high);
  total *= fade;
  for (int bits = 16; bits > 0; bits /= 2) total += from_lane(total, bits);
  float *to = (float *)p.to + (long)row * p.to_pitch + column0;
  for (int i = 0; i < HEAD; i++) {
    float sum = mix[i] * fade;
    for (int bits = 16; bits > 0; bits /= 2) sum += from_lane(sum, bits);
    if (lane == 0) to[i] = sum / total;
  }
}

KERNEL(ATTENTION_THREADS) attention_32_f32(Attention p) { attention_f32<32>(p); }
KERNEL(ATTENTION_THREADS) attention_64_f32(Attention p) { attention_f32<64>(p); }
