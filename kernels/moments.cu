// Exact inner products of ranks with probes, and of each row of ranks with itself.
//
// A warp takes ROWS rows and PROBES probes: one sum for each of its lanes in the end. The lanes take
// stocks in turn, so that a number is loaded once for several products; then the lanes add up their
// sums. The last probe of the last part is always past the end: it stands for each row itself.
// |rank| < 2**20 and |probe| <= 2**23 let no sum of 10**6 products leave int64.
//
// The ranks have a kernel of their own: they need not wait for the probes, and are found beside the
// blends, or while rows arrive. One kernel for both would load all probes for each row: 460 KB for
// 5,000 stocks, 2.3 GB for 5,000 rows. Four rows at a time, with ranks written and read, load 0.8 GB.
//
// Right for any launch shape of whole warps: integers add up to the same in any order. CPU twin:
// NumpyEngine.moments.

constexpr unsigned ALL = 0xffffffffu;  // every lane of a warp
constexpr int ROWS = 4;
constexpr int PROBES = 8;

// Makes sums[0] the sum over all lanes of sums[lane]: in each step a lane keeps half of its sums and
// adds the other lane's part of that half.
template <int HALF>
__device__ __forceinline__ void fold(long long* sums) {
  bool upper = threadIdx.x & HALF;
#pragma unroll
  for (int i = 0; i < HALF; ++i) {
    long long low = sums[i], high = sums[i + HALF];
    sums[i] = (upper ? high : low) + __shfl_xor_sync(ALL, upper ? low : high, HALF);
  }
  if constexpr (HALF > 1) fold<HALF / 2>(sums);
}

// ranks: (rows, n). probes: (count, n). moments: (rows, count + 1); the last column is the squares.
// Budget: 168 registers, 0 bytes of shared memory.
extern "C" __global__ void __launch_bounds__(128)
    moments(const int* __restrict__ ranks, const int* __restrict__ probes,
            long long* __restrict__ moments, int rows, int n, int count) {
  int lane = threadIdx.x % 32, warps = gridDim.x * (blockDim.x / 32), parts = count / PROBES + 1;
  long long tiles = (long long)((rows + ROWS - 1) / ROWS) * parts;
  for (long long tile = (blockIdx.x * blockDim.x + threadIdx.x) / 32; tile < tiles; tile += warps) {
    int row = int(tile / parts) * ROWS, probe = int(tile % parts) * PROBES;
    bool last = probe + PROBES > count;
    const int *left[ROWS], *right[PROBES];  // past the end: some row, for nothing
#pragma unroll
    for (int r = 0; r < ROWS; ++r) left[r] = ranks + (long long)min(row + r, rows - 1) * n;
#pragma unroll
    for (int p = 0; p < PROBES; ++p) {
      right[p] = probe + p < count ? probes + (long long)(probe + p) * n : left[0];
    }
    long long sums[ROWS * PROBES] = {};
#pragma unroll 2
    for (int stock = lane; stock < n; stock += 32) {
#pragma unroll
      for (int i = 0; i < ROWS * PROBES; ++i) {
        int rank = left[i / PROBES][stock], other = right[i % PROBES][stock];
        if (i % PROBES == PROBES - 1 && last) other = rank;
        sums[i] += (long long)rank * other;
      }
    }
    fold<ROWS * PROBES / 2>(sums);
    int r = row + lane / PROBES, p = probe + lane % PROBES;
    bool own = last && lane % PROBES == PROBES - 1;
    if (own) p = count;
    if (r < rows && (p < count || own)) moments[(long long)r * (count + 1) + p] = sums[0];
  }
}
