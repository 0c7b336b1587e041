/* What is observed of an input: edgeops/core/input_features.py has the formulas. */
#ifndef EDGEOPS_COUNTERS_INPUT_FEATURES_H
#define EDGEOPS_COUNTERS_INPUT_FEATURES_H

#include "edgeops/counters.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What one pass over an input gives; most features need some of it. */
typedef struct eo_input_sums {
    uint64_t hash; /* FNV-1a of the values: equal inputs have equal ones */
    uint32_t total; /* of u = q + 128 */
    uint32_t clipped;
    uint8_t low, high;
} eo_input_sums;

void eo_input_sums_of(eo_input_sums *sums, const eo_observe_plan *plan, const int8_t *input);

/* One feature of the input that the sums are of; 0 to 2**16. */
int32_t eo_input_feature(const eo_observe_plan *plan, eo_feature feature, const eo_input_sums *sums,
                         const int8_t *input);

#ifdef __cplusplus
}
#endif
#endif
