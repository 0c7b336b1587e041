/* Between float32 and int8, at a model's border: the only kernels that use floating point. */
#include <string.h>

#include "runtime/fixed_point.h"
#include "runtime/kernels.h"

void eo_portable_quantize(const uint8_t *plan, const void *record, uint8_t *arena)
{
    const eo_op_quantize *op = record;
    const uint8_t *input = arena + op->head.input;
    int8_t *output = eo_places(arena, op->head.output);
    (void)plan;
    for (uint32_t i = 0; i < op->elements; i++) {
        float value;
        memcpy(&value, input + (size_t)i * sizeof value, sizeof value);
        value = value / op->scale;
        int32_t whole = 0; /* also for what is not a number */
        if (value >= 1000.0f) {
            whole = 1000; /* beyond every int8, whatever the zero point */
        } else if (value <= -1000.0f) {
            whole = -1000;
        } else if (value == value) {
            /* half away from zero; exact, because a float this small less its whole part is */
            whole = (int32_t)value;
            float rest = value - (float)whole;
            whole += (rest >= 0.5f) - (rest <= -0.5f);
        }
        output[i] = (int8_t)eo_clamp(whole + op->zero_point, INT8_MIN, INT8_MAX);
    }
}

void eo_portable_dequantize(const uint8_t *plan, const void *record, uint8_t *arena)
{
    const eo_op_quantize *op = record;
    const int8_t *input = eo_values(arena, op->head.input);
    uint8_t *output = arena + op->head.output;
    (void)plan;
    for (uint32_t i = 0; i < op->elements; i++) {
        float value = op->scale * (float)(input[i] - op->zero_point);
        memcpy(output + (size_t)i * sizeof value, &value, sizeof value);
    }
}
