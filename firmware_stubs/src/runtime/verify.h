/* What the checks of op records share. */
#ifndef EDGEOPS_SRC_VERIFY_H
#define EDGEOPS_SRC_VERIFY_H

#include <stdbool.h>

#include "edgeops/runtime.h"

typedef struct eo_verifier {
    const uint8_t *bytes;
    uint32_t plan_bytes, arena_bytes;
} eo_verifier;

bool eo_in_arena(const eo_verifier *v, uint32_t at, uint64_t bytes);
bool eo_in_plan(const eo_verifier *v, uint32_t at, uint64_t bytes, uint32_t alignment);
bool eo_is_between(int32_t value, int32_t least, int32_t most);
bool eo_is_scale(int32_t multiplier, int32_t shift);
/* `count` multipliers and shifts lie in the plan and are in their range. */
bool eo_are_scales(const eo_verifier *v, uint32_t count, uint32_t multipliers_at, uint32_t shifts_at);

bool eo_check_svdf(const eo_verifier *v, const void *record);
bool eo_check_lstm(const eo_verifier *v, const void *record);

#endif
