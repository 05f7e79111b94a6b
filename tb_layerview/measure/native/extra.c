// Statistics that only some tensors have: of examples, of what an activation function bounds, and of attention. All as
// measure/extra.py does it, where the formulas are explained.
//
// Like digest.c it is compiled once for each level of the processor and gives the same bits at each of them, and it holds
// no state, starts no thread, and allocates nothing.
#include <float.h>
#include <math.h>

#include "elements.h"
#include "exported.h"

// Four numbers side by side, whatever the processor adds at once: each is computed by itself.
enum { LANES = 4 };
typedef double Lanes __attribute__((vector_size(8 * LANES), aligned(8), may_alias));
typedef int64_t Mask __attribute__((vector_size(8 * LANES), aligned(8), may_alias));
#define LANES_AT(place) (*(Lanes *)(void *)(place))
#define MASK_AT(place) (*(Mask *)(void *)(place))
static const Lanes zero;

#define SUM_OF(x) (((x)[0] + (x)[1]) + ((x)[2] + (x)[3]))

// --- Examples --------------------------------------------------------------------------------------------------------

// As many as are looked at; features that are drawn together; examples whose products with LANES others are added up at
// a time.
enum { EXAMPLES = 32, BLOCK = 64, TOGETHER = 8 };

#define EVERY(TYPE, EXPRESSION)                            \
  for (ptrdiff_t i = 0; i < n; i++) {                      \
    TYPE v;                                                \
    memcpy(&v, source + i * stride, sizeof v);             \
    to[i] = (double)(EXPRESSION);                          \
  }                                                        \
  break

// stride: in bytes.
static void sample(const char *restrict source, int64_t type, ptrdiff_t stride, ptrdiff_t n, double *restrict to) {
  switch (type) {
    case FLOAT32: EVERY(float, v);
    case FLOAT64: EVERY(double, v);
    case FLOAT16: EVERY(uint16_t, from_half(v));
    case BFLOAT16: EVERY(uint16_t, from_bfloat(v));
    case BOOL: EVERY(uint8_t, v != 0);
    case INT8: EVERY(int8_t, v);
    case UINT8: EVERY(uint8_t, v);
    case INT16: EVERY(int16_t, v);
    case UINT16: EVERY(uint16_t, v);
    case INT32: EVERY(int32_t, v);
    case UINT32: EVERY(uint32_t, v);
    case INT64: EVERY(int64_t, v);
    case UINT64: EVERY(uint64_t, v);
  }
}

// The largest magnitude among float64 examples, by their bits; that of NaN is beyond infinity's.
static uint64_t largest_of(const char *data, int64_t examples, ptrdiff_t example_bytes, int64_t features,
                           ptrdiff_t feature_bytes) {
  uint64_t largest = 0;
  for (int64_t e = 0; e < examples; e++)
    for (int64_t f = 0; f < features; f++) {
      uint64_t bits;
      memcpy(&bits, data + e * example_bytes + f * feature_bytes, 8);
      bits &= UINT64_C(0x7fffffffffffffff);
      largest = bits > largest ? bits : largest;
    }
  return largest;
}

// Adds the products of all examples, feature after feature, to `gram`: from the diagonal on to the right.
static void add_products(double x[BLOCK][EXAMPLES], ptrdiff_t features, int64_t examples, double *gram) {
  for (int64_t i = 0; i < examples; i += TOGETHER)
    for (int64_t j = i; j < examples; j += LANES) {
      double *to = gram + i * EXAMPLES + j;
      Lanes a = LANES_AT(to), b = LANES_AT(to + EXAMPLES), c = LANES_AT(to + 2 * EXAMPLES);
      Lanes d = LANES_AT(to + 3 * EXAMPLES), e = LANES_AT(to + 4 * EXAMPLES), g = LANES_AT(to + 5 * EXAMPLES);
      Lanes h = LANES_AT(to + 6 * EXAMPLES), k = LANES_AT(to + 7 * EXAMPLES);
      for (ptrdiff_t f = 0; f < features; f++) {
        const double *one = &x[f][i];
        Lanes others = LANES_AT(&x[f][j]);
        a += one[0] * others;
        b += one[1] * others;
        c += one[2] * others;
        d += one[3] * others;
        e += one[4] * others;
        g += one[5] * others;
        h += one[6] * others;
        k += one[7] * others;
      }
      LANES_AT(to) = a;
      LANES_AT(to + EXAMPLES) = b;
      LANES_AT(to + 2 * EXAMPLES) = c;
      LANES_AT(to + 3 * EXAMPLES) = d;
      LANES_AT(to + 4 * EXAMPLES) = e;
      LANES_AT(to + 5 * EXAMPLES) = g;
      LANES_AT(to + 6 * EXAMPLES) = h;
      LANES_AT(to + 7 * EXAMPLES) = k;
    }
}

static void of_examples(const void *data, int64_t type, int64_t examples, int64_t example_stride, int64_t features,
                        int64_t feature_stride, double *found) {
  ptrdiff_t size = (ptrdiff_t)bytes_of(type), example_bytes = example_stride * size, feature_bytes = feature_stride * size;
  double once = 1, twice = 1;
  found[0] = found[1] = NAN;
  if (examples < 2) return;
  if (type == FLOAT64) {
    // The squares of float64's largest and smallest numbers are none.
    uint64_t bits = largest_of(data, examples, example_bytes, features, feature_bytes);
    double largest;
    int exponent;
    memcpy(&largest, &bits, 8);
    if (!(largest <= DBL_MAX)) return;  // it has no exponent
    frexp(largest, &exponent);
    // A power of two may be beyond float64's range; half of its exponent is not.
    once = ldexp(1, -exponent / 2);
    twice = ldexp(1, -exponent - -exponent / 2);
  }
  double x[BLOCK][EXAMPLES] = {{0}}, gram[EXAMPLES * EXAMPLES] = {0}, row[BLOCK], squares[BLOCK] = {0};
  for (int64_t begin = 0; begin < features; begin += BLOCK) {
    ptrdiff_t n = features - begin < BLOCK ? features - begin : BLOCK;
    double sum[BLOCK] = {0};
    for (int64_t e = 0; e < examples; e++) {
      sample((const char *)data + e * example_bytes + begin * feature_bytes, type, feature_bytes, n, row);
      for (ptrdiff_t f = 0; f < n; f++) {
        double value = row[f] * once * twice;
        sum[f] += value;
        squares[f] += value * value;
        x[f][e] = value;
      }
    }
    for (ptrdiff_t f = 0; f < n; f++) {
      double mean = sum[f] / (double)examples;
      for (int64_t e = 0; e < examples; e++) x[f][e] -= mean;
    }
    add_products(x, n, examples, gram);
  }
  double differs = 0, flat = 0, of_squares = 0;
  for (ptrdiff_t f = 0; f < BLOCK; f++) flat += squares[f];
  if (!(flat > 0 && flat <= DBL_MAX)) return;
  for (int64_t i = 0; i < examples; i++) differs += gram[i * EXAMPLES + i];
  for (int64_t i = 0; i < examples; i++)
    for (int64_t j = i; j < examples; j++) {
      double share = gram[i * EXAMPLES + j] / differs;
      of_squares += (i == j ? 1 : 2) * (share * share);
    }
  found[0] = differs / flat;
  found[1] = 1 / of_squares;
}

// --- What is bounded -------------------------------------------------------------------------------------------------

// The memory is waited for, as in digest.c: what lies ahead is asked for, which is no access.
enum { AHEAD = 2048 };

#define COUNT(T)                                                                             \
  uint32_t count = 0;                                                                        \
  for (ptrdiff_t i = 0; i < n; i++) count += (uint32_t)((x[i] <= low) | (x[i] >= high));     \
  return count

static uint32_t count_float(const float *restrict x, ptrdiff_t n, float low, float high) { COUNT(float); }
static uint32_t count_double(const double *restrict x, ptrdiff_t n, double low, double high) { COUNT(double); }

// The nearest float32 that is not above a number, and not below it: bounds for those that float32 holds.
static float single_below(double value) {
  float single = (float)value;
  return (double)single > value ? nextafterf(single, -INFINITY) : single;
}

static float single_above(double value) {
  float single = (float)value;
  return (double)single < value ? nextafterf(single, INFINITY) : single;
}

static void bounded(const void *data, int64_t type, int64_t size, double low, double high, int64_t *found) {
  ptrdiff_t bytes = (ptrdiff_t)bytes_of(type);
  float single_low = single_below(low), single_high = single_above(high);
  float single[AT_ONCE];
  double wide[AT_ONCE];
  *found = 0;
  for (int64_t begin = 0; begin < size; begin += AT_ONCE) {
    ptrdiff_t n = size - begin < AT_ONCE ? size - begin : AT_ONCE;
    const char *source = (const char *)data + begin * bytes;
    for (ptrdiff_t at = 0; at < n * bytes; at += 64)
      __builtin_prefetch((const void *)((uintptr_t)source + (uintptr_t)at + AHEAD), 0, 2);
    if (is_single(type)) {
      load_float(source, type, n, single);
      *found += count_float(single, n, single_low, single_high);
    } else {
      load_double(source, type, n, wide);
      *found += count_double(wide, n, low, high);
    }
  }
}

// --- Scores of attention ---------------------------------------------------------------------------------------------

// What is found of each head, over queries: of one example, then of all.
enum { POSITIONS, LOOKS, EVENNESS, CHOICES, OF_HEAD };

// Of all heads' scores of one query, [heads, width] with zeros from `keys` on: adds to each head's sums.
// Returns how many keys are open, and which.
static int64_t of_query(const double *restrict p, int64_t heads, int64_t width, double *sums, int64_t *restrict open) {
  int64_t count = 0;
  for (int64_t k = 0; k < width; k++) open[k] = 0;
  for (int64_t h = 0; h < heads; h++)
    for (int64_t k = 0; k < width; k++) open[k] |= -(int64_t)(p[h * width + k] != 0);
  for (int64_t k = 0; k < width; k++) count -= open[k];  // all bits of those that are
  for (int64_t h = 0; h < heads; h++) {
    Lanes sum = zero, squares = zero;
    for (int64_t k = 0; k < width; k += LANES) {
      Lanes x = LANES_AT(p + h * width + k);
      sum += x;
      squares += x * x;
    }
    double total = SUM_OF(sum), square = SUM_OF(squares);
    if (!(square > 0)) continue;
    double at = total * total / square;
    sums[POSITIONS * heads + h] += at;
    sums[LOOKS * heads + h]++;
    if (count < 2) continue;
    sums[EVENNESS * heads + h] += at / (double)count;
    sums[CHOICES * heads + h]++;
  }
  return count;
}

// How far a query's scores are from even ones: adds the squares of the heads' mean deviation, and of each head's.
static void deviations(const double *p, int64_t heads, int64_t width, const int64_t *open, int64_t count,
                       double *common, double *own) {
  double even = 1 / (double)count;
  Lanes together = zero, each = zero;
  for (int64_t k = 0; k < width; k += LANES) {
    Lanes sum = zero;
    for (int64_t h = 0; h < heads; h++) {
      Lanes apart = LANES_AT(p + h * width + k) - even;
      apart = (Lanes)((Mask)apart & MASK_AT(open + k));
      sum += apart;
      each += apart * apart;
    }
    sum /= (double)heads;
    together += sum * sum;
  }
  *common += SUM_OF(together);
  *own += SUM_OF(each);
}

// Of the head that has the least; NaN if any has none.
static double least(const double *sums, const double *counts, int64_t heads) {
  double found = INFINITY;
  for (int64_t h = 0; h < heads; h++) {
    double mean = sums[h] / counts[h];
    if (isnan(mean) || mean < found) found = mean;
  }
  return found;
}

static void scores(const void *data, int64_t type, const int64_t *shape, double even, double *scratch, double *found) {
  int64_t outer = shape[0], stride = shape[1], inner = shape[2], heads = shape[3], queries = shape[4], keys = shape[5];
  int64_t width = (keys + LANES - 1) / LANES * LANES, size = (int64_t)bytes_of(type);
  double *p = scratch, *sums = p + heads * width, *whole = sums + OF_HEAD * heads;
  int64_t *open = (int64_t *)(void *)(whole + OF_HEAD * heads);
  double common = 0, own = 0;
  for (int64_t i = 0; i < heads * width; i++) p[i] = 0;
  for (int64_t i = 0; i < OF_HEAD * heads; i++) whole[i] = 0;
  for (int64_t e = 0; e < outer * inner; e++) {
    const char *example = (const char *)data + (e / inner * stride + e % inner * heads * queries * keys) * size;
    double common_of_example = 0, own_of_example = 0;
    for (int64_t i = 0; i < OF_HEAD * heads; i++) sums[i] = 0;
    for (int64_t q = 0; q < queries; q++) {
      for (int64_t h = 0; h < heads; h++)
        for (int64_t k = 0; k < keys; k += AT_ONCE)
          load_double(example + ((h * queries + q) * keys + k) * size, type, keys - k < AT_ONCE ? keys - k : AT_ONCE,
                      p + h * width + k);
      int64_t count = of_query(p, heads, width, sums, open);
      if (count > 1 && heads > 1) deviations(p, heads, width, open, count, &common_of_example, &own_of_example);
    }
    for (int64_t i = 0; i < OF_HEAD * heads; i++) whole[i] += sums[i];
    common += common_of_example;
    own += own_of_example;
  }
  found[0] = least(whole + POSITIONS * heads, whole + LOOKS * heads, heads);
  found[1] = least(whole + EVENNESS * heads, whole + CHOICES * heads, heads);
  double by_heads = (double)heads;
  found[2] = heads < 2 || found[1] > even ? NAN : (by_heads * common / (own / by_heads) - 1) / (by_heads - 1);
}

// --- What is exported ------------------------------------------------------------------------------------------------

typedef void (*ExamplesFunction)(const void *, int64_t, int64_t, int64_t, int64_t, int64_t, double *);
typedef void (*BoundedFunction)(const void *, int64_t, int64_t, double, double, int64_t *);
typedef void (*ScoresFunction)(const void *, int64_t, const int64_t *, double, double *, double *);

// `spread` and `rank`, NaN where there is none, of EXAMPLES at most and so many features of each.
//   example_stride, feature_stride: from one to the next, in elements.
PUBLIC void EXPORTED(tb_examples)(const void *data, int64_t type, int64_t examples, int64_t example_stride,
                                  int64_t features, int64_t feature_stride, double *found) {
  volatile ExamplesFunction inner = of_examples;
  Mode before = set_mode(STANDARD);
  inner(data, type, examples, example_stride, features, feature_stride, found);
  set_mode(before);
}

// How many elements are at `low` or below, or at `high` or above.
PUBLIC void EXPORTED(tb_bounded)(const void *data, int64_t type, int64_t size, double low, double high,
                                 int64_t *found) {
  volatile BoundedFunction inner = bounded;
  Mode before = set_mode(STANDARD);
  inner(data, type, size, low, high, found);
  set_mode(before);
}

// `positions`, `evenness` and `heads_alike`, NaN where there is none.
//   shape: [outer, stride, inner, heads, queries, keys]: `outer` times, each `stride` elements after the one before, are
//     `inner` examples one after the other, each [heads, queries, keys].
//   even: no likeness is told from this evenness on.
//   scratch: float64 [heads, width] and 8 of each head, and int64 [width], where width is the number of keys, rounded up
//     to a multiple of 4.
PUBLIC void EXPORTED(tb_scores)(const void *data, int64_t type, const int64_t *shape, double even, double *scratch,
                                double *found) {
  volatile ScoresFunction inner = scores;
  Mode before = set_mode(STANDARD);
  inner(data, type, shape, even, scratch, found);
  set_mode(before);
}
