#include "counters/integers.h"

uint64_t eo_divide(uint64_t a, uint64_t b)
{
    uint64_t quotient = 0;
    unsigned shift = 0;

    while (b <= a >> 1) {
        b <<= 1;
        shift++;
    }
    do {
        quotient <<= 1;
        if (a >= b) {
            a -= b;
            quotient |= 1;
        }
        b >>= 1;
    } while (shift-- > 0);
    return quotient;
}

uint32_t eo_square_root(uint64_t value)
{
    uint32_t root = 0;

    for (uint32_t bit = UINT32_C(1) << 31; bit != 0; bit >>= 1) {
        uint64_t tried = root | bit;
        if (tried * tried <= value) {
            root |= bit;
        }
    }
    return root;
}

unsigned eo_bit_length(uint32_t value)
{
    unsigned bits = 0;

    for (; value != 0; value >>= 1) {
        bits++;
    }
    return bits;
}

int32_t eo_floor_divide(int32_t a, int32_t b)
{
    int32_t quotient = a / b;

    return a % b < 0 ? quotient - 1 : quotient;
}
