/* Mean over one run of axes. */
#include "runtime/fixed_point.h"
#include "runtime/kernels.h"

void eo_portable_mean(const uint8_t *plan, const void *record, uint8_t *arena)
{
    const eo_op_mean *op = record;
    const int8_t *input = eo_values(arena, op->head.input);
    int8_t *output = eo_places(arena, op->head.output);
    int32_t zero = (int32_t)((uint32_t)op->input_zero_point * op->reduce);
    (void)plan;
    for (uint32_t o = 0; o < op->outer; o++) {
        for (uint32_t i = 0; i < op->inner; i++) {
            const int8_t *x = input + i;
            int32_t sum = 0;
            for (uint32_t r = 0; r < op->reduce; r++) {
                sum += x[(size_t)r * op->inner];
            }
            sum = eo_rescale(eo_wrap_add(sum, -zero), op->multiplier, op->shift);
            *output++ = (int8_t)eo_clamp(eo_wrap_add(sum, op->output_zero_point), INT8_MIN, INT8_MAX);
        }
        input += (size_t)op->reduce * op->inner;
    }
}
