/* Which inputs are observed: Marsaglia's xorshift with 32 bits, the same draws as device_agent/observing.py. */
#include "edgeops/counters.h"

void eo_draws_begin(eo_draws *draws, uint32_t boot)
{
    draws->state = boot * UINT32_C(0x9E3779B9) + 1;
    if (draws->state == 0) {
        draws->state = 1;
    }
}

int eo_draws_below(eo_draws *draws, uint16_t permille)
{
    uint32_t state = draws->state;

    if (permille == 0 || permille >= 1000) { /* neither needs a draw */
        return permille != 0;
    }
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    draws->state = state;
    return state % 1000 < permille;
}
