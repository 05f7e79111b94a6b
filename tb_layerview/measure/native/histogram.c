// What is made of counted codes: quantiles, and the encoded histogram. All as format/histogram.py does it, to the last
// bit, which is where the formulas and the bytes are explained; so floating-point numbers are added in numpy's order.
//
// Like digest.c it holds no state, starts no thread, and allocates nothing. It is compiled once: nothing here is quicker
// with more of the processor's instructions.
#include <float.h>
#include <math.h>
#include <string.h>

#include "exported.h"

// As in format/histogram.py.
enum { CODES = 8192, CODE_SHIFT = 19, HALF = 4096, NON_FINITE = 4080, CELLS = 2 * NON_FINITE - 1, MAX_BYTES = 1000, HEADER = 12 };
enum { NEAR_AS_ONE = -1, FOUR_OCTAVES = -2, FINEST = 4, COARSENINGS = 8 };
static const int coarsenings[COARSENINGS][3] = {
    {4, 4, 4}, {4, 1, 1}, {4, 0, 0}, {4, -1, 0}, {3, -1, 0}, {2, -1, 0}, {0, -1, 0}, {-2, -2, -2}};
// Numbers that numpy adds one after the other; more of them it halves.
enum { IN_ONE = 128, SIDE_BY_SIDE = 8 };
// More than the coarsest histogram takes: a bin of each sign for each four octaves, of three numbers.
enum { LONGEST = 2048 };

// As in library.py, field by field.
typedef struct {
  int64_t cells;  // codes that some of its elements have
  double center;
  int64_t shift;
} Counted;

// The cells of a tensor that hold elements, ascending in value, and what is computed of them.
typedef struct {
  int64_t size, total;
  int32_t cell[CELLS];
  int64_t count[CELLS], end[CELLS];  // elements in it, and up to its end
  double middle[CELLS], term[CELLS];
  int32_t keep[CELLS], start[CELLS], stop[CELLS];
} Filled;

// --- Cells -----------------------------------------------------------------------------------------------------------

static inline void add(Filled *filled, int32_t cell, int64_t count) {
  filled->cell[filled->size] = cell;
  filled->count[filled->size] = count;
  filled->total += count;
  filled->end[filled->size++] = filled->total;
}

// Codes of negative elements ascend as their magnitudes do. Those of what is not finite are passed over.
static void fill(const Counted *counted, const uint16_t *codes, const int64_t *counts, Filled *filled) {
  int64_t n = counted->cells, positive = 0, finite = 0, negative = 0;
  filled->size = filled->total = 0;
  while (positive < n && codes[positive] < HALF) positive++;
  for (int64_t i = n - 1; i >= positive && codes[i] > HALF; i--)
    if (codes[i] < HALF + NON_FINITE) add(filled, HALF - codes[i], counts[i]);
  if (positive < n && codes[positive] == HALF) negative = counts[positive];
  int has_zero = positive && codes[0] == 0;
  int64_t zero = negative + (has_zero ? counts[0] : 0);
  if (zero) add(filled, 0, zero);
  while (finite < positive && codes[finite] < NON_FINITE) finite++;
  for (int64_t i = has_zero; i < finite; i++) add(filled, codes[i], counts[i]);
}

// The lower edge of a cell. The end of the last one has the code of infinity: there it is the largest finite float.
static double edge(int32_t cell) {
  uint32_t code = (uint32_t)(cell >= 1 ? cell : 1 - cell), bits = code << CODE_SHIFT;
  float single;
  memcpy(&single, &bits, 4);
  double magnitude = code < NON_FINITE ? single : FLT_MAX;
  return cell >= 1 ? magnitude : -magnitude;
}

// --- Quantiles -------------------------------------------------------------------------------------------------------

static double in_own_unit(const Counted *counted, double distance) {
  double value = counted->center + ldexp(distance, (int)counted->shift);
  return value < -DBL_MAX ? -DBL_MAX : value > DBL_MAX ? DBL_MAX : value;
}

// The k-th smallest element, as if those of a cell stood evenly within it.
static double element(const Counted *counted, const Filled *filled, int64_t k) {
  int64_t low = 0, high = filled->size - 1;  // the first whose end is beyond k
  while (low < high) {
    int64_t half = (low + high) / 2;
    if (filled->end[half] > k)
      high = half;
    else
      low = half + 1;
  }
  int32_t cell = filled->cell[low];
  int64_t count = filled->count[low];
  double within = ((double)(k - (filled->end[low] - count)) + 0.5) / (double)count;
  double lower = in_own_unit(counted, cell ? edge(cell) : 0), upper = in_own_unit(counted, cell ? edge(cell + 1) : 0);
  return (1 - within) * lower + within * upper;
}

static void quantiles(const Counted *counted, const uint16_t *codes, const int64_t *counts, int64_t tensors,
                      const double *q, int64_t fractions, void *scratch, double *found) {
  Filled *filled = scratch;
  for (int64_t i = 0, at = 0; i < tensors; at += counted[i++].cells) {
    fill(counted + i, codes + at, counts + at, filled);
    for (int64_t j = 0; j < fractions; j++, found++) {
      *found = NAN;
      if (!filled->total) continue;
      double position = q[j] * (double)(filled->total - 1);
      int64_t below = (int64_t)floor(position), above = below + 1 < filled->total ? below + 1 : filled->total - 1;
      double low = element(counted + i, filled, below), high = element(counted + i, filled, above);
      *found = low + (position - (double)below) * (high - low);
    }
  }
}

// --- The encoded histogram -------------------------------------------------------------------------------------------

// As numpy's add.reduce of eight or more: another order shows in the last bit alone, but that may decide for a cell.
static double sum(const double *of, int64_t n) {
  if (n > IN_ONE) {
    int64_t half = n / 2 - n / 2 % SIDE_BY_SIDE;
    return sum(of, half) + sum(of + half, n - half);
  }
  double r[SIDE_BY_SIDE];
  int64_t i = SIDE_BY_SIDE;
  memcpy(r, of, sizeof r);
  for (; i + SIDE_BY_SIDE <= n; i += SIDE_BY_SIDE)
    for (int j = 0; j < SIDE_BY_SIDE; j++) r[j] += of[i + j];
  double total = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
  for (; i < n; i++) total += of[i];
  return total;
}

// The middle of the first cell up to whose end there are so many elements.
static double middle_at(const Filled *filled, double elements) {
  int64_t low = 0, high = filled->size - 1;
  while (low < high) {
    int64_t half = (low + high) / 2;
    if ((double)filled->end[half] >= elements)
      high = half;
    else
      low = half + 1;
  }
  return filled->middle[low];
}

// How wide the distribution is, of cells that do not fit as they are: hundreds.
static double scale_of(Filled *filled) {
  double largest = 0, total = (double)filled->total;
  for (int64_t i = 0; i < filled->size; i++) {
    int32_t cell = filled->cell[i];
    double middle = cell ? (edge(cell) + edge(cell + 1)) / 2 : 0, magnitude = fabs(middle);
    filled->middle[i] = middle;
    largest = magnitude > largest ? magnitude : largest;
  }
  for (int64_t i = 0; i < filled->size; i++) {
    double ratio = filled->middle[i] / largest;
    filled->term[i] = (double)filled->count[i] * (ratio * ratio);
  }
  double rms = largest * sqrt(sum(filled->term, filled->size) / total);
  double low = middle_at(filled, 0.16 * total), high = middle_at(filled, 0.84 * total), half = (high - low) / 2;
  return high > low && half < rms ? half : rms;
}

static int sign_of(int32_t cell) { return (cell > 0) - (cell < 0); }

// Draws cells together: each one's bin before those that lie side by side are one.
static void draw_together(Filled *filled, double scale, const int bits[3]) {
  float near = (float)(scale / 32);
  uint32_t near_bits;
  memcpy(&near_bits, &near, 4);
  int32_t near_end = (int32_t)(near_bits >> CODE_SHIFT), after = -NON_FINITE;
  near_end = near_end < 2 ? 2 : near_end;
  double total = (double)filled->total;
  int64_t n = filled->size, run = 0;
  for (int64_t i = 0; i < n; i++) {
    int32_t cell = filled->cell[i], code = cell < 0 ? -cell : cell;
    double middle = (double)filled->end[i] - (double)filled->count[i] / 2;
    int is_in_tail = middle < 0.004 * total || middle > 0.996 * total;
    int keep = code < near_end ? bits[1] : is_in_tail ? bits[2] : bits[0];
    filled->keep[i] = keep;
    // A bin is an aligned run of cells: four octaves, 2**(4 - bits) cells, or all near ones on a side.
    int32_t width = keep == FOUR_OCTAVES ? 64 : 16 >> (keep > 0 ? keep : 0), aligned = code / width * width;
    int32_t first = keep == NEAR_AS_ONE ? 1 : aligned > 1 ? aligned : 1;
    int32_t last = keep == NEAR_AS_ONE ? near_end - 1 : (aligned + width < NON_FINITE ? aligned + width : NON_FINITE) - 1;
    int32_t start = cell > 0 ? first : cell < 0 ? -last : 0, stop = (cell > 0 ? last : cell < 0 ? -first : 0) + 1;
    // Where runs of different widths meet, none may reach over its neighbour's cells.
    if (i && (keep != filled->keep[i - 1] || sign_of(cell) != sign_of(filled->cell[i - 1]))) {
      for (; run < i; run++) filled->stop[run] = filled->stop[run] < cell ? filled->stop[run] : cell;
      after = filled->cell[i - 1] + 1;
    }
    filled->start[i] = start > after ? start : after;
    filled->stop[i] = stop < NON_FINITE ? stop : NON_FINITE;
  }
}

static uint8_t *varint(uint8_t *to, uint64_t number) {
  for (; number > 127; number >>= 7) *to++ = (uint8_t)(number | 128);
  *to++ = (uint8_t)number;
  return to;
}

// Encodes the bins, each of the cells up to the next one that begins where it has ended or later; stops where it is
// longer than `most`. Returns where it ends.
static uint8_t *bins(const Filled *filled, int is_finest, int64_t most, uint8_t *to, int64_t *number) {
  const uint8_t *limit = to + most;
  int32_t end = -NON_FINITE;
  *number = 0;
  for (int64_t i = 0, next; i < filled->size && to <= limit; i = next, ++*number) {
    int64_t count = filled->count[i];
    int32_t start = is_finest ? filled->cell[i] : filled->start[i];
    int32_t stop = is_finest ? start + 1 : filled->stop[i];
    for (next = i + 1; next < filled->size && !is_finest && filled->start[next] < filled->stop[next - 1]; next++)
      count += filled->count[next];
    int is_wide = stop - start > 1;
    to = varint(to, 2 * (uint64_t)(start - end) + (uint64_t)is_wide);
    if (is_wide) to = varint(to, (uint64_t)(stop - start));
    to = varint(to, (uint64_t)count);
    end = stop;
  }
  return to;
}

static int64_t encode(const Counted *counted, const uint16_t *codes, const int64_t *counts, Filled *filled,
                      uint8_t *to) {
  fill(counted, codes, counts, filled);
  double scale = 0;
  uint8_t *end = to + HEADER;
  int64_t number = 0;
  for (int i = 0; i < COARSENINGS; i++) {
    if (i == 1) scale = scale_of(filled);
    if (i) draw_together(filled, scale, coarsenings[i]);
    // The coarsest one is taken whatever it takes.
    end = bins(filled, i == 0, i + 1 < COARSENINGS ? MAX_BYTES - HEADER : LONGEST, to + HEADER, &number);
    if (end - to <= MAX_BYTES) break;
  }
  uint64_t center;
  memcpy(&center, &counted->center, 8);
  for (int i = 0; i < 8; i++) to[i] = (uint8_t)(center >> 8 * i);
  for (int i = 0; i < 2; i++) to[8 + i] = (uint8_t)((uint64_t)counted->shift >> 8 * i);
  for (int i = 0; i < 2; i++) to[10 + i] = (uint8_t)(number >> 8 * i);
  return end - to;
}

static void histograms(const Counted *counted, const uint16_t *codes, const int64_t *counts, int64_t tensors,
                       void *scratch, uint8_t *to, int64_t *lengths) {
  for (int64_t i = 0, at = 0; i < tensors; at += counted[i++].cells)
    lengths[i] = encode(counted + i, codes + at, counts + at, scratch, to + i * LONGEST);
}

// --- What is exported ------------------------------------------------------------------------------------------------

// How many bytes of a thread's own both need meanwhile.
PUBLIC int64_t tb_filled_size(void) { return sizeof(Filled); }

typedef void (*QuantilesFunction)(const Counted *, const uint16_t *, const int64_t *, int64_t, const double *, int64_t,
                                  void *, double *);
typedef void (*HistogramsFunction)(const Counted *, const uint16_t *, const int64_t *, int64_t, void *, uint8_t *,
                                   int64_t *);

// The codes that any element has, ascending, and how many have each, of int64 [CODES]; these are 0 then, and so are the
// `more` after them. Returns how many codes they are.
PUBLIC int64_t tb_cells(int64_t *code_counts, int64_t more, uint16_t *codes, int64_t *counts) {
  int64_t cells = 0;
  // Most codes are of no element, and most cells of a tensor of some octaves: eight at a time are passed over.
  for (int code = 0; code < CODES; code += 8) {
    int64_t *of = code_counts + code;
    if (!((of[0] | of[1]) | (of[2] | of[3]) | (of[4] | of[5]) | (of[6] | of[7]))) continue;
    for (int i = 0; i < 8; i++) {
      codes[cells] = (uint16_t)(code + i);
      counts[cells] = of[i];
      cells += of[i] != 0;
      of[i] = 0;
    }
  }
  memset(code_counts + CODES, 0, (size_t)more * sizeof *code_counts);
  return cells;
}

// float64 [tensors, fractions]: what `histogram.quantiles_of` gives. The codes and counts of all tensors' cells lie one
// after another.
PUBLIC void tb_quantiles(const Counted *counted, const uint16_t *codes, const int64_t *counts, int64_t tensors,
                         const double *q, int64_t fractions, void *scratch, double *found) {
  volatile QuantilesFunction inner = quantiles;
  Mode before = set_mode(STANDARD);
  inner(counted, codes, counts, tensors, q, fractions, scratch, found);
  set_mode(before);
}

// What `histogram.encode` gives: to uint8 [tensors, LONGEST], of each so many bytes as `lengths` says then.
PUBLIC void tb_histograms(const Counted *counted, const uint16_t *codes, const int64_t *counts, int64_t tensors,
                          void *scratch, uint8_t *to, int64_t *lengths) {
  volatile HistogramsFunction inner = histograms;
  Mode before = set_mode(STANDARD);
  inner(counted, codes, counts, tensors, scratch, to, lengths);
  set_mode(before);
}
