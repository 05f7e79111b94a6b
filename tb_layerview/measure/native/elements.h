// What the files that are compiled for each level share: how what they export is called, and what is in memory, as
// numbers.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define EXPORTED(name) JOIN(name, SUFFIX)

// As in library.py, by their numbers.
enum { FLOAT32, FLOAT64, FLOAT16, BFLOAT16, BOOL, INT8, UINT8, INT16, UINT16, INT32, UINT32, INT64, UINT64 };
// So many elements at most are made numbers at a time.
enum { AT_ONCE = 256 };

static inline size_t bytes_of(int64_t type) {
  switch (type) {
    case FLOAT64: case INT64: case UINT64: return 8;
    case FLOAT32: case INT32: case UINT32: return 4;
    case FLOAT16: case BFLOAT16: case INT16: case UINT16: return 2;
    default: return 1;
  }
}

static inline int is_single(int64_t type) { return type == FLOAT32 || (type >= FLOAT16 && type <= UINT16); }

// memcpy, as an element may lie anywhere; compilers make plain loads of it.
#define EACH(TYPE, EXPRESSION)                         \
  for (ptrdiff_t i = 0; i < n; i++) {                  \
    TYPE v;                                            \
    memcpy(&v, source + i * (ptrdiff_t)sizeof v, sizeof v); \
    to[i] = EXPRESSION;                                \
  }                                                    \
  break

static inline float from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

// Shifted into a float32, a float16's exponent is too small by 112, subnormals included.
static inline float from_half(uint16_t half) {
  uint32_t magnitude = half & 0x7fffu, sign = (uint32_t)(half & 0x8000u) << 16;
  float value = from_bits(magnitude << 13) * 0x1p112f;
  uint32_t bits;
  memcpy(&bits, &value, 4);
  bits = magnitude >= 0x7c00u ? (magnitude << 13) | 0x7f800000u : bits;
  return from_bits(bits | sign);
}

static inline float from_bfloat(uint16_t half) { return from_bits((uint32_t)half << 16); }

static void load_float(const char *restrict source, int64_t type, ptrdiff_t n, float *restrict to) {
  switch (type) {
    case FLOAT32: memcpy(to, source, (size_t)n * 4); break;
    case FLOAT16: EACH(uint16_t, from_half(v));
    case BFLOAT16: EACH(uint16_t, from_bfloat(v));
    case BOOL: EACH(uint8_t, (float)(v != 0));
    case INT8: EACH(int8_t, (float)v);
    case UINT8: EACH(uint8_t, (float)v);
    case INT16: EACH(int16_t, (float)v);
    case UINT16: EACH(uint16_t, (float)v);
  }
}

// n: at most AT_ONCE.
static void load_double(const char *restrict source, int64_t type, ptrdiff_t n, double *restrict to) {
  switch (type) {
    case FLOAT64: memcpy(to, source, (size_t)n * 8); break;
    case INT32: EACH(int32_t, (double)v);
    case UINT32: EACH(uint32_t, (double)v);
    case INT64: EACH(int64_t, (double)v);
    case UINT64: EACH(uint64_t, (double)v);
    default: {
      float single[AT_ONCE];
      load_float(source, type, n, single);
      for (ptrdiff_t i = 0; i < n; i++) to[i] = single[i];
    }
  }
}
