/* Element by element: add, mul, and everything that is a table of 256 values. */
#include "runtime/fixed_point.h"
#include "runtime/kernels.h"

static const int8_t *other_operand(const uint8_t *plan, const uint8_t *arena, const eo_op_head *head, uint32_t at)
{
    return eo_values((head->flags & EO_OP_CONSTANT_INPUT) != 0 ? plan : arena, at);
}

void eo_portable_add(const uint8_t *plan, const void *record, uint8_t *arena)
{
    const eo_op_add *op = record;
    const int8_t *input = eo_values(arena, op->head.input);
    const int8_t *other = other_operand(plan, arena, &op->head, op->other);
    int8_t *output = eo_places(arena, op->head.output);
    int32_t unit = (int32_t)(1u << op->left_shift);
    int subtract = (op->head.flags & EO_OP_SUBTRACT) != 0;
    for (uint32_t i = 0, j = 0; i < op->elements; i++) {
        int32_t a = eo_wrap_multiply(input[i] + op->input_offset, unit);
        int32_t b = eo_wrap_multiply(other[j] + op->other_offset, unit);
        b = eo_rescale(b, op->other_multiplier, op->other_shift);
        int32_t sum = eo_wrap_add(eo_rescale(a, op->input_multiplier, op->input_shift),
                                  subtract ? eo_wrap_multiply(b, -1) : b);
        sum = eo_wrap_add(eo_rescale(sum, op->output_multiplier, op->output_shift), op->output_offset);
        output[i] = (int8_t)eo_clamp(sum, op->clamp_min, op->clamp_max);
        if (++j == op->other_elements) {
            j = 0;
        }
    }
}

void eo_portable_mul(const uint8_t *plan, const void *record, uint8_t *arena)
{
    const eo_op_mul *op = record;
    const int8_t *input = eo_values(arena, op->head.input);
    const int8_t *other = other_operand(plan, arena, &op->head, op->other);
    int8_t *output = eo_places(arena, op->head.output);
    for (uint32_t i = 0, j = 0; i < op->elements; i++) {
        int32_t product = (input[i] + op->input_offset) * (other[j] + op->other_offset);
        int32_t scaled = eo_wrap_add(eo_rescale(product, op->multiplier, op->shift), op->output_offset);
        output[i] = (int8_t)eo_clamp(scaled, op->clamp_min, op->clamp_max);
        if (++j == op->other_elements) {
            j = 0;
        }
    }
}

void eo_portable_table(const uint8_t *plan, const void *record, uint8_t *arena)
{
    const eo_op_table *op = record;
    const int8_t *input = eo_values(arena, op->head.input), *table = eo_values(plan, op->table_at);
    int8_t *output = eo_places(arena, op->head.output);
    for (uint32_t i = 0; i < op->elements; i++) {
        output[i] = table[input[i] + 128];
    }
}
