// What the predictions need before they are ranked, wherever their values lie in the GPU's memory.
//
// rows_ends   the least and the greatest value of each row; both NaN where a value is NaN.
// rows_copy   rows and columns in another order, copied to (rows, n) in C order.
//
// `row_step` and `step` are how many values lie from a row to the next one, and from a column to the
// next one. Lanes of a warp read what lies together: the columns of a row, or else the rows of a
// column. Keys are compared as integers: CuPy compiles with -ftz=true, which takes subnormals for 0.
// Right for any launch shape of whole warps up to 256 threads.

#include "keys.cuh"

constexpr unsigned ALL = 0xffffffffu;  // every lane of a warp
constexpr int TILE = 32;
constexpr int LOADS = 8;  // values under way at once

template <class Value, class Key>
__device__ __forceinline__ void widen(const Value* column, long long step, int first, int stride,
                                      int n, Key& low, Key& high) {
  for (int start = first; start < n; start += LOADS * stride) {
    Value loaded[LOADS];  // past the end the last one, for nothing
#pragma unroll
    for (int k = 0; k < LOADS; ++k) loaded[k] = column[min(start + k * stride, n - 1) * step];
#pragma unroll
    for (int k = 0; k < LOADS; ++k) {
      Key key = ordered(loaded[k]);
      low = min(low, key);
      high = max(high, key);
    }
  }
}

// series: rows of n values. ends: (2, rows), the least and then the greatest values.
// Budget: 64 registers, 4096 bytes of shared memory.
template <class Value>
__device__ void rows_ends(const Value* __restrict__ series, long long row_step, long long step,
                          Value* __restrict__ ends, int rows, int n) {
  using Key = decltype(ordered(Value()));
  __shared__ Key lows[8][TILE], highs[8][TILE];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  bool along = llabs(step) <= llabs(row_step);  // a row's values lie together: a warp has a row
  int each = along ? warps : TILE;
  for (long long start = (long long)blockIdx.x * each; start < rows;
       start += (long long)gridDim.x * each) {
    long long row = start + (along ? warp : lane);
    const Value* column = series + min(row, rows - 1ll) * row_step;
    Key low = ~Key(0), high = 0;
    if (along) {
      widen(column, step, lane, 32, n, low, high);
      for (int other = 16; other; other /= 2) {
        low = min(low, __shfl_xor_sync(ALL, low, other));
        high = max(high, __shfl_xor_sync(ALL, high, other));
      }
    } else {
      widen(column, step, warp, warps, n, low, high);
      lows[warp][lane] = low, highs[warp][lane] = high;
      __syncthreads();
      for (int other = 0; other < warps; ++other) {
        low = min(low, lows[other][lane]);
        high = max(high, highs[other][lane]);
      }
      __syncthreads();
    }
    if (row < rows && (along ? lane : warp) == 0) {
      Key infinite = ~Key(0) << (sizeof(Key) == 4 ? 23 : 52);  // of infinity; ~ of minus infinity
      bool missing = high > infinite || low < ~infinite;
      ends[row] = missing ? restored(~Key(0)) : restored(low);
      ends[rows + row] = missing ? restored(~Key(0)) : restored(high);
    }
  }
}

// A tile of TILE x TILE values. Where the rows of a column lie together, it is read column by column,
// and written row by row. rows, columns: which ones, or null for all. to: (count, n).
// Budget: 64 registers, 8448 bytes of shared memory.
template <class Value>
__device__ void rows_copy(const Value* __restrict__ from, long long row_step, long long step,
                          const long long* __restrict__ rows, const long long* __restrict__ columns,
                          Value* __restrict__ to, int count, int n) {
  __shared__ Value tile[TILE][TILE + 1];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  bool along = llabs(step) <= llabs(row_step);
  int across = (n + TILE - 1) / TILE;
  long long tiles = (long long)((count + TILE - 1) / TILE) * across;
  for (long long task = blockIdx.x; task < tiles; task += gridDim.x) {
    int first_row = int(task / across) * TILE, first = int(task % across) * TILE;
    for (int i = warp; i < TILE; i += warps) {
      int row = first_row + (along ? i : lane), column = first + (along ? lane : i);
      if (row < count && column < n) {
        long long source = rows ? rows[row] : row, place = columns ? columns[column] : column;
        Value value = from[source * row_step + place * step];
        if (along) {
          to[(long long)row * n + column] = value;
        } else {
          tile[i][lane] = value;
        }
      }
    }
    if (along) continue;
    __syncthreads();
    for (int i = warp; i < TILE; i += warps) {
      int row = first_row + i, column = first + lane;
      if (row < count && column < n) to[(long long)row * n + column] = tile[lane][i];
    }
    __syncthreads();
  }
}

extern "C" __global__ void __launch_bounds__(256)
    rows_ends_f32(const float* series, long long row_step, long long step, float* ends, int rows,
                  int n) {
  rows_ends(series, row_step, step, ends, rows, n);
}

extern "C" __global__ void __launch_bounds__(256)
    rows_ends_f64(const double* series, long long row_step, long long step, double* ends, int rows,
                  int n) {
  rows_ends(series, row_step, step, ends, rows, n);
}

extern "C" __global__ void __launch_bounds__(256)
    rows_copy_4(const unsigned* from, long long row_step, long long step, const long long* rows,
                const long long* columns, unsigned* to, int count, int n) {
  rows_copy(from, row_step, step, rows, columns, to, count, n);
}

extern "C" __global__ void __launch_bounds__(256)
    rows_copy_8(const unsigned long long* from, long long row_step, long long step,
                const long long* rows, const long long* columns, unsigned long long* to, int count,
                int n) {
  rows_copy(from, row_step, step, rows, columns, to, count, n);
}
