/* The checks of the ops that keep state from one inference to the next. */
#include "runtime/verify.h"

static bool is_zero_point(int32_t value)
{
    return eo_is_between(value, INT8_MIN, INT8_MAX);
}

bool eo_check_svdf(const eo_verifier *v, const void *record)
{
    const eo_op_svdf *op = record;
    uint32_t width = (op->head.flags & EO_OP_WIDE_STATE) != 0 ? 2 : 1;
    if (op->in == 0 || op->filters == 0 || op->memory == 0 || op->rank == 0 || op->filters % op->rank != 0) {
        return false;
    }
    uint32_t units = op->filters / op->rank;
    uint64_t places = (uint64_t)op->filters * op->memory * width;
    return eo_in_arena(v, op->head.input, op->in) && eo_in_arena(v, op->head.output, units) &&
           op->state % width == 0 && eo_in_arena(v, op->state, places) && is_zero_point(op->input_zero_point) &&
           is_zero_point(op->state_zero_point) && is_zero_point(op->output_zero_point) &&
           eo_is_scale(op->feature_multiplier, op->feature_shift) &&
           eo_is_scale(op->time_multiplier, op->time_shift) &&
           eo_in_plan(v, op->feature_weights_at, (uint64_t)op->filters * op->in, 1) &&
           eo_in_plan(v, op->time_weights_at, places, width) &&
           (op->bias_at == 0 || eo_in_plan(v, op->bias_at, (uint64_t)units * 4, 4));
}

static bool is_gate(const eo_verifier *v, const eo_op_lstm *op, const eo_lstm_gate *gate)
{
    return eo_in_plan(v, gate->input_weights_at, (uint64_t)op->units * op->in, 1) &&
           eo_in_plan(v, gate->hidden_weights_at, (uint64_t)op->units * op->units, 1) &&
           (gate->bias_at == 0 || eo_in_plan(v, gate->bias_at, (uint64_t)op->units * 4, 4)) &&
           eo_is_scale(gate->input_multiplier, gate->input_shift) &&
           eo_is_scale(gate->hidden_multiplier, gate->hidden_shift);
}

bool eo_check_lstm(const eo_verifier *v, const void *record)
{
    const eo_op_lstm *op = record;
    return op->steps > 0 && op->in > 0 && op->units > 0 &&
           eo_in_arena(v, op->head.input, (uint64_t)op->steps * op->in) &&
           eo_in_arena(v, op->head.output, (uint64_t)op->steps * op->units) && eo_in_arena(v, op->hidden, op->units) &&
           op->cell % 2 == 0 && eo_in_arena(v, op->cell, (uint64_t)op->units * 2) &&
           eo_in_plan(v, op->sigmoids_at, 512, 2) && eo_is_between(op->input_offset, -127, 128) &&
           eo_is_between(op->hidden_offset, -127, 128) && eo_is_between(op->cell_multiplier, 0, 65535) &&
           eo_is_between(op->cell_shift, 0, 31) && eo_is_scale(op->forget_multiplier, op->forget_shift) &&
           eo_is_scale(op->update_multiplier, op->update_shift) &&
           eo_is_scale(op->hidden_multiplier, op->hidden_shift) && is_gate(v, op, &op->forget) &&
           is_gate(v, op, &op->input) && is_gate(v, op, &op->candidate) && is_gate(v, op, &op->output);
}
