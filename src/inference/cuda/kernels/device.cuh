// What the kernels ask of the machine that they run on, and nothing else does: numbers of 16 bits, copies that go on while a
// block computes, the products of a warp. tests/cuda/host.h says the same for a processor, so that every kernel's arithmetic
// is tested without a GPU.
//
// Needs compute capability 8.0 (mma of f16, cp.async).
#pragma once

#include <cuda_fp16.h>

#define KERNEL(block) extern "C" __global__ void __launch_bounds__(block)
#define DEVICE __device__ __forceinline__
#define SHARED __shared__ __align__(16)

typedef __half f16;

DEVICE float to_float(f16 x) { return __half2float(x); }
DEVICE float to_float(float x) { return x; }
DEVICE void from_float(f16 &to, float x) { to = __float2half_rn(x); }
DEVICE void from_float(float &to, float x) { to = x; }

// 2 to the power of x; exp2 of minus infinity is 0.
DEVICE float power_of_two(float x) { return exp2f(x); }
DEVICE float error_function(float x) { return erff(x); }
DEVICE float inverse_root(float x) { return rsqrtf(x); }

// ---- copies from global to shared memory, in groups ---------------------------------------------------------

// BYTES (8 or 16) from `from`, or zeros. Both addresses are multiples of BYTES.
template <int BYTES>
DEVICE void copy_begin(void *to, const void *from, bool is_there) {
  unsigned at = (unsigned)__cvta_generic_to_shared(to);
  int bytes = is_there ? BYTES : 0;
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;\n" ::"r"(at), "l"(from), "n"(BYTES), "r"(bytes) : "memory");
}
// What was begun since the last of these is a group.
DEVICE void copy_group() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
// Until at most PENDING groups of this thread are on their way.
template <int PENDING>
DEVICE void copy_wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(PENDING) : "memory");
}

// ---- products of a warp ------------------------------------------------------------------------------------

// Four matrices of 8 by 8 halves from shared memory: lane l names row l % 8 of matrix l / 8, and gets of each matrix the values
// 2 (l % 4) and the next of row l / 4.
DEVICE void load_matrices(unsigned (&to)[4], const f16 *row) {
  unsigned at = (unsigned)__cvta_generic_to_shared(row);
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(at)
               : "memory");
}

// sum += x * y of 16x16 and 16x8, as mma.m16n8k16 lays them out over the lanes (PTX ISA, "Matrix Fragments for mma.m16n8k16").
DEVICE void multiply_add(float (&sum)[4], const unsigned (&x)[4], unsigned y0, unsigned y1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y0), "r"(y1));
}

// The value of the lane whose number differs in these bits.
DEVICE float from_lane(float x, int bits) { return __shfl_xor_sync(0xffffffffu, x, bits); }

DEVICE void block_barrier() { __syncthreads(); }

// ---- the last steps of a frame -------------------------------------------------------------------------------

// All that this thread wrote is seen by the processor before what it writes next.
DEVICE void fence_system() { __threadfence_system(); }
DEVICE unsigned count_one(unsigned *counter) { return atomicAdd(counter, 1u); }
DEVICE void store_for_processor(unsigned *to, unsigned value) { *(volatile unsigned *)to = value; }
DEVICE unsigned long long nanoseconds() {
  unsigned long long now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
}
