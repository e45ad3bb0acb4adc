/* What one core of this machine can do: single-precision multiply-adds, and reading memory of a given size. */
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif

typedef float vector __attribute__((vector_size(LANES * 4)));

/* Rounds of ten independent a = a * b + c; returns the floating-point operations done. */
double multiply_add(long rounds, float *sink) {
    vector b = (vector){0} + 0.999f, c = (vector){0} + 0.001f;
    vector a0 = c, a1 = c, a2 = c, a3 = c, a4 = c, a5 = c, a6 = c, a7 = c, a8 = c, a9 = c;
    for (long r = 0; r < rounds; r++) {
        a0 = a0 * b + c, a1 = a1 * b + c, a2 = a2 * b + c, a3 = a3 * b + c, a4 = a4 * b + c;
        a5 = a5 * b + c, a6 = a6 * b + c, a7 = a7 * b + c, a8 = a8 * b + c, a9 = a9 * b + c;
        __asm__ volatile("" : "+x"(a0), "+x"(a1), "+x"(a2), "+x"(a3), "+x"(a4));
        __asm__ volatile("" : "+x"(a5), "+x"(a6), "+x"(a7), "+x"(a8), "+x"(a9));
    }
    a0 += a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9;
    *sink += a0[0];
    return 2.0 * rounds * 10 * LANES;
}

/* Memory that was written once. */
void *make(long bytes) {
    void *memory = aligned_alloc(64, bytes);
    if (memory) memset(memory, 0, bytes);
    return memory;
}

/* Read it so many times; returns the bytes read. */
double read_all(const void *memory, long bytes, long times, float *sink) {
    const vector *p = memory;
    long count = bytes / (long)sizeof(vector) / 8 * 8;
    vector s0 = {0}, s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
    for (long t = 0; t < times; t++) {
        for (long n = 0; n < count; n += 8) {
            s0 += p[n], s1 += p[n + 1], s2 += p[n + 2], s3 += p[n + 3];
            s4 += p[n + 4], s5 += p[n + 5], s6 += p[n + 6], s7 += p[n + 7];
        }
        __asm__ volatile("" : : : "memory");
    }
    s0 += s1 + s2 + s3 + s4 + s5 + s6 + s7;
    *sink += s0[0];
    return (double)count * sizeof(vector) * times;
}
