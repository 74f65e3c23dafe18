// What the instructions of PTX do, for the C++ that ptx.py writes. Registers hold bits: an instruction
// says what they mean. Arithmetic in float64 is the CPU's, which is IEEE's; `ftz` is done by hand.
#pragma once

#include <limits>
#include <type_traits>

#include "fibers.h"

typedef uint64_t u64, b64;
typedef uint32_t u32, b32;
typedef uint16_t u16, b16;
typedef uint8_t u8, b8;
typedef int64_t s64;
typedef int32_t s32;
typedef int16_t s16;
typedef int8_t s8;
typedef float f32;
typedef double f64;
typedef bool pred;

template <int size>
struct Bytes {  // a struct that is an argument
  alignas(8) char bytes[size];
};
template <class To, class From>
inline To as(From bits) {
  To value{};
  std::memcpy(&value, &bits, std::min(sizeof value, sizeof bits));
  return value;
}
// A register takes the bits of a value; a signed one is extended to the register's width.
template <class Register, class Value>
inline void put(Register& to, Value value) {
  if constexpr (std::is_same_v<Value, bool> || std::is_same_v<Register, bool>) {
    to = Register(value);
  } else if constexpr (std::is_integral_v<Value> && std::is_integral_v<Register>) {
    to = Register(value);
  } else {
    to = as<Register>(value);
  }
}
template <class T>
inline T load(u64 place) {
  T value;
  std::memcpy(&value, reinterpret_cast<void*>(place), sizeof value);
  return value;
}
template <class T>
inline void store(u64 place, T value) {
  std::memcpy(reinterpret_cast<void*>(place), &value, sizeof value);
}
inline f32 flushed(f32 value) {
  u32 bits = as<u32>(value);
  return as<f32>(bits & 0x7f800000u ? bits : bits & 0x80000000u);
}
template <class T>
inline T least(T a, T b) {  // as fmin: NaN only if both are
  return a != a ? b : b != b ? a : std::min(a, b);
}
template <class T>
inline T greatest(T a, T b) {
  return a != a ? b : b != b ? a : std::max(a, b);
}
template <class T>
inline T truncated(f64 value) {
  constexpr T low = std::numeric_limits<T>::min(), high = std::numeric_limits<T>::max();
  if (value != value) return 0;
  return value <= f64(low) ? low : value >= f64(high) ? high : T(value);
}
template <class T>
inline T shifted_left(T value, u32 by) {
  return by < 8 * sizeof value ? T(value << by) : T(0);
}
template <class T>
inline T shifted_right(T value, u32 by) {
  if (by >= 8 * sizeof value) return std::is_signed_v<T> && value < 0 ? T(-1) : T(0);
  return T(value >> by);
}
inline u64 inserted(u64 field, u64 into, u32 place, u32 length) {  // bfi.b64
  u64 mask = (length < 64 ? (u64(1) << length) - 1 : ~u64(0)) << place;
  return (into & ~mask) | (field << place & mask);
}
inline u32 added(u64 place, u32 value) {  // atom.add
  u32 before = load<u32>(place);
  store<u32>(place, before + value);
  return before;
}

inline u32 lane() { return shim::current % 32; }
inline u32 from(u32 value, u32 source) { return u32(shim::exchange(~0u, value)[source]); }
inline u32 shuffled_bfly(u32 value, u32 bits, u32) { return from(value, lane() ^ bits); }
inline u32 shuffled_idx(u32 value, u32 source, u32) { return from(value, source); }
inline u32 shuffled_up(u32 value, u32 step, u32) {
  return from(value, lane() < step ? lane() : lane() - step);
}
inline u32 matching(u32 value) {
  const u64* values = shim::exchange(~0u, value);
  u32 same = 0;
  for (int i = 0; i < 32; ++i) same |= u32(values[i] == value) << i;
  return same;
}
// Addresses of shared memory are offsets; `generic` makes them addresses of any memory.
inline u64 generic(u64 offset) { return reinterpret_cast<u64>(shared_memory) + u32(offset); }
