// What each function that is exported needs: its mark, and the floating-point mode that it computes in.
#include <stdint.h>

#if defined(_WIN32)
#define PUBLIC __declspec(dllexport)
#else
#define PUBLIC __attribute__((visibility("default")))
#endif

// TensorFlow's threads flush subnormals to zero, and others may round otherwise; here all is as the standard has it.
#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
typedef unsigned int Mode;
static inline Mode set_mode(Mode mode) {
  Mode before = _mm_getcsr();
  _mm_setcsr(mode);
  return before;
}
#define STANDARD 0x1f80u
#elif defined(__aarch64__)
typedef uint64_t Mode;
static inline Mode set_mode(Mode mode) {
  Mode before;
  __asm__ volatile("mrs %0, fpcr" : "=r"(before)::"memory");
  __asm__ volatile("msr fpcr, %0" ::"r"(mode) : "memory");
  return before;
}
#define STANDARD 0u
#else
typedef int Mode;
static inline Mode set_mode(Mode mode) { return mode; }
#define STANDARD 0
#endif
