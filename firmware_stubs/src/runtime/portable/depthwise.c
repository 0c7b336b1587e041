/* Depthwise convolution: each output channel reads one input channel. */
#include "runtime/fixed_point.h"
#include "runtime/kernels.h"
#include "runtime/window.h"

static uint32_t channel(const eo_op_conv *op, const int8_t *input, const int8_t *weights, const eo_taps *rows,
                        const eo_taps *columns, uint32_t sum)
{
    int32_t offset = op->input_offset;
    int32_t x_step = op->dilation_w * op->in_c, w_step = op->out_c;
    for (int32_t ky = rows->begin; ky < rows->end; ky++) {
        int32_t line = (rows->first + ky * op->dilation_h) * op->in_w + columns->first;
        const int8_t *x = input + line * op->in_c + columns->begin * x_step;
        const int8_t *w = weights + (ky * op->k_w + columns->begin) * w_step;
        for (int32_t kx = columns->begin; kx < columns->end; kx++) {
            sum += (uint32_t)((*x + offset) * *w);
            x += x_step;
            w += w_step;
        }
    }
    return sum;
}

void eo_portable_depthwise_conv_2d(const uint8_t *plan, const void *record, uint8_t *arena)
{
    const eo_op_conv *op = record;
    const int8_t *input = eo_values(arena, op->head.input);
    int8_t *output = eo_places(arena, op->head.output);
    const int8_t *weights = eo_values(plan, op->weights_at);
    const int32_t *bias = op->bias_at != 0 ? eo_words(plan, op->bias_at) : 0;
    const int32_t *multipliers = eo_words(plan, op->multipliers_at);
    const int8_t *shifts = eo_values(plan, op->shifts_at);
    int32_t per_channel = (op->head.flags & EO_OP_PER_CHANNEL) != 0;
    int32_t multiplier = op->out_c / op->in_c;

    for (int32_t y = 0; y < op->out_h; y++) {
        eo_taps rows = eo_taps_inside(y, op->stride_h, op->pad_top, op->in_h, op->k_h, op->dilation_h);
        for (int32_t x = 0; x < op->out_w; x++) {
            eo_taps columns = eo_taps_inside(x, op->stride_w, op->pad_left, op->in_w, op->k_w, op->dilation_w);
            int32_t from = 0, left = multiplier;
            for (int32_t c = 0; c < op->out_c; c++) {
                uint32_t start = bias != 0 ? (uint32_t)bias[c] : 0u;
                int32_t sum = (int32_t)channel(op, input + from, weights + c, &rows, &columns, start);
                int32_t scaled = eo_rescale(sum, multipliers[per_channel * c], shifts[per_channel * c]);
                *output++ = (int8_t)eo_clamp(eo_wrap_add(scaled, op->output_offset), op->clamp_min, op->clamp_max);
                if (--left == 0) {
                    from++;
                    left = multiplier;
                }
            }
        }
    }
}
