// Half precision for the host: a float in the range and the precision of _Float16, as CuPy's kernels use it.
#pragma once
#include <cstring>
#include <type_traits>

struct __half_raw { unsigned short x; };
struct __half {
  unsigned short x;
  __half() {}
  __half(const __half_raw& raw) : x(raw.x) {}
  template <class T, class = typename std::enable_if<std::is_arithmetic<T>::value>::type>
  __half(T value) { _Float16 h = (_Float16)value; std::memcpy(&x, &h, 2); }
  operator float() const { _Float16 h; std::memcpy(&h, &x, 2); return (float)h; }
  operator __half_raw() const { return {x}; }
};
typedef __half half;
static inline __half __float2half_rn(float x) { return __half(x); }
static inline float __half2float(__half x) { return (float)x; }
static inline unsigned short __half_as_ushort(__half x) { return x.x; }
static inline __half __ushort_as_half(unsigned short x) { return __half_raw{x}; }
