// From a camera frame to the network's picture: the two passes of features::preprocess, with its tables. The sums of rows have
// the same bits as there; the sums of columns differ by rounding.
#pragma once

// See features::preprocess::filter::RowSpan.
struct RowSpan {
  int whole, whole_count;
  int first, first_weight, last, last_weight;
  int rounding;
};

// Down the columns of bytes, whatever they mean.
struct Down {
  const unsigned char *frame;
  const RowSpan *spans;
  // [output row][row_bytes]
  unsigned short *to;
  int stride, row_bytes;
  int row_scale;
};

#define CAMERA_THREADS 128
// What a thread has of a row.
#define BYTES 4

// Blocks: [row bytes / 512][output rows].
KERNEL(CAMERA_THREADS) down(Down p) {
  int at = (blockIdx.x * CAMERA_THREADS + threadIdx.x) * BYTES;
  if (at >= p.row_bytes) return;
  RowSpan span = p.spans[blockIdx.y];
  bool is_aligned = ((unsigned long)(p.frame + at) | (unsigned long)p.stride) % BYTES == 0 && at + BYTES <= p.row_bytes;
  auto read = [&](int row, unsigned (&bytes)[BYTES]) {
    const unsigned char *from = p.frame + (long)row * p.stride + at;
    if (is_aligned) {
      unsigned word = *(const unsigned *)from;
      for (int i = 0; i < BYTES; i++) bytes[i] = word >> (8 * i) & 0xff;
    } else {
      for (int i = 0; i < BYTES; i++) bytes[i] = at + i < p.row_bytes ? from[i] : 0;
    }
  };
  unsigned sums[BYTES] = {}, bytes[BYTES];
  for (int row = span.whole; row < span.whole + span.whole_count; row++) {
    read(row, bytes);
    for (int i = 0; i < BYTES; i++) sums[i] += bytes[i];
  }
  for (int i = 0; i < BYTES; i++) sums[i] = sums[i] * p.row_scale + span.rounding;
  if (span.first_weight) {
    read(span.first, bytes);
    for (int i = 0; i < BYTES; i++) sums[i] += bytes[i] * span.first_weight >> 8;
  }
  if (span.last_weight) {
    read(span.last, bytes);
    for (int i = 0; i < BYTES; i++) sums[i] += bytes[i] * span.last_weight >> 8;
  }
  for (int i = 0; i < BYTES; i++)
    if (at + i < p.row_bytes) p.to[(long)blockIdx.y * p.row_bytes + at + i] = (unsigned short)sums[i];
}

// See features::preprocess::filter::UnitSpan.
struct UnitSpan {
  int first, count;
  float head[4], tail[4];
};

// Along the rows of up to two planes, and to normalised colours.
struct Along {
  const unsigned short *sums[2];
  const UnitSpan *columns[2];
  // [plane][sample][red, green, blue, 0], then the offset, the low and the high end.
  const float *colours;
  // [pixel][red, green, blue, 0]
  void *to;
  int width, height;
  int planes;
  int row_bytes[2], unit_bytes[2];
};

template <class T>
DEVICE void along(const Along &p) {
  int at = blockIdx.x * CAMERA_THREADS + threadIdx.x;
  if (at >= p.width * p.height) return;
  int row = at / p.width, column = at % p.width;
  const float *ends = p.colours + 2 * 4 * 4;
  float value[4];
  for (int c = 0; c < 4; c++) value[c] = ends[c];
#pragma unroll
  for (int plane = 0; plane < 2; plane++) {
    if (plane >= p.planes) break;
    UnitSpan span = p.columns[plane][column];
    const unsigned short *sums = p.sums[plane] + (long)row * p.row_bytes[plane];
    float total[4] = {};
    for (int unit = 0; unit < span.count; unit++) {
      int byte = (span.first + unit) * p.unit_bytes[plane];
      for (int k = 0; k < p.unit_bytes[plane]; k++) {
        // The last unit of a row may be cut off; the fourth sample of three is unused.
        if (byte + k >= p.row_bytes[plane]) continue;
        float weight = unit == 0 ? span.head[k] : unit + 1 == span.count ? span.tail[k] : 1.f;
        total[k] += (float)sums[byte + k] * weight;
      }
    }
    for (int k = 0; k < 4; k++)
      for (int c = 0; c < 4; c++) value[c] += p.colours[(plane * 4 + k) * 4 + c] * total[k];
  }
  for (int c = 0; c < 4; c++) {
    float kept = fminf(fmaxf(value[c], ends[4 + c]), ends[8 + c]);
    from_float(((T *)p.to)[(long)at * 4 + c], c < 3 ? kept : 0.f);
  }
}

KERNEL(CAMERA_THREADS) along_f16(Along p) { along<f16>(p); }
KERNEL(CAMERA_THREADS) along_f32(Along p) { along<float>(p); }
