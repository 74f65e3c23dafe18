// From integer moments to scores: the twin of mmc_gpu/rounds/algebra.py, which is the definition.
//
// A thread has one user, and does what algebra.py does in the order in which it does it. Products,
// sums, quotients and roots are the _rn intrinsics: rounded as IEEE says, never fused. Powers of two
// are set in the exponent, and round once where the result is subnormal, as the C library's ldexp.
//
// Nothing here is worth speed: 5,000 users x 20 draws are 0.3 M quotients.

__device__ __forceinline__ int exponent_field(double value) {
  return int(__double_as_longlong(value) >> 52 & 0x7ff);
}
__device__ __forceinline__ double with_exponent(double value, int field) {
  long long bits = __double_as_longlong(value) & ~(0x7ffll << 52);
  return __longlong_as_double(bits | (long long)field << 52);
}

// ldexp: value * 2**power.
__device__ double scaled(double value, int power) {
  int field = exponent_field(value);
  if (field == 0x7ff || value == 0.0) return value;
  if (field == 0) {  // subnormal
    value = __dmul_rn(value, 0x1p54);
    field = exponent_field(value) - 54;
  }
  field += power;
  if (field > 0x7fe) return __dmul_rn(with_exponent(value, 0x7fe), 0x1p1023);
  if (field > 0) return with_exponent(value, field);
  return __dmul_rn(with_exponent(value, field > -54 ? field + 54 : 1), 0x1p-54);
}

// frexp's exponent: value = m * 2**exponent, 0.5 <= |m| < 1; 0 for 0 and infinity.
__device__ int exponent_of(double value) {
  int field = exponent_field(value);
  if (field == 0x7ff || value == 0.0) return 0;
  return field ? field - 1022 : exponent_field(__dmul_rn(value, 0x1p54)) - 1076;
}

// The inner product with a target, from those with its limbs.
__device__ double product(const long long* with_limbs, int limbs) {
  double found = scaled(__ll2double_rn(with_limbs[0]), 24);
  return limbs == 2 ? __dadd_rn(found, __ll2double_rn(with_limbs[1])) : found;
}

// A Pearson correlation; `equal` says whether both sums of squares are one number.
__device__ double ratio(double product, double squares, double others, bool equal) {
  double lengths = equal ? squares : __dmul_rn(__dsqrt_rn(squares), __dsqrt_rn(others));
  if (!(lengths > 0.0)) return __longlong_as_double(0x7ff8000000000000ll);
  double found = __ddiv_rn(product, lengths);
  return found < -1.0 ? -1.0 : found > 1.0 ? 1.0 : found;
}

// draws: (count,) of one user; they are read three times. Returns their mean, and its error.
__device__ double mean_and_error(const double* draws, int count, double& error) {
  double largest = 0.0, mean = 0.0, squares = 0.0;
  for (int d = 0; d < count; ++d) largest = fmax(largest, fabs(draws[d]));
  int unit = exponent_of(largest);
  for (int d = 0; d < count; ++d) mean = __dadd_rn(mean, scaled(draws[d], -unit));
  mean = __ddiv_rn(mean, double(count));
  for (int d = 0; d < count; ++d) {
    double deviation = __dsub_rn(scaled(draws[d], -unit), mean);
    squares = __dadd_rn(squares, __dmul_rn(deviation, deviation));
  }
  error = __ddiv_rn(__dsqrt_rn(__ddiv_rn(squares, double(count - 1))), __dsqrt_rn(double(count)));
  error = count == 1 ? __longlong_as_double(0x7ff8000000000000ll) : scaled(error, unit);
  return scaled(mean, unit);
}

// moments: (users, draws + 1 + limbs + 1): each user's products with the meta models, the last that of
// the full stakes, with the limbs of all targets, and with itself. own: (draws + 1, limbs + 1), those of
// the meta models with the limbs and with themselves. targets: (count, 3), of each how many limbs, the
// exponent, the variance. scores: (3 * count + 1, users): mmc, its error and corr of each target, then
// corr_with_meta_model. per_draw: (count, users, draws).
// Budget: 64 registers, 0 bytes of shared memory.
extern "C" __global__ void __launch_bounds__(64)
    algebra(const long long* __restrict__ moments, const long long* __restrict__ own,
            const double* __restrict__ targets, double* __restrict__ scores, double* per_draw,
            int users, int draws, int limbs, int count, int n, double scale) {
  double unit = __ll2double_rn(2ll * n * (n - 1));
  for (int user = blockIdx.x * blockDim.x + threadIdx.x; user < users;
       user += gridDim.x * blockDim.x) {
    const long long* found = moments + (long long)user * (draws + limbs + 2);
    long long squares = found[draws + limbs + 1], full = own[(draws + 1) * (limbs + 1) - 1];
    double length = __ll2double_rn(squares);
    scores[3ll * count * users + user] =
        ratio(__ll2double_rn(found[draws]), length, __ll2double_rn(full), squares == full);
    int first = 0;  // of the target's limbs
    for (int target = 0; target < count; ++target) {
      int own_limbs = int(targets[3 * target]), exponent = int(targets[3 * target + 1]);
      double variance = targets[3 * target + 2];
      double with_target = product(found + draws + 1 + first, own_limbs);
      double* contributions = per_draw + ((long long)target * users + user) * draws;
      for (int d = 0; d < draws; ++d) {
        const long long* meta = own + (long long)d * (limbs + 1);
        double slope = __ll2double_rn(found[d]);  // 0.0 where a meta model is constant
        if (meta[limbs] > 0) slope = __ddiv_rn(slope, __ll2double_rn(meta[limbs]));
        slope = __dmul_rn(slope, product(meta + first, own_limbs));
        double left = __ddiv_rn(__dsub_rn(with_target, slope), unit);
        contributions[d] = __ddiv_rn(scaled(left, exponent), scale);
      }
      double error, mean = mean_and_error(contributions, draws, error);
      scores[3ll * target * users + user] = mean;
      scores[(3ll * target + 1) * users + user] = error;
      scores[(3ll * target + 2) * users + user] =
          ratio(with_target, length, variance, length == variance);
      first += own_limbs;
    }
  }
}
