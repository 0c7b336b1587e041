/* Sums of random Fourier features: edgeops/core/fourier.py. */
#ifndef EDGEOPS_COUNTERS_FOURIER_H
#define EDGEOPS_COUNTERS_FOURIER_H

#include "edgeops/counters.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Adds the components of one observed input: `steps` of each feature of the plan, which has components. */
void eo_fourier_add(const eo_observe_plan *plan, const int8_t *steps, int32_t sums[EO_COMPONENTS]);

#ifdef __cplusplus
}
#endif
#endif
