// Float64 sums in the one order that every engine keeps.
//
// sum_groups   each group of GROUP consecutive stakers: from +0.0, weight * prediction added, one
//              staker after another, product and sum each rounded to float64. A thread has one stock
//              and DRAWS draws of a group; a block shares their weights, TILE stakers at a time.
// add_groups   the sums of the groups added to the blends, one group after another.
// sum_lanes    inner products of rows: element i goes to lane i % LANES, a lane adds its products one
//              after another from +0.0, and the upper half of the lanes is added to the lower one
//              until one is left. A block has one row and COLUMNS of its products.
//
// Right for any launch shape: blocks take tasks (group, stocks, draws) or (row, columns) in turn, and
// one thread forms each sum, in the one order there is. Products and sums are the _rn intrinsics,
// which are never fused. float32 is widened by its bits: CuPy compiles with -ftz=true, whose
// conversion would flush subnormals. CPU twins: NumpyEngine.combine, lanes.inner_products.
//
// 7 draws a thread: a round of 20 draws has 21 blends, and no thread has fewer. 64 threads a block:
// 5,000 stocks x 21 blends x 5 groups make 1,185 blocks, 9 for each of the 132 processors of an H200,
// all at once; with 128 threads there would be 600, 5 for most processors and 4 for the others.

constexpr int GROUP = 1024;
constexpr int DRAWS = 7;
constexpr int TILE = 64;
constexpr int STRIDE = 10;  // even for loads of 16 bytes; with 8, stores would meet in two banks
constexpr int LOADS = 8;    // predictions under way at once
constexpr int LANES = 256;
constexpr int COLUMNS = 4;

__device__ __forceinline__ double widened(double value) { return value; }
__device__ __forceinline__ double widened(int value) { return value; }
// The bits of a float32, moved to their places in a float64, are its value times 2**-896.
__device__ __forceinline__ double widened(float value) {
  unsigned long long bits = __float_as_uint(value);
  bits = (bits & 0x80000000u) << 32 | (bits & 0x7fffffffu) << 29;
  return __dmul_rn(__longlong_as_double(bits), 0x1p896);
}

// block: (stakers, n), from the start of a group. weights: (draws, every), of all stakers, the block's
// from `from` on. sums: (groups, draws, n).
// Budget: 72 registers (80 before 8.0), 5120 bytes of shared memory.
template <class Value>
__device__ void sum_groups(const Value* __restrict__ block, const double* __restrict__ weights,
                           double* __restrict__ sums, int stakers, int draws, int n, int from,
                           int every) {
  __shared__ __align__(16) double tile[TILE][STRIDE];
  int stock_parts = (n + blockDim.x - 1) / blockDim.x, draw_parts = (draws + DRAWS - 1) / DRAWS;
  int groups = (stakers + GROUP - 1) / GROUP;
  long long tasks = (long long)groups * stock_parts * draw_parts;
  for (long long task = blockIdx.x; task < tasks; task += gridDim.x) {
    int draw = int(task % draw_parts) * DRAWS;  // fastest, so that neighbours share predictions
    int stock = int(task / draw_parts % stock_parts) * blockDim.x + threadIdx.x;
    int group = int(task / draw_parts / stock_parts);
    int first = group * GROUP, last = min(first + GROUP, stakers);
    double sum[DRAWS] = {};
    for (int start = first; start < last; start += TILE) {
      int length = min(TILE, last - start);
      for (int i = threadIdx.x; i < TILE * DRAWS; i += blockDim.x) {
        int staker = i % TILE, other = draw + i / TILE;
        bool inside = staker < length && other < draws;
        tile[staker][i / TILE] =
            inside ? weights[(long long)other * every + from + start + staker] : 0.0;
      }
      __syncthreads();
      const Value* column = block + (long long)start * n + min(stock, n - 1);
      for (int part = 0; part < length; part += LOADS, column += (long long)LOADS * n) {
        Value predictions[LOADS];  // past the end 0, whose weight is 0.0: adding it changes nothing
#pragma unroll
        for (int i = 0; i < LOADS; ++i)
          predictions[i] = part + i < length ? column[i * n] : Value(0);
#pragma unroll
        for (int i = 0; i < LOADS; ++i) {
          double prediction = widened(predictions[i]);
#pragma unroll
          for (int d = 0; d < DRAWS; ++d) {
            sum[d] = __dadd_rn(sum[d], __dmul_rn(tile[part + i][d], prediction));
          }
        }
      }
      __syncthreads();
    }
#pragma unroll
    for (int d = 0; d < DRAWS; ++d) {
      if (stock < n && draw + d < draws)
        sums[((long long)group * draws + draw + d) * n + stock] = sum[d];
    }
  }
}

extern "C" __global__ void __launch_bounds__(64)
    sum_groups_f32(const float* block, const double* weights, double* sums, int stakers, int draws,
                   int n, int from, int every) {
  sum_groups(block, weights, sums, stakers, draws, n, from, every);
}

extern "C" __global__ void __launch_bounds__(64)
    sum_groups_f64(const double* block, const double* weights, double* sums, int stakers, int draws,
                   int n, int from, int every) {
  sum_groups(block, weights, sums, stakers, draws, n, from, every);
}

extern "C" __global__ void __launch_bounds__(64)
    sum_groups_i32(const int* block, const double* weights, double* sums, int stakers, int draws,
                   int n, int from, int every) {
  sum_groups(block, weights, sums, stakers, draws, n, from, every);
}

// blend: (size,). sums: (groups, size).
// Budget: 64 registers, 0 bytes of shared memory.
extern "C" __global__ void __launch_bounds__(64)
    add_groups(double* blend, const double* __restrict__ sums, int groups, long long size) {
  long long threads = (long long)gridDim.x * blockDim.x;
  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < size; i += threads) {
    double total = blend[i];
    for (int group = 0; group < groups; ++group) total = __dadd_rn(total, sums[group * size + i]);
    blend[i] = total;
  }
}

// series: (rows, n). probes: (count, n); those of row r begin at r * step. products: (rows, count + 2): with each probe, then the row's
// sum and its sum of squares. Budget: 64 registers, 8192 bytes of shared memory.
template <class Value>
__device__ void sum_lanes(const Value* __restrict__ series, const double* __restrict__ every,
                          long long step, double* __restrict__ products, int rows, int n,
                          int count) {
  __shared__ double lanes[COLUMNS][LANES];
  int parts = (count + 2 + COLUMNS - 1) / COLUMNS;
  for (long long task = blockIdx.x; task < (long long)rows * parts; task += gridDim.x) {
    const Value* values = series + task / parts * n;
    const double* probes = every + task / parts * step;
    int first = int(task % parts) * COLUMNS;
    for (int lane = threadIdx.x; lane < LANES; lane += blockDim.x) {
      double sum[COLUMNS] = {};
      for (int i = lane; i < n; i += LANES) {
        double value = widened(values[i]);
#pragma unroll
        for (int c = 0; c < COLUMNS; ++c) {
          int column =
              first + c;  // past the probes 1.0, which gives the value, then the value itself
          double other = column < count    ? probes[(long long)column * n + i]
                         : column == count ? 1.0
                                           : value;
          sum[c] = __dadd_rn(sum[c], __dmul_rn(value, other));
        }
      }
#pragma unroll
      for (int c = 0; c < COLUMNS; ++c) lanes[c][lane] = sum[c];
    }
    for (int half = LANES / 2; half; half /= 2) {
      __syncthreads();
      for (int i = threadIdx.x; i < COLUMNS * half; i += blockDim.x) {
        double* lane = &lanes[i / half][i % half];
        *lane = __dadd_rn(*lane, lane[half]);
      }
    }
    // the thread that reads a sum has written it
    for (int c = threadIdx.x; c < COLUMNS && first + c < count + 2; c += blockDim.x) {
      products[task / parts * (count + 2) + first + c] = lanes[c][0];
    }
    __syncthreads();
  }
}

extern "C" __global__ void __launch_bounds__(256, 4)
    sum_lanes_f32(const float* series, const double* probes, long long step, double* products,
                  int rows, int n, int count) {
  sum_lanes(series, probes, step, products, rows, n, count);
}

extern "C" __global__ void __launch_bounds__(256, 4)
    sum_lanes_f64(const double* series, const double* probes, long long step, double* products,
                  int rows, int n, int count) {
  sum_lanes(series, probes, step, products, rows, n, count);
}

extern "C" __global__ void __launch_bounds__(256, 4)
    sum_lanes_i32(const int* series, const double* probes, long long step, double* products,
                  int rows, int n, int count) {
  sum_lanes(series, probes, step, products, rows, n, count);
}
