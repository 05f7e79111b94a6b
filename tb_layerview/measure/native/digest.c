// One look at an array in memory: all that a measurement holds, in one pass over blocks that stay in the L1 cache.
//
// This file is compiled once for each level of the processor (`build_native.py`), with SUFFIX at the end of its names,
// and gives the same bits at each of them: which numbers are added in which order is fixed here, by the array's shape
// alone, and the compiler may neither contract nor reorder (no -ffast-math, -ffp-contract=off). It holds no state, starts
// no thread, and allocates nothing.
//
// An array is taken as a matrix [rows, width] of columns, with `rest` elements of one more row at its end. Where there
// are few units, a row is several rows of the array, and width a multiple of units. Where a unit's elements lie beside
// each other, as the channels of PyTorch's convolutions do, so many columns are its as `span` says. It is cut into pieces
// of rows and of columns, piece after piece in any order and on any thread; each leaves its sums in a place of its own,
// and `combine` adds those in order. How many elements have a code is a whole number, and needs no order.
#include <math.h>

#include "elements.h"
#include "exported.h"

// As in format/histogram.py.
enum { CODES = 8192, CODE_SHIFT = 19, HALF = CODES / 2, NON_FINITE = 4080, CENTER_RATIO = 4 };
// What is counted beside the codes; SIGNED_BAD are those not finite whose sign is set.
enum { NAN_, POS_INF, NEG_INF, SIGNED_BAD, NEG_ZERO, COUNTS = CODES + 8 };
// What is found of each unit.
enum { SUM, SQUARES, LOW, HIGH, ZERO, BAD, SLOTS };
// A tile has at most so many rows and columns, a piece at most so many columns.
enum { TILE_ROWS = 8, TILE_COLUMNS = AT_ONCE, PIECE_COLUMNS = 1024 };
// So many columns of one unit are added up side by side.
enum { LANES = 8 };
// Units of so many columns are taken one at a time, where there is one row: see `long_units`.
enum { LONG_SPAN = 128 };
// So many codes are passed over at a time, where no element has them.
enum { AT_A_TIME = 16 };

// As in library.py, field by field.
typedef struct {
  const void *data;
  int64_t type, size;
  int64_t rows, width, rest, units, piece_rows, row_pieces, column_pieces;
  // Columns beside each other that are one unit's; of a piece, at most, whole units if it can have any; and into how many
  // pieces' columns a unit is cut. There is no rest where units have more than one column.
  int64_t span, piece_columns, parts;
  // What is subtracted before counting, and by which power of two is divided; how many looks there were before.
  double center;
  int64_t shift, looks;
  // Found.
  int64_t nan, pos_inf, neg_inf, zero, negative;
  double low, high, mean, std, rms;
} Look;

// --- Codes -----------------------------------------------------------------------------------------------------------

// In two tables by turns: to add to a number that was just written takes its time. Counting is what the memory waits for,
// and the processor does not ask for enough of it by itself: what lies `ahead` bytes further is asked for here, which made
// counting 10 million three times as fast. Asking beyond the end is no access.
static void count_codes(const void *source, ptrdiff_t n, uintptr_t ahead, uint32_t *restrict even,
                        uint32_t *restrict odd) {
  const char *x = source;
  ptrdiff_t i = 0;
  for (; i + 16 <= n; i += 16) {
    __builtin_prefetch((const void *)((uintptr_t)x + (uintptr_t)i * 4 + ahead), 0, 2);
    for (ptrdiff_t j = i; j < i + 16; j += 4) {
      uint32_t bits[4];
      memcpy(bits, x + j * 4, 16);
      even[bits[0] >> CODE_SHIFT]++;
      odd[bits[1] >> CODE_SHIFT]++;
      even[bits[2] >> CODE_SHIFT]++;
      odd[bits[3] >> CODE_SHIFT]++;
    }
  }
  for (; i < n; i++) {
    uint32_t bits;
    memcpy(&bits, x + i * 4, 4);
    even[bits >> CODE_SHIFT]++;
  }
}

// How many were counted whose code says that they may be zero, or not finite. Subnormals share zero's.
static uint32_t counted_tiny(const uint32_t *even, const uint32_t *odd) {
  return even[0] + odd[0] + even[HALF] + odd[HALF];
}

static uint32_t counted_bad(const uint32_t *even, const uint32_t *odd) {
  uint32_t found = 0;
  for (int i = NON_FINITE; i < HALF; i++) found += even[i] + odd[i] + even[i + HALF] + odd[i + HALF];
  return found;
}

// Adds what the tables have to the counts, and leaves them empty. Most codes are of no element.
static void flush(uint32_t *restrict even, uint32_t *restrict odd, int64_t *restrict counts) {
  for (int i = 0; i < CODES; i += AT_A_TIME) {
    uint32_t any = 0;
    for (int j = 0; j < AT_A_TIME; j++) any |= even[i + j] | odd[i + j];
    if (!any) continue;
    for (int j = 0; j < AT_A_TIME; j++) counts[i + j] += (int64_t)even[i + j] + odd[i + j];
    memset(even + i, 0, AT_A_TIME * sizeof *even);
    memset(odd + i, 0, AT_A_TIME * sizeof *odd);
  }
}

// --- Pieces ----------------------------------------------------------------------------------------------------------

#define T float
#define BITS uint32_t
#define SIGN_BIT 0x80000000u
#define INFINITE 0x7f800000u
#define OF(name) name##_float
#include "piece.h"
#undef T
#undef BITS
#undef SIGN_BIT
#undef INFINITE
#undef OF

#define IS_DOUBLE
#define T double
#define BITS uint64_t
#define SIGN_BIT 0x8000000000000000u
#define INFINITE 0x7ff0000000000000u
#define OF(name) name##_double
#include "piece.h"

static void look(const Look *job, int64_t first, int64_t last, double *slots, void *scratch, int64_t *counts) {
  uint32_t *even = scratch, *odd = even + CODES;
  void *columns = odd + CODES;
  int64_t counted = 0, most = job->piece_rows * PIECE_COLUMNS + job->rest;
  for (int64_t piece = first; piece < last; piece++) {
    if (counted + most > INT64_C(1) << 31) {
      flush(even, odd, counts);
      counted = 0;
    }
    counted += most;
    if (is_single(job->type) && !job->looks)
      piece_float(job, piece, slots, columns, even, odd, counts);
    else
      piece_double(job, piece, slots, columns, even, odd, counts);
  }
  flush(even, odd, counts);
}

// --- What all pieces say together ------------------------------------------------------------------------------------

// As numpy's frexp: of the larger magnitude.
static int exponent_of(double one, double other) {
  int exponent = 0;
  frexp(fabs(one) > fabs(other) ? fabs(one) : fabs(other), &exponent);
  return exponent;
}

static double clamp(double value, double low, double high) {
  value = value < low ? low : value;
  return value > high ? high : value;
}

// Adds up what pieces found of each unit, into the place of the first one, and all units', into `whole`.
static void add_up(const Look *job, double *slots, double *whole) {
  int64_t units = job->units;
  for (int64_t piece = 1; piece < job->row_pieces * job->parts; piece++) {
    const double *other = slots + piece * SLOTS * units;
    for (int slot = 0; slot < SLOTS; slot++)
      for (int64_t u = 0; u < units; u++) {
        double a = slots[slot * units + u], b = other[slot * units + u];
        slots[slot * units + u] = slot == LOW ? (b < a ? b : a) : slot == HIGH ? (b > a ? b : a) : a + b;
      }
  }
  for (int slot = 0; slot < SLOTS; slot++) {
    double total = slot == LOW ? INFINITY : slot == HIGH ? -INFINITY : 0;
    for (int64_t begin = 0; begin < units; begin += TILE_COLUMNS) {
      int64_t end = begin + TILE_COLUMNS < units ? begin + TILE_COLUMNS : units;
      double part = slots[slot * units + begin];
      for (int64_t u = begin + 1; u < end; u++) {
        double a = slots[slot * units + u];
        part = slot == LOW ? (a < part ? a : part) : slot == HIGH ? (a > part ? a : part) : part + a;
      }
      total = slot == LOW ? (part < total ? part : total) : slot == HIGH ? (part > total ? part : total) : total + part;
    }
    whole[slot] = total;
  }
}

// mean, rms, share of zeros and largest magnitude, each [units]; the last as float32 where the elements are.
static void per_unit(const Look *job, const double *slots, double *found) {
  int64_t units = job->units, rows = job->size / units;
  char *peaks = (char *)(found + 3 * units);
  for (int64_t u = 0; u < units; u++) {
    double count = (double)rows - slots[BAD * units + u];
    double low = fabs(slots[LOW * units + u]), high = fabs(slots[HIGH * units + u]);
    found[u] = slots[SUM * units + u] / count;
    found[units + u] = sqrt(slots[SQUARES * units + u] / count);
    found[2 * units + u] = slots[ZERO * units + u] / count;
    double peak = count > 0 ? (low > high ? low : high) : NAN;
    float single = (float)peak;
    if (is_single(job->type))
      memcpy(peaks + u * 4, &single, 4);
    else
      memcpy(peaks + u * 8, &peak, 8);
  }
}

static double moment(double squares, double count) { return sqrt(squares > 0 ? squares / count : 0); }

// Returns whether another look is wanted, with the centre and shift that are in `job` now.
static int combine(Look *job, double *slots, int64_t *counts, double *units) {
  double whole[SLOTS];
  add_up(job, slots, whole);
  if (!job->looks) {
    job->nan = counts[CODES + NAN_];
    job->pos_inf = counts[CODES + POS_INF];
    job->neg_inf = counts[CODES + NEG_INF];
    job->zero = (int64_t)whole[ZERO];
    job->negative = -counts[CODES + SIGNED_BAD] - counts[CODES + NEG_ZERO];
    for (int i = HALF; i < CODES; i++) job->negative += counts[i];
    if (units) per_unit(job, slots, units);
  }
  memset(counts + NON_FINITE, 0, (HALF - NON_FINITE) * sizeof *counts);
  memset(counts + HALF + NON_FINITE, 0, (HALF - NON_FINITE) * sizeof *counts);

  double finite = (double)(job->size - job->nan - job->pos_inf - job->neg_inf);
  if (finite == 0) {
    job->low = job->high = job->mean = job->std = job->rms = NAN;
    return 0;
  }
  int single = is_single(job->type), is_first = !job->looks;
  if (is_first) {
    job->low = whole[LOW];
    job->high = whole[HIGH];
  }
  int exponent = single ? 0 : exponent_of(job->low, job->high);
  int is_out_of_range = exponent > 400 || exponent < -400;
  if (is_first && is_out_of_range) {
    // The squares of float64's largest and smallest numbers are none: once more, divided by a power of two.
    job->shift = exponent;
    job->looks = 1;
    return 1;
  }
  double offset = whole[SUM] / finite, squares = whole[SQUARES] / finite;
  if (job->center != 0) {
    // The distances' own moments, which do not cancel.
    job->std = job->low == job->high ? 0 : ldexp(moment(whole[SQUARES] - offset * whole[SUM], finite), (int)job->shift);
    return 0;
  }
  if (is_first || (job->looks == 1 && is_out_of_range)) {
    // Rounding may put the mean of equal values beside them.
    job->mean = clamp(ldexp(offset, (int)job->shift), job->low, job->high);
    job->rms = ldexp(sqrt(squares), (int)job->shift);
    job->std = job->low == job->high ? 0 : ldexp(moment(whole[SQUARES] - offset * whole[SUM], finite), (int)job->shift);
  }
  if (job->looks > 1 || (job->looks == 1 && !is_out_of_range)) return 0;

  double center = 0;
  if (job->std < fabs(job->mean) / CENTER_RATIO) center = single ? (double)(float)job->mean : job->mean;
  int64_t shift = single ? 0 : exponent_of(job->low - center, job->high - center);
  if (shift <= 64 && shift >= -64) shift = 0;
  int is_wanted = center != job->center || shift != job->shift;
  job->center = center;
  job->shift = shift;
  job->looks++;
  return is_wanted;
}

// --- What is exported ------------------------------------------------------------------------------------------------

// Through pointers that the compiler has to read: no arithmetic moves out from between the two changes of mode.
typedef void (*LookFunction)(const Look *, int64_t, int64_t, double *, void *, int64_t *);
typedef int (*CombineFunction)(Look *, double *, int64_t *, double *);

// Looks at pieces `first` to `last` - 1, by rows first.
//   slots: float64 [row_pieces * parts, SLOTS, units].
//   scratch: of the calling thread alone: two tables of codes, all 0 before and after, and what is found of a piece's
//     columns.
//   counts: int64 [COUNTS], of the calling thread alone: what is found is added.
PUBLIC void EXPORTED(tb_look)(const Look *job, int64_t first, int64_t last, double *slots, void *scratch, int64_t *counts) {
  volatile LookFunction inner = look;
  Mode before = set_mode(STANDARD);
  inner(job, first, last, slots, scratch, counts);
  set_mode(before);
}

// Draws the conclusions of one look; returns whether another one is wanted, at all pieces, with counts of 0.
//   counts: int64 [COUNTS]: of all threads; the code counts are left as they are to be kept.
//   units: float64 [4, units], or NULL.
PUBLIC int EXPORTED(tb_combine)(Look *job, double *slots, int64_t *counts, double *units) {
  volatile CombineFunction inner = combine;
  Mode before = set_mode(STANDARD);
  int is_wanted = inner(job, slots, counts, units);
  set_mode(before);
  return is_wanted;
}
