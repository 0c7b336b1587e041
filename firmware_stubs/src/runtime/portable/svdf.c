/* SVDF: a bank of filters over features, then over time. */
#include <string.h>

#include "runtime/fixed_point.h"
#include "runtime/kernels.h"

static int32_t feature_of(const eo_op_svdf *op, const int8_t *x, const int8_t *weights)
{
    uint32_t sum = 0;
    for (int32_t i = 0; i < op->in; i++) {
        sum += (uint32_t)(weights[i] * (x[i] - op->input_zero_point));
    }
    return eo_rescale((int32_t)sum, op->feature_multiplier, op->feature_shift);
}

/* One filter over time: its state moves on by the newest feature. */
static uint32_t filter_narrow(const eo_op_svdf *op, int8_t *state, const int8_t *weights, int32_t newest)
{
    uint32_t sum = 0;
    memmove(state, state + 1, op->memory - 1u);
    state[op->memory - 1] = (int8_t)(eo_clamp(newest, INT8_MIN, INT8_MAX) + op->state_zero_point);
    for (int32_t m = 0; m < op->memory; m++) {
        sum += (uint32_t)(weights[m] * (state[m] - op->state_zero_point));
    }
    return sum;
}

static uint32_t filter_wide(const eo_op_svdf *op, int16_t *state, const int16_t *weights, int32_t newest)
{
    uint32_t sum = 0;
    memmove(state, state + 1, (op->memory - 1u) * sizeof *state);
    state[op->memory - 1] = (int16_t)(eo_clamp(newest, INT16_MIN, INT16_MAX) + op->state_zero_point);
    for (int32_t m = 0; m < op->memory; m++) {
        sum += (uint32_t)eo_wrap_multiply(weights[m], state[m] - op->state_zero_point);
    }
    return sum;
}

void eo_portable_svdf(const uint8_t *plan, const void *record, uint8_t *arena)
{
    const eo_op_svdf *op = record;
    const int8_t *x = eo_values(arena, op->head.input), *weights = eo_values(plan, op->feature_weights_at);
    const int32_t *bias = op->bias_at != 0 ? eo_words(plan, op->bias_at) : NULL;
    const uint8_t *time_weights = plan + op->time_weights_at;
    uint8_t *state = arena + op->state;
    int8_t *output = eo_places(arena, op->head.output);
    int wide = (op->head.flags & EO_OP_WIDE_STATE) != 0;
    uint32_t row = wide ? op->memory * 2u : op->memory;
    int32_t units = op->filters / op->rank;
    for (int32_t u = 0; u < units; u++) {
        uint32_t sum = bias != NULL ? (uint32_t)bias[u] : 0u;
        for (int32_t r = 0; r < op->rank; r++) {
            int32_t newest = feature_of(op, x, weights);
            if (wide) {
                sum += filter_wide(op, (void *)state, (const void *)time_weights, newest);
            } else {
                sum += filter_narrow(op, (int8_t *)state, (const int8_t *)time_weights, newest);
            }
            weights += op->in;
            state += row;
            time_weights += row;
        }
        int32_t scaled = eo_rescale((int32_t)sum, op->time_multiplier, op->time_shift);
        output[u] = (int8_t)eo_clamp(eo_wrap_add(scaled, op->output_zero_point), INT8_MIN, INT8_MAX);
    }
}
