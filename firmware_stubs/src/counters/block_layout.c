#include "counters/block_layout.h"

#include "counters/integers.h"

uint32_t eo_block_largest_sum(uint32_t squares, uint32_t n)
{
    uint32_t most = eo_square_root((uint64_t)n * squares);

    most = most < squares ? most : squares;
    return most - ((most ^ squares) & 1);
}
