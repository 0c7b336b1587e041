/* Every kernel: it reads its op record, and trusts it, since eo_plan_open has checked it. */
#ifndef EDGEOPS_SRC_KERNELS_H
#define EDGEOPS_SRC_KERNELS_H

#include "edgeops/runtime.h"

/* Constants and records lie at multiples of 4 in a plan that does, which the compiler cannot know. */
static inline const int32_t *eo_words(const uint8_t *plan, uint32_t at)
{
    return (const int32_t *)(const void *)(plan + at);
}

static inline const int8_t *eo_values(const uint8_t *bytes, uint32_t at)
{
    return (const int8_t *)(bytes + at);
}

static inline int8_t *eo_places(uint8_t *arena, uint32_t at)
{
    return (int8_t *)(arena + at);
}

void eo_portable_conv_2d(const uint8_t *plan, const void *record, uint8_t *arena);
void eo_portable_depthwise_conv_2d(const uint8_t *plan, const void *record, uint8_t *arena);
void eo_portable_fully_connected(const uint8_t *plan, const void *record, uint8_t *arena);
void eo_portable_average_pool_2d(const uint8_t *plan, const void *record, uint8_t *arena);
void eo_portable_max_pool_2d(const uint8_t *plan, const void *record, uint8_t *arena);
void eo_portable_mean(const uint8_t *plan, const void *record, uint8_t *arena);
void eo_portable_add(const uint8_t *plan, const void *record, uint8_t *arena);
void eo_portable_mul(const uint8_t *plan, const void *record, uint8_t *arena);
void eo_portable_softmax(const uint8_t *plan, const void *record, uint8_t *arena);
void eo_portable_table(const uint8_t *plan, const void *record, uint8_t *arena);
void eo_portable_fill(const uint8_t *plan, const void *record, uint8_t *arena);
void eo_portable_move(const uint8_t *plan, const void *record, uint8_t *arena);
void eo_portable_quantize(const uint8_t *plan, const void *record, uint8_t *arena);
void eo_portable_dequantize(const uint8_t *plan, const void *record, uint8_t *arena);
void eo_portable_svdf(const uint8_t *plan, const void *record, uint8_t *arena);
void eo_portable_lstm(const uint8_t *plan, const void *record, uint8_t *arena);

void eo_dsp_conv_2d(const uint8_t *plan, const void *record, uint8_t *arena);
void eo_dsp_depthwise_conv_2d(const uint8_t *plan, const void *record, uint8_t *arena);
void eo_dsp_fully_connected(const uint8_t *plan, const void *record, uint8_t *arena);

#endif
