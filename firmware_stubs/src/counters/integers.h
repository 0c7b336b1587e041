/* Integer arithmetic that counting shares. */
#ifndef EDGEOPS_COUNTERS_INTEGERS_H
#define EDGEOPS_COUNTERS_INTEGERS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* a / b, rounded down, b > 0. Its time grows with the bits of the quotient, and it needs no library. */
uint64_t eo_divide(uint64_t a, uint64_t b);

/* The square root, rounded down. */
uint32_t eo_square_root(uint64_t value);

/* Bits of a value after leading zeros; 0 has none. */
unsigned eo_bit_length(uint32_t value);

/* a / b, rounded down, b > 0; a is not the lowest int32. */
int32_t eo_floor_divide(int32_t a, int32_t b);

#ifdef __cplusplus
}
#endif
#endif
