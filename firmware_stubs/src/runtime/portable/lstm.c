/* A unidirectional LSTM: int8 in and out, its cell in int16. */
#include <string.h>

#include "runtime/fixed_point.h"
#include "runtime/kernels.h"

static int32_t clamp_16(int32_t x)
{
    return eo_clamp(x, INT16_MIN, INT16_MAX);
}

/* Between two values of the table; `bits` are those of `size` that lie between them. */
static int32_t interpolate(const uint16_t *table, uint32_t size, uint32_t bits, int32_t top)
{
    uint32_t k = size >> bits;
    int32_t part = (int32_t)(size & ((1u << bits) - 1u));
    return k >= 255 ? top << bits : ((int32_t)table[k] << bits) + part * (table[k + 1] - table[k]);
}

static uint32_t size_of(int32_t value)
{
    return value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
}

static int32_t sigmoid(const uint16_t *table, int32_t x)
{
    int32_t value = interpolate(table, size_of(3 * x), 9, 0x7FFF * 2);
    return (x >= 0 ? value + (1 << 9) : (1 << 25) - value + (1 << 9) - 1) >> 10;
}

static int32_t tanh_of(const uint16_t *table, int32_t x, int32_t multiplier, int32_t shift)
{
    int64_t half = shift > 0 ? (int64_t)1 << (shift - 1) : 0;
    int32_t v = (int32_t)(((int64_t)x * multiplier + half) >> shift);
    int32_t value = interpolate(table, size_of(v), 8, 0xFFFF);
    return (v >= 0 ? value - (1 << 23) + (1 << 7) : (1 << 23) - value + (1 << 7) - 1) >> 8;
}

static uint32_t dot(const int8_t *weights, const int8_t *x, int32_t count, int32_t offset)
{
    uint32_t sum = 0;
    for (int32_t i = 0; i < count; i++) {
        sum += (uint32_t)(weights[i] * (x[i] + offset));
    }
    return sum;
}

/* The sum of one gate of one unit, before its activation. */
static int32_t gate_of(const uint8_t *plan, const eo_op_lstm *op, const eo_lstm_gate *gate, const int8_t *x,
                       const int8_t *hidden, int32_t unit)
{
    const int8_t *input_weights = eo_values(plan, gate->input_weights_at) + (size_t)unit * op->in;
    const int8_t *hidden_weights = eo_values(plan, gate->hidden_weights_at) + (size_t)unit * op->units;
    uint32_t bias = gate->bias_at != 0 ? (uint32_t)eo_words(plan, gate->bias_at)[unit] : 0u;
    int32_t of_input = (int32_t)(bias + dot(input_weights, x, op->in, op->input_offset));
    int32_t of_hidden = (int32_t)dot(hidden_weights, hidden, op->units, op->hidden_offset);
    return clamp_16(clamp_16(eo_rescale(of_input, gate->input_multiplier, gate->input_shift)) +
                    clamp_16(eo_rescale(of_hidden, gate->hidden_multiplier, gate->hidden_shift)));
}

void eo_portable_lstm(const uint8_t *plan, const void *record, uint8_t *arena)
{
    const eo_op_lstm *op = record;
    const uint16_t *table = (const void *)(plan + op->sigmoids_at);
    const int8_t *x = eo_values(arena, op->head.input);
    int8_t *hidden = eo_places(arena, op->hidden), *output = eo_places(arena, op->head.output);
    int16_t *cells = (void *)(arena + op->cell);
    for (int32_t step = 0; step < op->steps; step++) {
        for (int32_t u = 0; u < op->units; u++) {
            int32_t forget = sigmoid(table, gate_of(plan, op, &op->forget, x, hidden, u));
            int32_t input = sigmoid(table, gate_of(plan, op, &op->input, x, hidden, u));
            int32_t candidate = tanh_of(table, gate_of(plan, op, &op->candidate, x, hidden, u), 3, 0);
            int32_t shown = sigmoid(table, gate_of(plan, op, &op->output, x, hidden, u));
            int32_t kept = eo_rescale(eo_wrap_multiply(forget, cells[u]), op->forget_multiplier, op->forget_shift);
            int32_t update = eo_rescale(eo_wrap_multiply(input, candidate), op->update_multiplier, op->update_shift);
            int32_t cell = clamp_16(clamp_16(kept) + clamp_16(update));
            if (op->cell_clip > 0) {
                cell = eo_clamp(cell, -op->cell_clip, op->cell_clip);
            }
            cells[u] = (int16_t)cell;
            shown = eo_wrap_multiply(shown, tanh_of(table, cell, op->cell_multiplier, op->cell_shift));
            shown = eo_rescale(shown, op->hidden_multiplier, op->hidden_shift);
            output[u] = (int8_t)eo_clamp(eo_wrap_add(shown, -op->hidden_offset), INT8_MIN, INT8_MAX);
        }
        memmove(hidden, output, op->units);
        x += op->in;
        output += op->units;
    }
}
