// What is made of statistics per unit: how many are silent and how many alike, and the array blocks that are stored.
// All as measure/summary.py, measure/extra.py and format/units.py do it, where the formulas and the bytes are explained.
//
// Elements of blocks have numpy's bits; what deflates them is written here, and any inflater reads it: zlib takes four
// times as long for blocks of a few hundred bytes.
//
// Like digest.c it holds no state, starts no thread, and allocates nothing. It is compiled once.
#include <float.h>
#include <math.h>
#include <string.h>

#include "exported.h"

// In this order, as in format/units.py.
enum { MEAN, RMS, ZERO, PEAK, STATISTICS };

// --- Silent and alike ------------------------------------------------------------------------------------------------

// As in measure/extra.py.
static const double alike_from = 1e-4, one_size = 0.01;
// As `WIDE` in format/arrays.py: the root of float32's largest number, as a float32.
static const double wide = 0x1.fffffep63;

// To the nearest whole number, of two as near to the even one. An infinity becomes the smallest one, as in numpy on x86.
static uint64_t rounded(double feature) {
  double value = feature / alike_from;
  if (fabs(value) < 0x1p51) {  // beside 1.5 * 2**52 a float64's last bit is 1
    double sum = value + 0x1.8p52;
    uint64_t bits;
    memcpy(&bits, &sum, 8);
    return bits - UINT64_C(0x4338000000000000);
  }
  return (uint64_t)INT64_MIN;
}

static uint64_t without_logarithms(const double *const of[STATISTICS], int64_t i) {
  return rounded(of[MEAN][i] / of[RMS][i]) * UINT64_C(0x9E3779B97F4A7C1) +
         rounded(of[ZERO][i]) * UINT64_C(0x14D049BB133111F);
}

static uint64_t with_logarithms(const double *const of[STATISTICS], int64_t i) {
  return without_logarithms(of, i) + rounded(log(of[RMS][i])) +
         rounded(log(of[PEAK][i] / of[RMS][i])) * UINT64_C(0x3F58476D1CE4E5B);
}

// A set of numbers. A place of 0 is empty; 0 itself has the last one.
typedef struct {
  uint64_t *place;
  int bits;
} Set;

// Where a number stands, and whether it was there before.
static uint64_t enter(Set set, uint64_t number, int *was_there) {
  uint64_t last = UINT64_C(1) << set.bits, at = number * UINT64_C(0x9E3779B97F4A7C15) >> (64 - set.bits);
  if (number)
    while (set.place[at] && set.place[at] != number) at = (at + 1) & (last - 1);
  else
    at = last;
  *was_there = set.place[at] != 0;
  set.place[at] = number ? number : 1;
  return at;
}

// Of the units whose statistics are compared, how many have the number of another one before them. Logarithms take most
// of the time, and units that are not alike differ without them.
static int64_t count_alike(const double *const of[STATISTICS], int64_t units, uint64_t *scratch) {
  int bits = 1, was_there;
  while (INT64_C(1) << bits < 2 * units) bits++;
  int64_t places = (INT64_C(1) << bits) + 1, found = 0;
  Set nearly = {scratch, bits}, wholly = {scratch + places, bits};
  uint64_t *first = scratch + 2 * places;  // which unit has entered what is in a place of `nearly`; `units`: it is in both
  memset(scratch, 0, 2 * (size_t)places * sizeof *scratch);
  for (int64_t i = 0; i < units; i++) {
    double mean = of[MEAN][i], rms = of[RMS][i], peak = of[PEAK][i];
    if (!(rms - fabs(mean) > alike_from * rms)) continue;
    if (!(rms < (1 - one_size) * peak && fabs(fabs(mean) * peak / (rms * rms) - 1) > one_size)) continue;
    uint64_t place = enter(nearly, without_logarithms(of, i), &was_there);
    if (!was_there) {
      first[place] = (uint64_t)i;
      continue;
    }
    if (first[place] < (uint64_t)units) {
      enter(wholly, with_logarithms(of, (int64_t)first[place]), &was_there);
      first[place] = (uint64_t)units;
    }
    enter(wholly, with_logarithms(of, i), &was_there);
    found += was_there;
  }
  return found;
}

static void silent_and_alike(const double *columns, int64_t all, const int64_t *units, int64_t tensors, void *scratch,
                      int64_t *silent, int64_t *alike) {
  for (int64_t i = 0, at = 0; i < tensors; at += units[i++]) {
    const double *of[STATISTICS];
    for (int j = 0; j < STATISTICS; j++) of[j] = columns + j * all + at;
    silent[i] = 0;
    for (int64_t u = 0; u < units[i]; u++) silent[i] += of[PEAK][u] == 0;
    alike[i] = count_alike(of, units[i], scratch);
  }
}

// --- Elements --------------------------------------------------------------------------------------------------------

// To the nearest, of two as near to the even one; of what is below 2**15, or not finite.
static uint16_t half_of(double value) {
  uint64_t bits;
  memcpy(&bits, &value, 8);
  uint32_t sign = (uint32_t)(bits >> 48 & 0x8000);
  bits &= ~UINT64_C(0) >> 1;
  if (bits >= UINT64_C(0x7ff0000000000000))
    return (uint16_t)(sign | (bits == UINT64_C(0x7ff0000000000000) ? 0x7c00 : 0x7e00));
  if (bits < UINT64_C(0x3f10000000000000)) {  // below 2**-14 a step is 2**-24: adding 2**28 leaves whole steps
    double magnitude;
    memcpy(&magnitude, &bits, 8);
    magnitude += 0x1p28;
    memcpy(&bits, &magnitude, 8);
    return (uint16_t)(sign | (bits & 0xffff));
  }
  uint64_t odd = bits >> 42 & 1;
  return (uint16_t)(sign | ((bits - (UINT64_C(1008) << 52) + (UINT64_C(1) << 41) - 1 + odd) >> 42));
}

// The magnitude, if it is finite and the larger one.
static inline double finite_larger(double value, double than) {
  double magnitude = fabs(value);
  magnitude = magnitude <= DBL_MAX ? magnitude : 0;
  return magnitude > than ? magnitude : than;
}

static uint8_t *little_endian(uint8_t *to, uint64_t number, int bytes) {
  for (int i = 0; i < bytes; i++) *to++ = (uint8_t)(number >> 8 * i);
  return to;
}

// --- Deflating: RFC 1950 and 1951 ------------------------------------------------------------------------------------

// Of the literals, which are lengths of matches too, the last two have a place in the fixed code alone.
enum { LITERALS = 288, DISTANCES = 30, LENGTHS = 19, END = 256, MOST_BITS = 15, MOST_LENGTH_BITS = 7 };
enum { SHORTEST = 3, LONGEST = 258 };
// A literal that comes at most so often in a block weighs what others do that are as rare; in parts of one.
enum { RARE = 8, SCALE = 128, EIGHT = 3 };
// No code of a block's own is worth its bits in one of so few.
enum { FIXED = 200 };
// A deflate block takes so many bytes; it is its tokens that are kept until it is known how often each comes.
enum { BLOCK = 1 << 15, HASHES = 1 << 11, TRIES = 8, NONE = 0xffff };

typedef struct {
  uint32_t token[BLOCK];  // a literal, or distance << 9 | length
  uint32_t literals[LITERALS], distances[DISTANCES];
  uint16_t head[HASHES], before[BLOCK];  // where the block had the same bytes last
  uint8_t *to;
  uint64_t bits;
  int held;
} Deflated;

typedef struct {
  uint16_t code[LITERALS];
  uint8_t length[LITERALS];
} Code;

static void put(Deflated *out, uint32_t bits, int count) {
  out->bits |= (uint64_t)bits << out->held;
  out->held += count;
  while (out->held >= 8) {
    *out->to++ = (uint8_t)out->bits;
    out->bits >>= 8;
    out->held -= 8;
  }
}

// Which of the codes of lengths, and of distances, a number falls under; each code of `first` numbers of its own, then
// two, or four of them, for each further bit.
static int code_of(uint32_t number, int first, int *extra) {
  if (number < (uint32_t)first) {
    *extra = 0;
    return (int)number;
  }
  int top = 0;
  while (number >> (top + 1)) top++;
  int steps = first == 8 ? 2 : 1;  // bits below the highest one that are in the code
  *extra = top - steps;
  return ((top - steps) << steps) + (int)(number >> (top - steps));
}

static int length_code(uint32_t length, int *extra) {
  if (length == LONGEST) {
    *extra = 0;
    return END + 29;
  }
  return END + 1 + code_of(length - SHORTEST, 8, extra);
}

static int distance_code(uint32_t distance, int *extra) { return code_of(distance - 1, 4, extra); }

// Leaves of Huffman's tree: symbols, or as many of them as a power of two that weigh the same.
typedef struct {
  int size;
  uint32_t weight[LITERALS];
  uint8_t depth[LITERALS];
} Leaves;

// How deep each leaf lies, `most` at most.
static void dig(Leaves *leaves, int most) {
  uint16_t order[LITERALS], parent[2 * LITERALS];
  uint32_t weight[2 * LITERALS];
  int n = leaves->size;
  for (int i = 0; i < n; i++) {  // the lightest first
    int at = i;
    for (; at && leaves->weight[order[at - 1]] > leaves->weight[i]; at--) order[at] = order[at - 1];
    order[at] = (uint16_t)i;
  }
  // What joins the two lightest of what is left comes in order, too.
  int leaf = 0, joined = n;
  for (int i = 0; i < n; i++) weight[i] = leaves->weight[order[i]];
  for (int next = n; next < 2 * n - 1; next++) {
    weight[next] = 0;
    for (int i = 0; i < 2; i++) {
      int lightest = joined == next || (leaf < n && weight[leaf] <= weight[joined]) ? leaf++ : joined++;
      weight[next] += weight[lightest];
      parent[lightest] = (uint16_t)next;
    }
  }
  int number[MOST_BITS + 1] = {0};  // of leaves of each depth
  weight[2 * n - 2] = 0;           // from here on, how deep each lies
  for (int i = 2 * n - 3; i >= 0; i--) {
    weight[i] = weight[parent[i]] + 1;
    if (i < n) number[weight[i] < (uint32_t)most ? weight[i] : (uint32_t)most]++;
  }
  // Where some are cut off, others make room: one of those next above goes deeper, until there are no more codes than
  // there can be.
  int64_t codes = 0;
  for (int i = 1; i <= most; i++) codes += (int64_t)number[i] << (most - i);
  for (; codes > INT64_C(1) << most; codes--) {
    int above = most - 1;
    while (!number[above]) above--;
    number[above]--;
    number[above + 1] += 2;
    number[most]--;
  }
  for (int i = most, at = 0; i > 0; i--)
    for (int left = number[i]; left > 0; left--) leaves->depth[order[at++]] = (uint8_t)i;
}

// The lengths of a prefix code by how often each symbol comes; two at least have one, as inflaters ask for.
static void lengths_of(uint32_t *often, int symbols, int most, uint8_t *length) {
  Leaves leaves;
  uint16_t symbol[LITERALS];
  leaves.size = 0;
  for (int s = 0; s < symbols; s++) leaves.size += often[s] > 0;
  for (int s = 0; leaves.size < 2; s++)
    if (!often[s]) {
      often[s] = 1;
      leaves.size++;
    }
  leaves.size = 0;
  for (int s = 0; s < symbols; s++)
    if (often[s]) {
      symbol[leaves.size] = (uint16_t)s;
      leaves.weight[leaves.size++] = often[s];
    }
  dig(&leaves, most);
  memset(length, 0, (size_t)symbols);
  for (int i = 0; i < leaves.size; i++) length[symbol[i]] = leaves.depth[i];
}

// The same for literals. The bytes of fractions come about equally often, by chance one once and another one thrice: as
// if that were more than chance, their code's lengths would differ, and take more bytes than they save. So those that are
// rare weigh the same, and stand in the tree by eights.
static void lengths_of_literals(uint32_t *often, uint8_t *length) {
  Leaves leaves;
  uint16_t rare[END + 1], other[LITERALS + 1];
  int seen = 0, unseen = 0, others = 0, groups = 0, rares = 0;
  uint32_t total = 0;
  for (int s = 0; s < END; s++) {
    seen += often[s] && often[s] <= RARE;
    unseen += !often[s];
  }
  for (int s = 0; s < LITERALS; s++) {
    // Without a branch, which would be guessed.
    int is_rare = (s < END) & (often[s] <= RARE) & ((often[s] > 0) | (unseen <= seen));
    rare[rares] = other[others] = (uint16_t)s;
    rares += is_rare;
    others += !is_rare & (often[s] > 0);
    total += is_rare ? often[s] : 0;
    length[s] = 0;
  }
  if (rares + others < 2) {
    lengths_of(often, LITERALS, MOST_BITS, length);
    return;
  }
  int bits[END];
  uint32_t eight = rares ? SCALE * total / (uint32_t)rares : 0;
  for (int at = 0; at < rares; at += 1 << bits[groups++]) {
    bits[groups] = EIGHT;
    while (1 << bits[groups] > rares - at) bits[groups]--;
    leaves.weight[groups] = eight >> (EIGHT - bits[groups]);
  }
  for (int i = 0; i < others; i++) leaves.weight[groups + i] = SCALE / 8 * often[other[i]];
  leaves.size = groups + others;
  dig(&leaves, MOST_BITS - EIGHT);
  for (int i = 0, at = 0; i < groups; i++)
    for (int left = 1 << bits[i]; left > 0; left--) length[rare[at++]] = (uint8_t)(leaves.depth[i] + bits[i]);
  for (int i = 0; i < others; i++) length[other[i]] = leaves.depth[groups + i];
}

// Codes of a length follow one another, and stand with their first bit last.
static void number_codes(Code *code, int symbols) {
  int number[MOST_BITS + 2] = {0};
  for (int s = 0; s < symbols; s++) number[code->length[s] + 1]++;
  number[1] = 0;
  uint32_t next[MOST_BITS + 1] = {0};
  for (int i = 1; i <= MOST_BITS; i++) next[i] = (next[i - 1] + (uint32_t)number[i]) << 1;
  for (int s = 0; s < symbols; s++) code->code[s] = (uint16_t)(next[code->length[s]]++ << (16 - code->length[s]));
  for (int s = 0; s < symbols; s++) {
    uint16_t bits = code->code[s];
    bits = (uint16_t)((bits & 0x5555) << 1 | (bits >> 1 & 0x5555));
    bits = (uint16_t)((bits & 0x3333) << 2 | (bits >> 2 & 0x3333));
    bits = (uint16_t)((bits & 0x0f0f) << 4 | (bits >> 4 & 0x0f0f));
    code->code[s] = (uint16_t)(bits << 8 | bits >> 8);
  }
}

static int64_t size_of(const uint32_t *often, const uint8_t *length, int symbols) {
  int64_t bits = 0;
  for (int s = 0; s < symbols; s++) bits += (int64_t)often[s] * length[s];
  return bits;
}

static int used_of(const uint8_t *length, int symbols, int least) {
  while (symbols > least && !length[symbols - 1]) symbols--;
  return symbols;
}

// How the lengths of both codes are written: each as itself, or as a run (16: of the one before, 17 and 18: of zeros).
typedef struct {
  int literals, distances, size;
  uint8_t symbol[LITERALS + DISTANCES], extra[LITERALS + DISTANCES];
  Code code;
  int64_t bits;
} Head;

static const uint8_t length_order[LENGTHS] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
static const uint8_t extra_of_run[3] = {2, 3, 7}, least_of_run[3] = {3, 3, 11};

static void add_length(Head *head, uint32_t *often, int symbol, int run) {
  often[symbol]++;
  head->symbol[head->size] = (uint8_t)symbol;
  head->extra[head->size++] = (uint8_t)(symbol < 16 ? 0 : run - least_of_run[symbol - 16]);
  head->bits += symbol < 16 ? 0 : extra_of_run[symbol - 16];
}

static void write_lengths(Head *head, const Code *literals, const Code *distances) {
  uint8_t all[LITERALS + DISTANCES];
  uint32_t often[LENGTHS] = {0};
  head->literals = used_of(literals->length, LITERALS, END + 1);
  head->distances = used_of(distances->length, DISTANCES, 1);
  head->size = 0;
  head->bits = 0;
  memcpy(all, literals->length, (size_t)head->literals);
  memcpy(all + head->literals, distances->length, (size_t)head->distances);
  int n = head->literals + head->distances;
  for (int i = 0; i < n;) {
    int run = 1;
    while (i + run < n && run < (all[i] ? 7 : 138) && all[i + run] == all[i]) run++;
    if (!all[i] && run >= 3)
      add_length(head, often, run < 11 ? 17 : 18, run);
    else {
      add_length(head, often, all[i], 0);
      if (all[i] && run > 3)
        add_length(head, often, 16, run - 1);
      else
        run = 1;
    }
    i += run;
  }
  lengths_of(often, LENGTHS, MOST_LENGTH_BITS, head->code.length);
  number_codes(&head->code, LENGTHS);
  head->bits += size_of(often, head->code.length, LENGTHS);
}

static void fixed_lengths(Code *literals, Code *distances) {
  for (int s = 0; s < LITERALS; s++) literals->length[s] = s < 144 ? 8 : s < 256 ? 9 : s < 280 ? 7 : 8;
  memset(distances->length, 5, DISTANCES);
}

static void write_tokens(Deflated *out, int tokens, const Code *literals, const Code *distances) {
  for (int i = 0; i < tokens; i++) {
    uint32_t token = out->token[i], length = token & 511, distance = token >> 9;
    if (!distance) {
      put(out, literals->code[token], literals->length[token]);
      continue;
    }
    int extra, symbol = length_code(length, &extra);
    put(out, literals->code[symbol], literals->length[symbol]);
    put(out, (length - SHORTEST) & ((1u << extra) - 1), extra);
    symbol = distance_code(distance, &extra);
    put(out, distances->code[symbol], distances->length[symbol]);
    put(out, (distance - 1) & ((1u << extra) - 1), extra);
  }
  put(out, literals->code[END], literals->length[END]);
}

static int same(const uint8_t *one, const uint8_t *other, int most) {
  int n = 0;
  while (n < most && one[n] == other[n]) n++;
  return n;
}

// Literals and runs of equal elements; where it is searched, also what the block has had before, whole elements, three
// or more. Returns how many tokens these are.
static int take_apart(Deflated *out, const uint8_t *data, int n, int size, int is_searched, int64_t *extra_bits) {
  int tokens = 0, shortest = 3 * size;
  memset(out->literals, 0, sizeof out->literals);
  memset(out->distances, 0, sizeof out->distances);
  if (is_searched) memset(out->head, 0xff, sizeof out->head);
  *extra_bits = 0;
  for (int i = 0; i < n;) {
    int most = n - i < LONGEST ? n - i : LONGEST, length = 0, distance = size;
    if (i >= size && most >= SHORTEST && !memcmp(data + i, data + i - size, SHORTEST))
      length = same(data + i, data + i - size, most);
    uint32_t hash = 0;
    int is_entered = is_searched && i % size == 0 && most >= shortest;
    if (is_entered) {
      for (int j = 0; j < shortest; j++) hash = (hash + data[i + j]) * 0x9E3779B1u;
      hash >>= 21;
      uint16_t at = out->head[hash];
      for (int tries = 0; at != NONE && tries < TRIES && length < most; tries++, at = out->before[at]) {
        int found = same(data + i, data + at, most);
        if (found >= shortest && found > length) {
          length = found;
          distance = i - at;
        }
      }
      out->before[i] = out->head[hash];
      out->head[hash] = (uint16_t)i;
    }
    if (length) {
      int extra;
      out->token[tokens++] = (uint32_t)distance << 9 | (uint32_t)length;
      out->literals[length_code((uint32_t)length, &extra)]++;
      *extra_bits += extra;
      out->distances[distance_code((uint32_t)distance, &extra)]++;
      *extra_bits += extra;
      i += length;
    } else {
      out->token[tokens++] = data[i];
      out->literals[data[i++]]++;
    }
  }
  out->literals[END] = 1;
  return tokens;
}

static void write_block(Deflated *out, const uint8_t *data, int n, int size, int is_searched, int is_last) {
  Code literals, distances;
  Head head;
  int64_t extra_bits;
  int tokens = take_apart(out, data, n, size, is_searched, &extra_bits), sent = LENGTHS;
  fixed_lengths(&literals, &distances);
  int64_t stored = 8 * (int64_t)n + 32 + 7, own = INT64_MAX;
  int64_t fixed = size_of(out->literals, literals.length, LITERALS) +
                  size_of(out->distances, distances.length, DISTANCES) + extra_bits;
  if (fixed > FIXED) {
    lengths_of_literals(out->literals, literals.length);
    lengths_of(out->distances, DISTANCES, MOST_BITS, distances.length);
    write_lengths(&head, &literals, &distances);
    while (sent > 4 && !head.code.length[length_order[sent - 1]]) sent--;
    own = size_of(out->literals, literals.length, LITERALS) + size_of(out->distances, distances.length, DISTANCES) +
          extra_bits + head.bits + 14 + 3 * sent;
  }
  if (stored <= own && stored <= fixed) {
    put(out, (uint32_t)is_last, 3);
    put(out, 0, (8 - out->held) & 7);
    put(out, (uint32_t)n, 16);
    put(out, ~(uint32_t)n & 0xffff, 16);
    memcpy(out->to, data, (size_t)n);
    out->to += n;
    return;
  }
  if (fixed <= own) {
    put(out, (uint32_t)is_last | 1 << 1, 3);
    fixed_lengths(&literals, &distances);
  } else {
    put(out, (uint32_t)is_last | 2 << 1, 3);
    put(out, (uint32_t)head.literals - 257, 5);
    put(out, (uint32_t)head.distances - 1, 5);
    put(out, (uint32_t)sent - 4, 4);
    for (int i = 0; i < sent; i++) put(out, head.code.length[length_order[i]], 3);
    for (int i = 0; i < head.size; i++) {
      int symbol = head.symbol[i];
      put(out, head.code.code[symbol], head.code.length[symbol]);
      if (symbol >= 16) put(out, head.extra[i], extra_of_run[symbol - 16]);
    }
  }
  number_codes(&literals, LITERALS);
  number_codes(&distances, DISTANCES);
  write_tokens(out, tokens, &literals, &distances);
}

static uint32_t adler(const uint8_t *data, int64_t n) {
  uint32_t a = 1, b = 0;
  for (int64_t i = 0; i < n;) {
    int64_t end = n - i < 5552 ? n : i + 5552;  // so many fit without a remainder
    for (; i < end; i++) {
      a += data[i];
      b += a;
    }
    a %= 65521;
    b %= 65521;
  }
  return b << 16 | a;
}

// A zlib stream of elements; returns where it ends.
static uint8_t *deflate(Deflated *out, const uint8_t *data, int64_t n, int size, int is_searched, uint8_t *to) {
  out->to = to;
  out->bits = 0;
  out->held = 0;
  *out->to++ = 0x78;  // deflate, a window of 32 KB
  *out->to++ = 0x01;
  int64_t at = 0;
  do {
    int64_t block = n - at < BLOCK ? n - at : BLOCK;
    write_block(out, data + at, (int)block, size, is_searched, at + block == n);
    at += block;
  } while (at < n);
  put(out, 0, (8 - out->held) & 7);
  uint32_t sum = adler(data, n);
  for (int i = 3; i >= 0; i--) *out->to++ = (uint8_t)(sum >> 8 * i);
  return out->to;
}

// --- Array blocks ----------------------------------------------------------------------------------------------------

// Of one axis, see `arrays.encode`. data: where its elements may be kept meanwhile.
static uint8_t *block(Deflated *out, const double *values, int64_t units, int is_searched, uint8_t *data, uint8_t *to) {
  double lanes[4] = {0, 0, 0, 0}, largest = 0;  // four side by side: each waits for its last one
  int64_t i = 0;
  for (; i + 4 <= units; i += 4)
    for (int j = 0; j < 4; j++) lanes[j] = finite_larger(values[i + j], lanes[j]);
  for (; i < units; i++) largest = finite_larger(values[i], largest);
  for (int j = 0; j < 4; j++) largest = finite_larger(lanes[j], largest);
  int is_single = largest > wide && largest <= FLT_MAX, shift = 0, size = is_single ? 4 : 2;
  if (is_single)
    for (int64_t i = 0; i < units; i++) {
      float single = (float)values[i];
      uint32_t bits;
      memcpy(&bits, &single, 4);
      little_endian(data + 4 * i, bits, 4);
    }
  else {
    if (largest > 0) {
      frexp(largest, &shift);
      shift -= 15;
    }
    // A power of two may be beyond float64's range; half of its exponent is not.
    double once = ldexp(1, -shift / 2), twice = ldexp(1, -shift - -shift / 2);
    for (int64_t i = 0; i < units; i++) little_endian(data + 2 * i, half_of(values[i] * once * twice), 2);
  }
  to = little_endian(to, is_single, 1);
  to = little_endian(to, 1, 1);
  to = little_endian(to, (uint64_t)shift, 2);
  to = little_endian(to, (uint64_t)units, 4);
  uint8_t *end = deflate(out, data, units * size, size, is_searched, to + 4);
  little_endian(to, (uint64_t)(end - to - 4), 4);
  return end;
}

static void encode(const double *columns, int64_t all, const int64_t *units, int64_t tensors, void *scratch,
                   uint8_t *to, int64_t *lengths) {
  Deflated *out = scratch;
  uint8_t *data = (uint8_t *)(out + 1);
  for (int64_t i = 0, at = 0; i < tensors; at += units[i++]) {
    uint8_t *end = to;
    for (int j = 0; j < STATISTICS; j++) end = block(out, columns + j * all + at, units[i], j == ZERO, data, end);
    lengths[i] = end - to;
    to = end;
  }
}

// --- What is exported ------------------------------------------------------------------------------------------------

// How many bytes of a thread's own `tb_encode_units` needs meanwhile, of so many units at most.
PUBLIC int64_t tb_deflated_size(int64_t units) { return (int64_t)sizeof(Deflated) + 4 * units; }

typedef void (*SharesFunction)(const double *, int64_t, const int64_t *, int64_t, void *, int64_t *, int64_t *);
typedef void (*EncodeFunction)(const double *, int64_t, const int64_t *, int64_t, void *, uint8_t *, int64_t *);

// How many units of each tensor are silent, and how many alike.
//   columns: float64 [STATISTICS, all]: those of the tensors' units, one tensor after the other.
//   scratch: uint64, three times as many as the least power of two that is twice the units of a tensor, and three more.
PUBLIC void tb_silent_and_alike(const double *columns, int64_t all, const int64_t *units, int64_t tensors,
                               void *scratch, int64_t *silent, int64_t *alike) {
  volatile SharesFunction inner = silent_and_alike;
  Mode before = set_mode(STANDARD);
  inner(columns, all, units, tensors, scratch, silent, alike);
  set_mode(before);
}

// Four array blocks for each tensor, one tensor after the other, of each so many bytes as `lengths` says then.
PUBLIC void tb_encode_units(const double *columns, int64_t all, const int64_t *units, int64_t tensors, void *scratch,
                            uint8_t *to, int64_t *lengths) {
  volatile EncodeFunction inner = encode;
  Mode before = set_mode(STANDARD);
  inner(columns, all, units, tensors, scratch, to, lengths);
  set_mode(before);
}
