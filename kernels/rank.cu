// Stable ranks of every row: doubled and centred, 2 * rank - (n + 1) with ranks from 1.
//
// rank_buckets   one block a row, in shared memory. The row's range is cut into about n buckets of
//                equal width; the rank of a value is the number of values in the buckets below its
//                own plus the number of smaller ones in its own. Where few different values crowd
//                their buckets, one stable pass counts them. Any other row that crowds a bucket
//                (heavy tails) is put on a list instead.
// rank_radix     one block a row, for the rows on the list and for rows too long for shared memory:
//                a stable sort of the row's places, 8 bits of the key at a time, the lowest first.
// rank_ends      one block a row: where its lowest and highest ranks are.
// rank_table     ranks looked up in a table.
//
// Right for any launch shape of whole warps: blocks take rows in turn, threads take places in turn.
// A value's bucket is weakly monotone in the value, whatever rounding, flushing of subnormals or
// overflow does on the way, and after that only integer keys are compared. The order in which
// atomics arrive decides where in its bucket a value lies, and never what is counted.
//
// Ties rank in order of appearance, or share their mean rank, or both are found at once; -0.0 equals
// 0.0. Values are finite. CPU twins: NumpyEngine.rank, ends and transform.
//
// 512 threads a block: of 5,000 float32, four blocks fit a processor of compute capability 9.0 by
// threads, registers and shared memory, and three one of 8.0, so that the others compute while one waits
// at a barrier. Older ones have threads for two blocks, which leave each thread 64 registers.

constexpr unsigned ALL = 0xffffffffu;  // every lane of a warp
constexpr int CROWD = 32;              // values a bucket may hold; counting there costs its square
constexpr int DIGITS = 256;
#ifdef __CUDA_ARCH__  // blocks for all threads of a processor, which its registers are to be enough for
constexpr int FULL = __CUDA_ARCH__ < 800                                 ? 2
                     : __CUDA_ARCH__ % 100 == 0 && __CUDA_ARCH__ <= 1000 ? 4
                                                                         : 3;
#endif
constexpr int LOADS = 5;  // values under way at once: two times 5 in a thread, for 5,000 stocks

#include "keys.cuh"

// The sum over the lanes up to this one, with this one.
__device__ __forceinline__ int warp_scan(int value) {
  int lane = threadIdx.x % 32;
  for (int step = 1; step < 32; step *= 2) {
    int other = __shfl_up_sync(ALL, value, step);
    if (lane >= step) value += other;
  }
  return value;
}

// Calls use(place, value) for each of this thread's places of a row.
template <class Value, class Use>
__device__ __forceinline__ void for_values(const Value* __restrict__ values, int n, Use use) {
  for (int first = threadIdx.x; first < n; first += LOADS * blockDim.x) {
    Value loaded[LOADS];  // past the end the last one, for nothing
#pragma unroll
    for (int k = 0; k < LOADS; ++k) loaded[k] = values[min(first + k * int(blockDim.x), n - 1)];
#pragma unroll
    for (int k = 0; k < LOADS; ++k) {
      int place = first + k * int(blockDim.x);
      if (place < n) use(place, loaded[k]);
    }
  }
}

// The smallest and the largest key of a row.
template <class Value, class Key>
__device__ void block_range(const Value* values, int n, Key& low, Key& high) {
  low = ~Key(0), high = 0;
  for_values(values, n, [&](int, Value value) {
    low = min(low, ordered(value));
    high = max(high, ordered(value));
  });
  __shared__ Key lows[32], highs[32];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  for (int level = 0; level < 2; ++level) {  // of each warp, then of the warps
    for (int step = 16; step; step /= 2) {
      low = min(low, __shfl_xor_sync(ALL, low, step));
      high = max(high, __shfl_xor_sync(ALL, high, step));
    }
    if (level) return;
    if (lane == 0) lows[warp] = low, highs[warp] = high;
    __syncthreads();
    low = lows[lane < warps ? lane : 0];
    high = highs[lane < warps ? lane : 0];
  }
}

// The bits in which the keys of a row differ.
template <class Value, class Key>
__device__ Key block_varying(const Value* values, int n) {
  Key varying = 0, some = ordered(values[0]);
  for_values(values, n, [&](int, Value value) { varying |= ordered(value) ^ some; });
  __shared__ Key parts[32];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  for (int step = 16; step; step /= 2) varying |= __shfl_xor_sync(ALL, varying, step);
  if (lane == 0) parts[warp] = varying;
  __syncthreads();
  for (int other = 0; other < warps; ++other) varying |= parts[other];
  return varying;
}

// Replaces each of `length` counts in shared memory by the sum of the counts before it; or by how many
// of them are not 0.
__device__ __forceinline__ void block_scan(int* counts, int length, bool present = false) {
  __shared__ int totals[32];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  int each = (length + blockDim.x - 1) / blockDim.x;
  int begin = min(int(threadIdx.x) * each, length), end = min(begin + each, length);
  int sum = 0;
  for (int i = begin; i < end; ++i) sum += present ? counts[i] > 0 : counts[i];
  int before = warp_scan(sum);
  if (lane == 31) totals[warp] = before;
  before -= sum;
  __syncthreads();
  int warps_before = warp_scan(lane < warps ? totals[lane] : 0);
  if (warp) before += __shfl_sync(ALL, warps_before, warp - 1);
  for (int i = begin; i < end; ++i) {
    int count = present ? counts[i] > 0 : counts[i];
    counts[i] = before;
    before += count;
  }
  __syncthreads();
}

// The bucket of a value, among `top + 1` buckets. fmin sends NaN to the top: if the range overflows
// (scale is 0), the largest values become NaN; if the range vanishes (scale is inf), all values do.
template <class Value>
__device__ __forceinline__ int bucket_of(Value value, Value low, Value scale, Value top) {
  return int(fmin((value - low) * scale, top));
}

// Ranks a row of few different values, each alone in its bucket: a stable pass over the numbers of the
// full buckets. Returns false if a bucket has several values, or if there is no room. keys, starts,
// places, slots: as in rank_buckets, after its counting; `slots` is 0 for one value of each bucket.
// A key of five values takes 220 instructions of PTX and one of 101 values 235, where uniform ones take
// 190 and a sort of these rows 300 to 1,000: on an H200 0.3 to 0.4 ms, estimated, for 25 million.
template <class Value, class Key>
__device__ bool rank_tied(const Value* __restrict__ series, int* __restrict__ first,
                          int* __restrict__ average, int row, int n, int buckets, Value least,
                          Value scale, Key* keys, int* starts, unsigned short* places,
                          const unsigned char* slots) {
  // what follows from these would else be computed before the rows, and take registers from all of them
  asm volatile("" : "+r"(row), "+r"(n));
  long long start = (long long)row * n;
  const Value* values = series + start;
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, stride = blockDim.x / 32 | 1;
  block_scan(starts, buckets, true);
  int different = starts[buckets - 1] + 1;  // the greatest value is in the last bucket
  int* counts = reinterpret_cast<int*>(keys + different + 1);  // (different, stride)
  if (sizeof(Key) * (different + 1) + 4 * different * stride > sizeof(Key) * n) {
    __syncthreads();  // before the next row's counts, all have read `different`
    return false;
  }
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    int number = starts[bucket_of(values[i], least, scale, Value(buckets - 1))];
    places[i] = (unsigned short)number;
    if (slots[i] == 0) keys[number] = ordered(values[i]);
  }
  for (int i = threadIdx.x; i < different * stride; i += blockDim.x) counts[i] = 0;
  __syncthreads();
  int several = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x)
    several |= ordered(values[i]) != keys[places[i]];
  if (__syncthreads_or(several)) return false;
  int run = (n + blockDim.x - 1) / blockDim.x * 32, begin = min(warp * run, n);
  int end = min(begin + run, n);
  for (int i = begin + lane; i - lane < end; i += 32) {
    int number = i < end ? places[i] : -1;
    unsigned same = __match_any_sync(ALL, number);
    if (i < end && same >> lane == 1) counts[number * stride + warp] += __popc(same);
    __syncwarp();
  }
  __syncthreads();
  block_scan(counts, different * stride);
  int* begins = reinterpret_cast<int*>(keys);
  for (int i = threadIdx.x; i <= different; i += blockDim.x)
    begins[i] = i < different ? counts[i * stride] : n;
  __syncthreads();
  for (int i = begin + lane; i - lane < end; i += 32) {
    int number = i < end ? places[i] : -1;
    unsigned same = __match_any_sync(ALL, number);
    int place = i < end ? counts[number * stride + warp] : 0;
    __syncwarp();
    if (i < end) {
      int before = __popc(same & ((1u << lane) - 1));
      if (first) first[start + i] = 2 * (place + before) + 1 - n;
      if (average) average[start + i] = begins[number] + begins[number + 1] - n;
      if (before == 0) counts[number * stride + warp] = place + __popc(same);
    }
    __syncwarp();
  }
  return true;  // nobody writes here again before the barriers of the next row
}

// series: (rows, n), n at most 65,536. first, average: (rows, n), ranks with ties in order of appearance,
// and with ties that share their mean; each is written but for crowded rows, or null. crowded: their
// number, 0 before, then the rows. Dynamic shared memory: n * (sizeof(Value) + 3) + 4 * (buckets + 1)
// bytes. Budget: 40 registers (64 before 8.0), 640 bytes of shared memory.
template <class Value>
__device__ void rank_buckets(const Value* __restrict__ series, int* __restrict__ first,
                             int* __restrict__ average, int* __restrict__ crowded, int rows, int n,
                             int buckets) {
  using Key = decltype(ordered(Value()));
  extern __shared__ unsigned long long shared_memory[];
  Key* keys = reinterpret_cast<Key*>(shared_memory);  // (n,) bucket by bucket
  int* starts = reinterpret_cast<int*>(keys + n);     // (buckets + 1,) first place of each bucket
  unsigned short* places =
      reinterpret_cast<unsigned short*>(starts + buckets + 1);          // (n,) of `keys`
  unsigned char* slots = reinterpret_cast<unsigned char*>(places + n);  // (n,) place in the bucket
  for (int row = blockIdx.x; row < rows; row += gridDim.x) {
    long long start = (long long)row * n;
    const Value* values = series + start;
    for (int i = threadIdx.x; i <= buckets; i += blockDim.x) starts[i] = i < buckets ? 0 : n;
    Key low, high;
    block_range(values, n, low, high);
    Value least = restored(low), top = Value(buckets - 1);
    Value scale = Value(buckets) / (restored(high) - least);
    int full = 0;
    for_values(values, n, [&](int i, Value value) {
      int slot = atomicAdd(&starts[bucket_of(value, least, scale, top)], 1);
      slots[i] = (unsigned char)min(slot, 255);
      full |= slot >= CROWD;
    });
    if (__syncthreads_or(full)) {
      bool ranked = rank_tied(series, first, average, row, n, buckets, least, scale, keys, starts,
                              places, slots);
      if (!ranked && threadIdx.x == 0) crowded[1 + atomicAdd(crowded, 1)] = row;
      continue;
    }
    block_scan(starts, buckets);
    for_values(values, n, [&](int i, Value value) {
      int place = starts[bucket_of(value, least, scale, top)] + slots[i];
      keys[place] = ordered(value);
      places[place] = (unsigned short)i;
    });
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
      Key key = ordered(values[i]);
      int bucket = bucket_of(values[i], least, scale, top);
      int begin = starts[bucket], end = starts[bucket + 1];
      int twice = 2 * begin - n, equal = 0, before = 0;
      for (int place = begin; place < end; ++place) {
        Key other = keys[place];
        if (other < key) twice += 2;
        if (other == key) ++equal, before += places[place] < i;
      }
      if (first) first[start + i] = twice + 2 * before + 1;
      if (average) average[start + i] = twice + equal;
    }
    __syncthreads();
  }
}

// How many of the first `n` ordered values lie below `key`, or are below or equal to it.
template <class Value, class Key>
__device__ int count_below(const Value* values, const int* order, int n, Key key, bool equal) {
  int below = 0, above = n;
  while (below < above) {
    int middle = (below + above) / 2;
    Key other = ordered(values[order[middle]]);
    if (other < key || (equal && other == key)) {
      below = middle + 1;
    } else {
      above = middle;
    }
  }
  return below;
}

// One stable pass: `to` becomes `from`, ordered by one digit of the values' keys, at `shift`. Each
// warp has its own run of places; counts, (DIGITS, warps | 1), says where each digit of each run
// goes. Rows of odd length put a warp's digits in different banks.
template <class Value>
__device__ void sort_pass(const Value* values, const int* from, int* to, int n, int shift,
                          int* counts) {
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  int stride = warps | 1, run = (n + blockDim.x - 1) / blockDim.x * 32;
  int begin = min(warp * run, n), end = min(begin + run, n);
  for (int i = threadIdx.x; i < DIGITS * stride; i += blockDim.x) counts[i] = 0;
  __syncthreads();
  for (int i = begin + lane; i < end; i += 32) {
    atomicAdd(&counts[int(ordered(values[from[i]]) >> shift & (DIGITS - 1)) * stride + warp], 1);
  }
  __syncthreads();
  block_scan(counts, DIGITS * stride);
  for (int first = begin; first < end; first += 32) {
    int place = 0, digit = DIGITS;  // of no value: the lanes past the end
    if (first + lane < end) {
      place = from[first + lane];
      digit = int(ordered(values[place]) >> shift & (DIGITS - 1));
    }
    unsigned same = __match_any_sync(ALL, digit);
    int before = __popc(same & ((1u << lane) - 1));
    int start = digit < DIGITS ? counts[digit * stride + warp] : 0;
    __syncwarp();
    if (digit < DIGITS) {
      to[start + before] = place;
      if (before == 0) counts[digit * stride + warp] = start + __popc(same);
    }
    __syncwarp();
  }
  __syncthreads();
}

// series, first, average: (rows, n), of which the listed rows are read and written; null ranks are not.
// listed: their number, then the rows; null stands for all. scratch: (gridDim.x, 2, n), or null: shared memory. Dynamic shared
// memory: 4 * DIGITS * (warps | 1) bytes, and 8 * n more without `scratch`.
// Budget: 64 registers, 640 bytes of shared memory.
template <class Value>
__device__ void rank_radix(const Value* __restrict__ series, int* __restrict__ first,
                           int* __restrict__ average, const int* __restrict__ listed, int* scratch,
                           int rows, int n) {
  using Key = decltype(ordered(Value()));
  extern __shared__ unsigned long long shared_memory[];
  int* counts = reinterpret_cast<int*>(shared_memory);
  int* from = scratch ? scratch + 2LL * n * blockIdx.x : counts + DIGITS * (blockDim.x / 32 | 1);
  int* to = from + n;
  int number = listed ? listed[0] : rows;
  for (int turn = blockIdx.x; turn < number; turn += gridDim.x) {
    int row = listed ? listed[1 + turn] : turn;
    long long start = (long long)row * n;
    const Value* values = series + start;
    // Digits that are the same everywhere need no pass: of five values, half of those of float32.
    Key varying = block_varying<Value, Key>(values, n);
    for (int i = threadIdx.x; i < n; i += blockDim.x) from[i] = i;
    __syncthreads();
    for (int shift = 0; shift < 8 * int(sizeof(Key)); shift += 8) {
      if (!(varying >> shift & (DIGITS - 1))) continue;
      sort_pass(values, from, to, n, shift, counts);
      int* swapped = from;
      from = to;
      to = swapped;
    }
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
      if (first) first[start + from[i]] = 2 * i + 1 - n;
      if (!average) continue;
      Key key = ordered(values[from[i]]);
      int below = count_below(values, from, n, key, false);
      average[start + from[i]] = below + count_below(values, from, n, key, true) - n;
    }  // nobody writes `from` again before the barrier of the next row's bits
  }
}

extern "C" __global__ void __launch_bounds__(512, FULL)
    rank_buckets_f32(const float* series, int* first, int* average, int* crowded, int rows, int n,
                     int buckets) {
  rank_buckets(series, first, average, crowded, rows, n, buckets);
}

extern "C" __global__ void __launch_bounds__(512)
    rank_buckets_f64(const double* series, int* first, int* average, int* crowded, int rows, int n,
                     int buckets) {
  rank_buckets(series, first, average, crowded, rows, n, buckets);
}

extern "C" __global__ void __launch_bounds__(512, 2)
    rank_radix_f32(const float* series, int* first, int* average, const int* listed, int* scratch,
                   int rows, int n) {
  rank_radix(series, first, average, listed, scratch, rows, n);
}

extern "C" __global__ void __launch_bounds__(512, 2)
    rank_radix_f64(const double* series, int* first, int* average, const int* listed, int* scratch,
                   int rows, int n) {
  rank_radix(series, first, average, listed, scratch, rows, n);
}

// ranks: (rows, n), ties in order of appearance. ends: (rows, 2 * count), ascending places of the
// `count` lowest and the `count` highest ranks. Budget: 64 registers, 2176 bytes of shared memory.
extern "C" __global__ void __launch_bounds__(512)
    rank_ends(const int* __restrict__ ranks, long long* __restrict__ ends, int rows, int n,
              int count) {
  __shared__ int starts[512];
  int each = (n + blockDim.x - 1) / blockDim.x;
  int begin = min(int(threadIdx.x) * each, n), end = min(begin + each, n);
  for (int row = blockIdx.x; row < rows; row += gridDim.x) {
    const int* own = ranks + (long long)row * n;
    int found = 0;
    for (int i = begin; i < end; ++i) found += abs(own[i]) > n - 2 * count;
    starts[threadIdx.x] = found;  // which the scan lets this thread alone read and write
    block_scan(starts, blockDim.x);
    long long* place = ends + 2LL * count * row + starts[threadIdx.x];
    for (int i = begin; i < end; ++i) {
      if (abs(own[i]) > n - 2 * count) *place++ = i;
    }
  }
}

// ranks, series: (size,). table: (2 * n - 1,), by rank + n - 1; that of row r begins at r * step.
// Budget: 40 registers, 0 bytes of shared memory.
extern "C" __global__ void __launch_bounds__(512)
    rank_table(const int* __restrict__ ranks, const double* __restrict__ table, long long step,
               double* __restrict__ series, int n, long long size) {
  long long threads = (long long)gridDim.x * blockDim.x;
  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < size; i += threads) {
    series[i] = table[i / n * step + ranks[i] + n - 1];
  }
}
