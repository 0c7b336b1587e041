/* Integer arithmetic that counting shares. */
#ifndef EDGEOPS_COUNTERS_INTEGERS_H
#define EDGEOPS_COUNTERS_INTEGERS_H

#include <stdint.h>

/* a / b, rounded down, b > 0 and below 2**63. Its time grows with the bits of the quotient, and no library is needed. */
uint64_t eo_divide(uint64_t a, uint64_t b);

/* The square root, rounded down. */
uint32_t eo_square_root(uint64_t value);

/* Bits of a value after leading zeros; 0 has none. */
unsigned eo_bit_length(uint32_t value);

/* a / b, rounded down, b > 0; a is not the lowest int32. */
int32_t eo_floor_divide(int32_t a, int32_t b);

#endif
