/* The few DSP instructions that the kernels use: two 16-bit lanes in a word. On other machines they are emulated, so
 * that the same kernels run in the tests there. */
#ifndef EDGEOPS_SRC_DSP_INTRINSICS_H
#define EDGEOPS_SRC_DSP_INTRINSICS_H

#include <stdint.h>
#include <string.h>

/* Four neighbouring int8; cores with the DSP extension load a word from any address. */
static inline uint32_t eo_load_4(const int8_t *from)
{
    uint32_t word;
    memcpy(&word, from, sizeof word);
    return word;
}

/* The same number, -32768..32767, in both lanes. */
static inline uint32_t eo_both_lanes(int32_t value)
{
    return ((uint32_t)value & 0xFFFFu) | (uint32_t)value << 16;
}

#ifdef __ARM_FEATURE_DSP

/* bytes 0 and 2, with sign */
static inline uint32_t eo_even_bytes(uint32_t word)
{
    uint32_t lanes;
    __asm__("sxtb16 %0, %1" : "=r"(lanes) : "r"(word));
    return lanes;
}

/* bytes 1 and 3, with sign */
static inline uint32_t eo_odd_bytes(uint32_t word)
{
    uint32_t lanes;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(lanes) : "r"(word));
    return lanes;
}

static inline uint32_t eo_add_even_bytes(uint32_t addend, uint32_t word)
{
    uint32_t lanes;
    __asm__("sxtab16 %0, %1, %2" : "=r"(lanes) : "r"(addend), "r"(word));
    return lanes;
}

static inline uint32_t eo_add_odd_bytes(uint32_t addend, uint32_t word)
{
    uint32_t lanes;
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(lanes) : "r"(addend), "r"(word));
    return lanes;
}

/* sum + low * low */
static inline uint32_t eo_multiply_low(uint32_t a, uint32_t b, uint32_t sum)
{
    __asm__("smlabb %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}

/* sum + high * high */
static inline uint32_t eo_multiply_high(uint32_t a, uint32_t b, uint32_t sum)
{
    __asm__("smlatt %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}

/* a * b / 2**32, rounded half up */
static inline int32_t eo_rounded_top(int32_t a, int32_t b)
{
    int32_t top;
    __asm__("smmulr %0, %1, %2" : "=r"(top) : "r"(a), "r"(b));
    return top;
}

static inline int32_t eo_saturate_8(int32_t value)
{
    int32_t result;
    __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(value));
    return result;
}

#else

static inline int32_t eo_low(uint32_t lanes)
{
    return (int16_t)(uint16_t)lanes;
}

static inline int32_t eo_high(uint32_t lanes)
{
    return (int16_t)(uint16_t)(lanes >> 16);
}

static inline uint32_t eo_lanes(int32_t low, int32_t high)
{
    return ((uint32_t)low & 0xFFFFu) | (uint32_t)high << 16;
}

static inline uint32_t eo_add_even_bytes(uint32_t addend, uint32_t word)
{
    return eo_lanes(eo_low(addend) + (int8_t)(uint8_t)word, eo_high(addend) + (int8_t)(uint8_t)(word >> 16));
}

static inline uint32_t eo_add_odd_bytes(uint32_t addend, uint32_t word)
{
    return eo_add_even_bytes(addend, word >> 8);
}

static inline uint32_t eo_even_bytes(uint32_t word)
{
    return eo_add_even_bytes(0, word);
}

static inline uint32_t eo_odd_bytes(uint32_t word)
{
    return eo_add_odd_bytes(0, word);
}

static inline uint32_t eo_multiply_low(uint32_t a, uint32_t b, uint32_t sum)
{
    return sum + (uint32_t)(eo_low(a) * eo_low(b));
}

static inline uint32_t eo_multiply_high(uint32_t a, uint32_t b, uint32_t sum)
{
    return sum + (uint32_t)(eo_high(a) * eo_high(b));
}

static inline int32_t eo_rounded_top(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + 0x80000000ll) >> 32);
}

static inline int32_t eo_saturate_8(int32_t value)
{
    return value < INT8_MIN ? INT8_MIN : value > INT8_MAX ? INT8_MAX : value;
}

#endif
#endif
