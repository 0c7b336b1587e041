/* From sums of products to int8 in seven instructions, for ops whose sums are known to be small. */
#ifndef EDGEOPS_SRC_DSP_SCALING_H
#define EDGEOPS_SRC_DSP_SCALING_H

#include <stdbool.h>

#include "runtime/dsp/intrinsics.h"
#include "runtime/fixed_point.h"
#include "runtime/kernels.h"

/* One output channel. */
typedef struct eo_scaling {
    int32_t multiplier;
    int32_t addend; /* half of what is shifted away, and the output's offset, shifted left */
    int32_t right;
} eo_scaling;

/* False where eo_scaled does not serve, whatever the input: the portable kernel does then. `products` make a sum. */
bool eo_sums_are_small(const uint8_t *plan, const eo_op_conv *op, uint32_t products);

/* The scaling and the bias of four channels. */
void eo_scaling_of(eo_scaling scaling[4], uint32_t bias[4], const uint8_t *plan, const eo_op_conv *op,
                   int32_t channel);

/* As eo_rescale, plus the offset, within int8. */
static inline int8_t eo_scaled(uint32_t sum, const eo_scaling *scaling)
{
    int32_t x = eo_rounded_top((int32_t)(sum << 1), scaling->multiplier);
    /* rounds half away from zero; x >> 31 is 0 or -1 with every compiler for these cores, which C leaves to it */
    /* cppcheck-suppress shiftTooManyBitsSigned */
    x += (x >> 31) + scaling->addend;
    return (int8_t)eo_saturate_8(x >> scaling->right);
}

/* Four neighbouring outputs get tighter limits than int8 has, where the op asks for it. */
static inline bool eo_is_clamped(const eo_op_conv *op)
{
    return op->clamp_min != INT8_MIN || op->clamp_max != INT8_MAX;
}

void eo_clamp_4(const eo_op_conv *op, int8_t *values);

#endif
