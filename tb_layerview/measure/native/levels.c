// Which of the levels that digest.c and extra.c were compiled for this processor, and its system, can run.
#include "exported.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <cpuid.h>

// Which registers the system saves when it switches threads.
static uint64_t saved(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}

// 0: what every x86-64 has; 1: AVX2; 2: AVX-512 with its instructions for bytes, words, double words and short vectors.
PUBLIC int tb_level(void) {
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1) || !(c >> 28 & 1)) return 0;  // OSXSAVE, AVX
  uint64_t registers = saved();
  if ((registers & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b >> 5 & 1)) return 0;
  uint32_t wanted = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // F, DQ, BW, VL
  return (registers & 0xe6) == 0xe6 && (b & wanted) == wanted ? 2 : 1;
}
#else
PUBLIC int tb_level(void) { return 0; }
#endif
