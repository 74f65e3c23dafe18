// Ranks through a table, inner products of float64 in the canonical order, and the ends of rows.
//
// look_up     what a table has for each rank.
// inner       one block a row and PROBES probes. Lane l of LANES adds what the elements l, l + LANES, ...
//             make, one after another; then the upper half of the lanes is added to the lower one, until
//             one is left.
// pick_ends   the places of a row's lowest and highest ranks, ascending: one warp a row.
//
// Right for any launch shape of whole warps: blocks take tasks in turn, threads take lanes in turn, and
// one thread forms each sum, in the one order there is. Products and sums are the _rn intrinsics, which
// are never fused. float32 is widened by its bits: CuPy compiles with -ftz=true, whose conversion
// would flush subnormals. CPU twin: NumpyEngine.
//
// 256 threads a block of `inner`, one a lane.

constexpr unsigned ALL = 0xffffffffu;  // every lane of a warp
constexpr int LANES = 256;
constexpr int PROBES = 4;
constexpr int SUMS = PROBES + 2;  // with each probe, of the elements, of their squares

__device__ __forceinline__ double widened(double value) { return value; }
// The bits of a float32, moved to their places in a float64, are its value times 2**-896.
__device__ __forceinline__ double widened(float value) {
  unsigned long long bits = __float_as_uint(value);
  bits = (bits & 0x80000000u) << 32 | (bits & 0x7fffffffu) << 29;
  return __dmul_rn(__longlong_as_double(bits), 0x1p896);
}

template <class Value>
struct AsTheyAre {
  const Value* __restrict__ values;
  __device__ __forceinline__ double operator()(long long i) const { return widened(values[i]); }
};

struct LookedUp {
  const int* __restrict__ ranks;
  const double* __restrict__ middle;  // what the table has for rank 0
  __device__ __forceinline__ double operator()(long long i) const { return middle[ranks[i]]; }
};

// The sum of the lanes, in every lane of a warp: halves of 128, 64 and 32, then within the warp.
__device__ __forceinline__ double folded(const double* lanes) {
  int lane = threadIdx.x % 32;
  double sums[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    sums[i] = __dadd_rn(lanes[lane + 32 * i], lanes[lane + 32 * i + LANES / 2]);
  }
  double sum = __dadd_rn(__dadd_rn(sums[0], sums[2]), __dadd_rn(sums[1], sums[3]));
  for (int half = 16; half; half /= 2) sum = __dadd_rn(sum, __shfl_xor_sync(ALL, sum, half));
  return sum;
}

// elements: (rows, n). probes: (count, n). products: (rows, count + 2).
// Budget: 64 registers, 12288 bytes of shared memory.
template <class Elements>
__device__ void inner(Elements elements, const double* __restrict__ probes,
                      double* __restrict__ products, int rows, int n, int count) {
  __shared__ double lanes[SUMS][LANES];
  int parts = max(1, (count + PROBES - 1) / PROBES), warp = threadIdx.x / 32;
  long long tasks = (long long)rows * parts;
  for (long long task = blockIdx.x; task < tasks; task += gridDim.x) {
    int probe = int(task % parts) * PROBES;  // fastest, so that neighbours share the row
    long long row = task / parts;
    for (int lane = threadIdx.x; lane < LANES; lane += blockDim.x) {
      double sums[SUMS] = {};
      for (int i = lane; i < n; i += LANES) {
        double element = elements(row * n + i);
#pragma unroll
        for (int p = 0; p < PROBES; ++p) {
          if (probe + p >= count) continue;
          double weight = probes[(long long)(probe + p) * n + i];
          sums[p] = __dadd_rn(sums[p], __dmul_rn(element, weight));
        }
        sums[PROBES] = __dadd_rn(sums[PROBES], element);
        sums[PROBES + 1] = __dadd_rn(sums[PROBES + 1], __dmul_rn(element, element));
      }
#pragma unroll
      for (int s = 0; s < SUMS; ++s) lanes[s][lane] = sums[s];
    }
    __syncthreads();
    for (int s = warp; s < SUMS; s += blockDim.x / 32) {
      double sum = folded(lanes[s]);
      int column = s < PROBES ? probe + s : count + s - PROBES;
      bool ours = s < PROBES ? column < count : probe + PROBES >= count;
      if (threadIdx.x % 32 == 0 && ours) products[row * (count + 2) + column] = sum;
    }
    __syncthreads();  // before the lanes of the next task
  }
}

extern "C" __global__ void __launch_bounds__(256)
    inner_ranks(const int* ranks, const double* table, const double* probes, double* products,
                int rows, int n, int count) {
  inner(LookedUp{ranks, table + n - 1}, probes, products, rows, n, count);
}

extern "C" __global__ void __launch_bounds__(256)
    inner_f32(const float* values, const double* probes, double* products, int rows, int n,
              int count) {
  inner(AsTheyAre<float>{values}, probes, products, rows, n, count);
}

extern "C" __global__ void __launch_bounds__(256)
    inner_f64(const double* values, const double* probes, double* products, int rows, int n,
              int count) {
  inner(AsTheyAre<double>{values}, probes, products, rows, n, count);
}

// ranks, series: (size,), of rows of n. table: (2 * n - 1,) by rank + n - 1.
// Budget: 40 registers, 0 bytes of shared memory.
extern "C" __global__ void __launch_bounds__(256)
    look_up(const int* __restrict__ ranks, const double* __restrict__ table,
            double* __restrict__ series, long long size, int n) {
  long long threads = (long long)gridDim.x * blockDim.x;
  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < size; i += threads) {
    series[i] = table[ranks[i] + n - 1];
  }
}

// ranks: (rows, n) of ties in order of appearance. places: (rows, wanted), wanted even, at most n.
// Budget: 64 registers, 0 bytes of shared memory.
extern "C" __global__ void __launch_bounds__(128)
    pick_ends(const int* __restrict__ ranks, long long* __restrict__ places, int rows, int n,
              int wanted) {
  int lane = threadIdx.x % 32, warps = gridDim.x * (blockDim.x / 32);
  for (int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32; row < rows; row += warps) {
    long long* found = places + (long long)row * wanted;
    for (int first = 0; first < n; first += 32) {
      int i = first + lane;
      int rank = i < n ? ranks[(long long)row * n + i] : 0;
      bool outer = i < n && max(rank, -rank) > n - wanted;
      unsigned all = __ballot_sync(ALL, outer);
      if (outer) found[__popc(all & ((1u << lane) - 1))] = i;
      found += __popc(all);
    }
  }
}
