// Integers in the order of the values. Both zeros have one key; NaN lies beyond the infinity of its sign.
__device__ __forceinline__ unsigned ordered(float value) {
  unsigned bits = __float_as_uint(value);
  if (bits == 0x80000000u) bits = 0;
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ unsigned long long ordered(double value) {
  unsigned long long bits = __double_as_longlong(value);
  if (bits == 0x8000000000000000ull) bits = 0;
  return bits >> 63 ? ~bits : bits | 0x8000000000000000ull;
}
__device__ __forceinline__ float restored(unsigned key) {
  return __uint_as_float(key >> 31 ? key & 0x7fffffffu : ~key);
}
__device__ __forceinline__ double restored(unsigned long long key) {
  return __longlong_as_double(key >> 63 ? key & 0x7fffffffffffffffull : ~key);
}
