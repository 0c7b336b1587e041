#include "counters/bins.h"

#include "counters/integers.h"

#define STEPS 16
#define MAX_STEPS (4 * STEPS)

/* One CBOR integer of a plan that was opened, and the place behind it; none is longer than 5 bytes. */
static int32_t integer_at(const eo_observe_plan *plan, uint16_t *at)
{
    uint8_t head = plan->bytes[(*at)++];
    uint32_t value = head & 31u;

    if (value >= 24) {
        unsigned bytes = 1u << (value - 24);
        for (value = 0; bytes > 0; bytes--) {
            value = value << 8 | plan->bytes[(*at)++];
        }
    }
    return head >> 5 == 0 ? (int32_t)value : -1 - (int32_t)value;
}

/* 0 below the first edge, 11 above the last, else the number of edges that are not above the value. */
static unsigned bin_of(const eo_observe_plan *plan, uint16_t at, int32_t value)
{
    int32_t edge = 0;
    unsigned bin = 0;

    for (unsigned i = 0; i < EO_EDGES; i++) {
        edge = integer_at(plan, &at);
        bin += edge <= value;
    }
    return value == edge ? EO_BINS - 2 : bin; /* the last inner bin is closed */
}

int32_t eo_bins_count(const eo_observe_plan *plan, const eo_bins *bins, int32_t value, uint16_t counts[EO_BINS],
                      eo_moments *moments)
{
    uint16_t at = bins->mean_at;
    int32_t mean = integer_at(plan, &at), deviation, steps;

    at++; /* the deviation's key */
    deviation = integer_at(plan, &at);
    steps = eo_floor_divide((value - mean) * STEPS, deviation > 0 ? deviation : 1);
    steps = steps > MAX_STEPS ? MAX_STEPS : steps < -MAX_STEPS ? -MAX_STEPS : steps;
    counts[bin_of(plan, bins->edges_at, value)]++;
    moments->sum += steps;
    moments->squares += (uint32_t)(steps * steps);
    return steps;
}
