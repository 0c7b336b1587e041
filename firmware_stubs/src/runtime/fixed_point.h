/* Fixed-point arithmetic of the int8 kernels: rounded twice, as TensorFlow Lite Micro does. Wherever a damaged plan
 * could make a signed sum overflow it wraps instead, so that nothing here is undefined. */
#ifndef EDGEOPS_SRC_FIXED_POINT_H
#define EDGEOPS_SRC_FIXED_POINT_H

#include <stdint.h>

static inline int32_t eo_wrap_add(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

static inline int32_t eo_wrap_multiply(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a * (uint32_t)b);
}

/* a * b / 2**31, rounded half up; a and b are never both the smallest number. */
static inline int32_t eo_high_multiply(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

/* x / 2**exponent, rounded half away from zero; exponent 0..31. */
static inline int32_t eo_rounding_shift(int32_t x, int32_t exponent)
{
    int32_t mask = (int32_t)((1u << exponent) - 1u);
    int32_t threshold = (mask >> 1) + (x < 0);
    /* every compiler for these cores shifts the sign in, which C leaves to it */
    /* cppcheck-suppress shiftTooManyBitsSigned */
    return (x >> exponent) + ((x & mask) > threshold);
}

/* x * multiplier * 2**(shift - 31); shift -31..30. */
static inline int32_t eo_rescale(int32_t x, int32_t multiplier, int32_t shift)
{
    int32_t left = shift > 0 ? shift : 0;
    int32_t shifted = (int32_t)((uint32_t)x << left);
    return eo_rounding_shift(eo_high_multiply(shifted, multiplier), left - shift);
}

static inline int32_t eo_clamp(int32_t x, int32_t least, int32_t most)
{
    if (x < least) {
        return least;
    }
    return x > most ? most : x;
}

#endif
