// A piece of an array, for elements that are computed with as T: included once for float and once for double.

typedef struct {
  double sum[PIECE_COLUMNS], squares[PIECE_COLUMNS];
  T low[PIECE_COLUMNS], high[PIECE_COLUMNS];
  uint32_t zero[PIECE_COLUMNS], bad[PIECE_COLUMNS];
} OF(Columns);

static inline T OF(smaller)(T a, T b) { return a < b ? a : b; }
static inline T OF(larger)(T a, T b) { return a > b ? a : b; }

// Sums and ends of the columns of eight rows.
static void OF(eight_rows)(const T *restrict x, ptrdiff_t stride, ptrdiff_t n, double *restrict sum,
                           double *restrict squares, T *restrict low, T *restrict high) {
  const T *restrict r1 = x + stride, *restrict r2 = r1 + stride, *restrict r3 = r2 + stride;
  const T *restrict r4 = r3 + stride, *restrict r5 = r4 + stride, *restrict r6 = r5 + stride;
  const T *restrict r7 = r6 + stride;
  for (ptrdiff_t c = 0; c < n; c++) {
    double a = x[c], b = r1[c], d = r2[c], e = r3[c], f = r4[c], g = r5[c], h = r6[c], i = r7[c];
    sum[c] += ((a + b) + (d + e)) + ((f + g) + (h + i));
    squares[c] += ((a * a + b * b) + (d * d + e * e)) + ((f * f + g * g) + (h * h + i * i));
  }
  for (ptrdiff_t c = 0; c < n; c++) {
    T small = OF(smaller)(OF(smaller)(OF(smaller)(x[c], r1[c]), OF(smaller)(r2[c], r3[c])),
                          OF(smaller)(OF(smaller)(r4[c], r5[c]), OF(smaller)(r6[c], r7[c])));
    T large = OF(larger)(OF(larger)(OF(larger)(x[c], r1[c]), OF(larger)(r2[c], r3[c])),
                         OF(larger)(OF(larger)(r4[c], r5[c]), OF(larger)(r6[c], r7[c])));
    low[c] = OF(smaller)(small, low[c]);
    high[c] = OF(larger)(large, high[c]);
  }
}

static void OF(one_row)(const T *restrict x, ptrdiff_t n, double *restrict sum, double *restrict squares,
                        T *restrict low, T *restrict high) {
  for (ptrdiff_t c = 0; c < n; c++) {
    double a = x[c];
    sum[c] += a;
    squares[c] += a * a;
    low[c] = OF(smaller)(x[c], low[c]);
    high[c] = OF(larger)(x[c], high[c]);
  }
}

static void OF(rows)(const T *x, ptrdiff_t stride, int rows, ptrdiff_t n, OF(Columns) * found, ptrdiff_t at) {
  if (rows == TILE_ROWS)
    OF(eight_rows)(x, stride, n, found->sum + at, found->squares + at, found->low + at, found->high + at);
  else
    for (int r = 0; r < rows; r++)
      OF(one_row)(x + r * stride, n, found->sum + at, found->squares + at, found->low + at, found->high + at);
}

// Zeros by their bits; returns how many of them are negative.
static int64_t OF(zeros)(const T *x, ptrdiff_t stride, int rows, ptrdiff_t n, uint32_t *restrict zero) {
  uint32_t negative = 0;
  for (int r = 0; r < rows; r++) {
    const T *restrict row = x + r * stride;
    for (ptrdiff_t c = 0; c < n; c++) {
      BITS bits;
      memcpy(&bits, row + c, sizeof bits);
      zero[c] += (BITS)(bits << 1) == 0;
      negative += bits == SIGN_BIT;
    }
  }
  return negative;
}

// A tile in which something may not be finite: the same sums in the same order as if that were zero, and it is counted.
static void OF(careful_rows)(const T *x, ptrdiff_t stride, int rows, ptrdiff_t n, OF(Columns) * found, ptrdiff_t at,
                             int64_t *counts) {
  T clean[TILE_ROWS * TILE_COLUMNS], low[TILE_COLUMNS], high[TILE_COLUMNS];
  for (ptrdiff_t c = 0; c < n; c++) {
    low[c] = found->low[at + c];
    high[c] = found->high[at + c];
  }
  for (int r = 0; r < rows; r++)
    for (ptrdiff_t c = 0; c < n; c++) {
      T value = x[r * stride + c];
      BITS bits;
      memcpy(&bits, &value, sizeof bits);
      BITS magnitude = bits & (BITS)~SIGN_BIT;
      if (magnitude >= INFINITE) {
        found->bad[at + c]++;
        counts[CODES + (magnitude > INFINITE ? NAN_ : bits == magnitude ? POS_INF : NEG_INF)]++;
        counts[CODES + SIGNED_BAD] += bits != magnitude;
        value = 0;
      } else {
        low[c] = OF(smaller)(value, low[c]);
        high[c] = OF(larger)(value, high[c]);
      }
      clean[r * n + c] = value;
    }
  OF(rows)(clean, n, rows, n, found, at);
  memcpy(found->low + at, low, (size_t)n * sizeof *low);
  memcpy(found->high + at, high, (size_t)n * sizeof *high);
}

// A tile of the piece: from `offset` elements on, each row `width` further.
static void OF(tile)(const Look *job, int64_t offset, int64_t width, int rows, ptrdiff_t n, OF(Columns) * found,
                     ptrdiff_t at, uint32_t *even, uint32_t *odd, int64_t *counts) {
  T loaded[TILE_ROWS * TILE_COLUMNS];
  size_t size = bytes_of(job->type);
  const char *source = (const char *)job->data + (size_t)offset * size;
  size_t row_bytes = (size_t)width * size;
  const T *x = loaded;
  ptrdiff_t stride = n;
#ifdef IS_DOUBLE
  int is_there = job->type == FLOAT64 && !job->looks && (uintptr_t)source % sizeof(T) == 0;
#else
  int is_there = job->type == FLOAT32 && (uintptr_t)source % sizeof(T) == 0;
#endif
  if (is_there) {
    x = (const T *)(const void *)source;
    stride = (ptrdiff_t)width;
  } else {
    for (int r = 0; r < rows; r++)
#ifdef IS_DOUBLE
      load_double(source + (size_t)r * row_bytes, job->type, n, loaded + r * n);
#else
      load_float(source + (size_t)r * row_bytes, job->type, n, loaded + r * n);
#endif
  }
  uint32_t tiny = counted_tiny(even, odd), bad = counted_bad(even, odd);
#ifdef IS_DOUBLE
  if (job->looks) {
    // A power of two may be beyond float64's range; half of its exponent is not.
    int half = -(int)job->shift / 2;
    double center = job->center, once = ldexp(1, half), twice = ldexp(1, -(int)job->shift - half);
    for (ptrdiff_t i = 0; i < rows * n; i++) loaded[i] = (loaded[i] - center) * once * twice;
  }
  for (int r = 0; r < rows; r++) {
    float single[TILE_COLUMNS];
    for (ptrdiff_t c = 0; c < n; c++) single[c] = (float)x[r * stride + c];
    count_codes(single, n, 0, even, odd);
  }
#else
  // Where a tile has only some of the columns, its next rows lie far away.
  uintptr_t ahead = stride == n ? 2048 : (uintptr_t)stride * TILE_ROWS * sizeof(T);
  for (int r = 0; r < rows; r++) count_codes(x + r * stride, n, ahead, even, odd);
#endif
  if (counted_bad(even, odd) != bad)
    OF(careful_rows)(x, stride, rows, n, found, at, counts);
  else
    OF(rows)(x, stride, rows, n, found, at);
  if (counted_tiny(even, odd) != tiny) counts[CODES + NEG_ZERO] += OF(zeros)(x, stride, rows, n, found->zero + at);
}

// The same of one unit's many columns beside each other: each addition would wait for the one before, if they were not
// taken LANES at a time.
static void OF(fold_lanes)(const OF(Columns) * found, int64_t first, int64_t end, int64_t all_units, double *slots) {
  double sum[LANES] = {0}, squares[LANES] = {0};
  T low[LANES], high[LANES];
  uint32_t zero[LANES] = {0}, bad[LANES] = {0};
  for (int i = 0; i < LANES; i++) {
    low[i] = found->low[first];
    high[i] = found->high[first];
  }
  int64_t c = first;
  for (; c + LANES <= end; c += LANES)
    for (int i = 0; i < LANES; i++) {
      sum[i] += found->sum[c + i];
      squares[i] += found->squares[c + i];
      low[i] = OF(smaller)(found->low[c + i], low[i]);
      high[i] = OF(larger)(found->high[c + i], high[i]);
      zero[i] += found->zero[c + i];
      bad[i] += found->bad[c + i];
    }
  for (int i = 0; c < end; c++, i++) {
    sum[i] += found->sum[c];
    squares[i] += found->squares[c];
    low[i] = OF(smaller)(found->low[c], low[i]);
    high[i] = OF(larger)(found->high[c], high[i]);
    zero[i] += found->zero[c];
    bad[i] += found->bad[c];
  }
  double all_zero = zero[0], all_bad = bad[0];
  for (int i = 1; i < LANES; i++) {
    sum[0] += sum[i];
    squares[0] += squares[i];
    low[0] = OF(smaller)(low[i], low[0]);
    high[0] = OF(larger)(high[i], high[0]);
    all_zero += zero[i];
    all_bad += bad[i];
  }
  slots[SUM * all_units] = sum[0];
  slots[SQUARES * all_units] = squares[0];
  slots[LOW * all_units] = low[0];
  slots[HIGH * all_units] = high[0];
  slots[ZERO * all_units] = all_zero;
  slots[BAD * all_units] = all_bad;
}

// Adds what was found of columns to that of their units: of each so many, `stride` apart, and a unit's first one `step`
// after that of the one before it; slots: those of the first of them.
static void OF(fold)(const OF(Columns) * found, int64_t units, int64_t step, int64_t of_each, int64_t stride,
                     int64_t all_units, double *slots) {
  for (int64_t u = 0; u < units; u++) {
    int64_t first = u * step, end = first + of_each * stride;
    if (stride == 1 && of_each >= 2 * LANES) {
      OF(fold_lanes)(found, first, end, all_units, slots + u);
      continue;
    }
    double sum = found->sum[first], squares = found->squares[first], low = found->low[first], high = found->high[first];
    double zero = found->zero[first], bad = found->bad[first];
    for (int64_t c = first + stride; c < end; c += stride) {
      sum += found->sum[c];
      squares += found->squares[c];
      low = found->low[c] < low ? found->low[c] : low;
      high = found->high[c] > high ? found->high[c] : high;
      zero += found->zero[c];
      bad += found->bad[c];
    }
    slots[SUM * all_units + u] = sum;
    slots[SQUARES * all_units + u] = squares;
    slots[LOW * all_units + u] = low;
    slots[HIGH * all_units + u] = high;
    slots[ZERO * all_units + u] = zero;
    slots[BAD * all_units + u] = bad;
  }
}

static void OF(clear)(OF(Columns) * found, int64_t columns) {
  for (int64_t c = 0; c < columns; c++) {
    found->sum[c] = found->squares[c] = 0;
    found->low[c] = (T)INFINITY;
    found->high[c] = -(T)INFINITY;
    found->zero[c] = found->bad[c] = 0;
  }
}

// A piece of one row in which each unit has many columns, as of PyTorch's linear layers: those of one unit are taken as
// a tile of several rows, as a tile of one row is what takes longest.
static void OF(long_units)(const Look *job, int64_t left, int64_t columns, OF(Columns) * found, double *slots,
                           uint32_t *even, uint32_t *odd, int64_t *counts) {
  int64_t span = job->parts > 1 ? columns : job->span, n = span / TILE_ROWS, rest = span % TILE_ROWS;
  for (int64_t u = 0; u < columns / span; u++) {
    OF(clear)(found, n > rest ? n : rest);
    int64_t offset = left + u * span;
    if (n) OF(tile)(job, offset, n, TILE_ROWS, n, found, 0, even, odd, counts);
    if (rest) OF(tile)(job, offset + n * TILE_ROWS, rest, 1, rest, found, 0, even, odd, counts);
    OF(fold)(found, 1, 0, n > rest ? n : rest, 1, job->units, slots + u);
  }
}

static void OF(piece)(const Look *job, int64_t piece, double *slots, void *scratch, uint32_t *even, uint32_t *odd,
                      int64_t *counts) {
  OF(Columns) *found = scratch;
  int64_t row_piece = piece / job->column_pieces, column_piece = piece % job->column_pieces;
  int64_t part = column_piece % job->parts, whole = job->parts > 1 ? job->span : job->piece_columns;
  int64_t left = column_piece / job->parts * whole + part * job->piece_columns;
  int64_t end = (column_piece / job->parts + 1) * whole, columns = (end < job->width ? end : job->width) - left;
  if (columns > job->piece_columns) columns = job->piece_columns;
  int64_t top = row_piece * job->piece_rows, bottom = top + job->piece_rows;
  if (bottom > job->rows) bottom = job->rows;
  if (job->rows == 1 && job->span >= LONG_SPAN) {
    slots += part * SLOTS * job->units + left / job->span;
    OF(long_units)(job, left, columns, found, slots, even, odd, counts);
    return;
  }
  OF(clear)(found, columns);
  for (int64_t row = top; row < bottom; row += TILE_ROWS) {
    int rows = bottom - row < TILE_ROWS ? (int)(bottom - row) : TILE_ROWS;
    for (int64_t c = 0; c < columns; c += TILE_COLUMNS) {
      int64_t n = columns - c < TILE_COLUMNS ? columns - c : TILE_COLUMNS;
      OF(tile)(job, row * job->width + left + c, job->width, rows, n, found, c, even, odd, counts);
    }
  }
  // What is left of a row lies behind the last one; there is none where columns are cut.
  if (bottom == job->rows)
    for (int64_t c = 0; c < job->rest; c += TILE_COLUMNS) {
      int64_t n = job->rest - c < TILE_COLUMNS ? job->rest - c : TILE_COLUMNS;
      OF(tile)(job, job->rows * job->width + c, job->width, 1, n, found, c, even, odd, counts);
    }
  slots += (row_piece * job->parts + part) * SLOTS * job->units;
  if (job->span > 1) {
    int64_t span = job->parts > 1 ? columns : job->span;
    OF(fold)(found, columns / span, span, span, 1, job->units, slots + left / job->span);
  } else if (job->width != job->units)
    OF(fold)(found, job->units, 1, columns / job->units, job->units, job->units, slots);
  else
    OF(fold)(found, columns, 1, 1, 1, job->units, slots + left);
}
