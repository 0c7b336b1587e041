/* The inner loop of convolution and fully connected: one input by four outputs. */
#ifndef EDGEOPS_SRC_DSP_PRODUCTS_H
#define EDGEOPS_SRC_DSP_PRODUCTS_H

#include "runtime/dsp/intrinsics.h"

/* Four sums that may wrap. */
typedef struct eo_sums_4 {
    uint32_t s0, s1, s2, s3;
} eo_sums_4;

/* Adds count * 4 products: x[i] plus the offset (which is in both lanes) times w[i], w[i + step], w[i + 2 * step] and
 * w[i + 3 * step]. */
#if defined(__ARM_FEATURE_DSP) && defined(__OPTIMIZE__) && !defined(__clang__)
/* 25 instructions for 16 products. In assembler because it needs every register that there is: compiled, each round
 * saved some to the stack and took 32. */
static inline eo_sums_4 eo_multiply_run(eo_sums_4 s, const int8_t *x, const int8_t *w, int32_t step, int32_t count,
                                        uint32_t offset)
{
    const int8_t *last = x + count, *end = x + (count & ~3), *w2 = w + 2 * step;
    uint32_t even, odd, w_even, w_odd;
    __asm__("cmp %[x], %[end]\n\t"
            "beq 2f\n"
            "1:\n\t"
            "ldr %[odd], [%[x]], #4\n\t"
            "ldr %[w_odd], [%[w], %[step]]\n\t"
            "sxtab16 %[even], %[offset], %[odd]\n\t"
            "sxtab16 %[odd], %[offset], %[odd], ror #8\n\t"
            "sxtb16 %[w_even], %[w_odd]\n\t"
            "sxtb16 %[w_odd], %[w_odd], ror #8\n\t"
            "smlad %[s1], %[even], %[w_even], %[s1]\n\t"
            "smlad %[s1], %[odd], %[w_odd], %[s1]\n\t"
            "ldr %[w_odd], [%[w]], #4\n\t"
            "sxtb16 %[w_even], %[w_odd]\n\t"
            "sxtb16 %[w_odd], %[w_odd], ror #8\n\t"
            "smlad %[s0], %[even], %[w_even], %[s0]\n\t"
            "smlad %[s0], %[odd], %[w_odd], %[s0]\n\t"
            "ldr %[w_odd], [%[w2], %[step]]\n\t"
            "sxtb16 %[w_even], %[w_odd]\n\t"
            "sxtb16 %[w_odd], %[w_odd], ror #8\n\t"
            "smlad %[s3], %[even], %[w_even], %[s3]\n\t"
            "smlad %[s3], %[odd], %[w_odd], %[s3]\n\t"
            "ldr %[w_odd], [%[w2]], #4\n\t"
            "sxtb16 %[w_even], %[w_odd]\n\t"
            "sxtb16 %[w_odd], %[w_odd], ror #8\n\t"
            "smlad %[s2], %[even], %[w_even], %[s2]\n\t"
            "cmp %[x], %[end]\n\t"
            "smlad %[s2], %[odd], %[w_odd], %[s2]\n\t"
            "bne 1b\n"
            "2:\n\t"
            "ldr %[end], %[last]\n\t"
            "cmp %[x], %[end]\n\t"
            "beq 4f\n"
            "3:\n\t" /* up to three that remain, in the low lane */
            "ldrsb %[even], [%[x]], #1\n\t"
            "ldrsb %[w_odd], [%[w], %[step]]\n\t"
            "ldrsb %[w_even], [%[w]], #1\n\t"
            "add %[even], %[even], %[offset]\n\t"
            "smlabb %[s1], %[even], %[w_odd], %[s1]\n\t"
            "smlabb %[s0], %[even], %[w_even], %[s0]\n\t"
            "ldrsb %[w_odd], [%[w2], %[step]]\n\t"
            "ldrsb %[w_even], [%[w2]], #1\n\t"
            "cmp %[x], %[end]\n\t"
            "smlabb %[s3], %[even], %[w_odd], %[s3]\n\t"
            "smlabb %[s2], %[even], %[w_even], %[s2]\n\t"
            "bne 3b\n"
            "4:\n\t"
            : [s0] "+r"(s.s0), [s1] "+r"(s.s1), [s2] "+r"(s.s2), [s3] "+r"(s.s3), [x] "+r"(x), [w] "+r"(w),
              [w2] "+r"(w2), [end] "+r"(end), [even] "=&r"(even), [odd] "=&r"(odd), [w_even] "=&r"(w_even),
              [w_odd] "=&r"(w_odd)
            : [step] "r"(step), [offset] "r"(offset), [last] "m"(last)
            : "cc", "memory");
    return s;
}
#else
static inline uint32_t eo_multiply_4(uint32_t even, uint32_t odd, uint32_t w, uint32_t sum)
{
    uint32_t w_even = eo_even_bytes(w), w_odd = eo_odd_bytes(w);
    sum = eo_multiply_high(even, w_even, eo_multiply_low(even, w_even, sum));
    return eo_multiply_high(odd, w_odd, eo_multiply_low(odd, w_odd, sum));
}

static inline eo_sums_4 eo_multiply_run(eo_sums_4 s, const int8_t *x, const int8_t *w, int32_t step, int32_t count,
                                        uint32_t offset)
{
    for (; count >= 4; count -= 4, x += 4, w += 4) {
        uint32_t word = eo_load_4(x);
        uint32_t even = eo_add_even_bytes(offset, word), odd = eo_add_odd_bytes(offset, word);
        s.s0 = eo_multiply_4(even, odd, eo_load_4(w), s.s0);
        s.s1 = eo_multiply_4(even, odd, eo_load_4(w + step), s.s1);
        s.s2 = eo_multiply_4(even, odd, eo_load_4(w + 2 * step), s.s2);
        s.s3 = eo_multiply_4(even, odd, eo_load_4(w + 3 * step), s.s3);
    }
    for (; count > 0; count--, x++, w++) {
        uint32_t value = (uint32_t)*x + offset; /* only the low lane counts here */
        s.s0 = eo_multiply_low(value, (uint32_t)w[0], s.s0);
        s.s1 = eo_multiply_low(value, (uint32_t)w[step], s.s1);
        s.s2 = eo_multiply_low(value, (uint32_t)w[2 * step], s.s2);
        s.s3 = eo_multiply_low(value, (uint32_t)w[3 * step], s.s3);
    }
    return s;
}
#endif

#endif
