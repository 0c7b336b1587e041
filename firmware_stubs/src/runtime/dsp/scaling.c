#include "runtime/dsp/scaling.h"

/* A product is at most 255 * 128, so that products take half of 2**30 and the bias the other half. */
#define MOST_PRODUCTS 16384u
#define MOST_BIAS (1 << 29)
/* An output offset that is shifted left so far still leaves room for the sum. */
#define MOST_SHIFT 22

bool eo_sums_are_small(const uint8_t *plan, const eo_op_conv *op, uint32_t products)
{
    const int32_t *bias = op->bias_at != 0 ? eo_words(plan, op->bias_at) : NULL;
    const int8_t *shifts = eo_values(plan, op->shifts_at);
    int32_t scales = (op->head.flags & EO_OP_PER_CHANNEL) != 0 ? op->out_c : 1;
    for (int32_t i = 0; i < scales; i++) {
        if (shifts[i] > -1 || shifts[i] < -MOST_SHIFT) {
            return false;
        }
    }
    for (int32_t i = 0; bias != NULL && i < op->out_c; i++) {
        if (bias[i] >= MOST_BIAS || bias[i] <= -MOST_BIAS) {
            return false;
        }
    }
    return products <= MOST_PRODUCTS;
}

void eo_scaling_of(eo_scaling scaling[4], uint32_t bias[4], const uint8_t *plan, const eo_op_conv *op,
                   int32_t channel)
{
    int32_t per_channel = (op->head.flags & EO_OP_PER_CHANNEL) != 0;
    for (int32_t i = 0; i < 4; i++, channel++) {
        int32_t right = -eo_values(plan, op->shifts_at)[per_channel * channel];
        scaling[i].multiplier = eo_words(plan, op->multipliers_at)[per_channel * channel];
        scaling[i].addend = (1 << (right - 1)) + op->output_offset * (1 << right);
        scaling[i].right = right;
        bias[i] = op->bias_at != 0 ? (uint32_t)eo_words(plan, op->bias_at)[channel] : 0u;
    }
}

void eo_clamp_4(const eo_op_conv *op, int8_t *values)
{
    for (int32_t i = 0; i < 4; i++) {
        values[i] = (int8_t)eo_clamp(values[i], op->clamp_min, op->clamp_max);
    }
}
