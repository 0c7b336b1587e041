/* Bytes that only change their place: padding, concatenation, slices, transposition. */
#include <string.h>

#include "runtime/kernels.h"

void eo_portable_fill(const uint8_t *plan, const void *record, uint8_t *arena)
{
    const eo_op_fill *op = record;
    (void)plan;
    memset(arena + op->head.output, op->value, op->bytes);
}

void eo_portable_move(const uint8_t *plan, const void *record, uint8_t *arena)
{
    const eo_op_move *op = record;
    const uint8_t *base = (op->head.flags & EO_OP_CONSTANT_INPUT) != 0 ? plan : arena;
    uint32_t index[EO_MOVE_RANK] = {0};
    int64_t from = op->head.input, to = op->head.output;
    int axis = 0;
    while (axis >= 0) {
        memmove(arena + to, base + from, op->unit);
        /* the next index, as an odometer counts */
        for (axis = EO_MOVE_RANK - 1; axis >= 0; axis--) {
            from += op->input_strides[axis];
            to += op->output_strides[axis];
            if (++index[axis] < op->sizes[axis]) {
                break;
            }
            from -= (int64_t)op->sizes[axis] * op->input_strides[axis];
            to -= (int64_t)op->sizes[axis] * op->output_strides[axis];
            index[axis] = 0;
        }
    }
}
