/* Counting in the bins and steps of a plan whose numbers are read in place. */
#ifndef EDGEOPS_COUNTERS_BINS_H
#define EDGEOPS_COUNTERS_BINS_H

#include "edgeops/counters.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EO_BINS_LIMIT 67108863 /* 2**26 - 1: how far from 0 the numbers of a plan may lie, so that 16 times fits */

/* Counts a value of 0..2**16 in its bin and its moments; returns its steps, -64..64. */
int32_t eo_bins_count(const eo_observe_plan *plan, const eo_bins *bins, int32_t value, uint16_t counts[EO_BINS],
                      eo_moments *moments);

#ifdef __cplusplus
}
#endif
#endif
