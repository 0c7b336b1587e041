/* Depthwise convolution: each output channel reads one input channel. */
#include "runtime/fixed_point.h"
#include "runtime/kernels.h"
#include "runtime/window.h"

/* The taps of one pixel that lie inside of the input; strides lead from the end of a row of taps to the next. */
typedef struct window {
    int32_t rows, columns, x_step, w_step, x_stride, w_stride, offset;
} window;

static inline uint32_t sum_of(const window *v, const int8_t *x, const int8_t *w, uint32_t sum)
{
    int32_t x_step = v->x_step, w_step = v->w_step, offset = v->offset;
    for (int32_t row = v->rows; row > 0; row--) {
        for (int32_t column = v->columns; column > 0; column--) {
            sum += (uint32_t)((*x + offset) * *w);
            x += x_step;
            w += w_step;
        }
        x += v->x_stride;
        w += v->w_stride;
    }
    return sum;
}

static void pixel(const uint8_t *plan, const eo_op_conv *op, const window *v, const int8_t *x, const int8_t *w,
                  int8_t *output)
{
    const int32_t *bias = op->bias_at != 0 ? eo_words(plan, op->bias_at) : NULL;
    const int32_t *multipliers = eo_words(plan, op->multipliers_at);
    const int8_t *shifts = eo_values(plan, op->shifts_at);
    int32_t per_channel = (op->head.flags & EO_OP_PER_CHANNEL) != 0;
    int32_t multiplier = op->out_c / op->in_c, left = multiplier;
    for (int32_t c = 0; c < op->out_c; c++) {
        int32_t sum = (int32_t)sum_of(v, x, w + c, bias != NULL ? (uint32_t)bias[c] : 0u);
        int32_t scaled = eo_rescale(sum, *multipliers, *shifts);
        output[c] = (int8_t)eo_clamp(eo_wrap_add(scaled, op->output_offset), op->clamp_min, op->clamp_max);
        multipliers += per_channel;
        shifts += per_channel;
        if (--left == 0) {
            x++;
            left = multiplier;
        }
    }
}

void eo_portable_depthwise_conv_2d(const uint8_t *plan, const void *record, uint8_t *arena)
{
    const eo_op_conv *op = record;
    const int8_t *input = eo_values(arena, op->head.input), *weights = eo_values(plan, op->weights_at);
    int8_t *output = eo_places(arena, op->head.output);
    window v;
    v.x_step = op->dilation_w * op->in_c;
    v.w_step = op->out_c;
    v.offset = op->input_offset;
    for (int32_t y = 0; y < op->out_h; y++) {
        eo_taps rows = eo_taps_inside(y, op->stride_h, op->pad_top, op->in_h, op->k_h, op->dilation_h);
        int32_t line = (rows.first + rows.begin * op->dilation_h) * op->in_w;
        v.rows = rows.end - rows.begin;
        for (int32_t x = 0; x < op->out_w; x++) {
            eo_taps columns = eo_taps_inside(x, op->stride_w, op->pad_left, op->in_w, op->k_w, op->dilation_w);
            v.columns = columns.end - columns.begin;
            v.x_stride = op->dilation_h * op->in_w * op->in_c - v.columns * v.x_step;
            v.w_stride = (op->k_w - v.columns) * v.w_step;
            pixel(plan, op, &v, input + (line + columns.first + columns.begin * op->dilation_w) * op->in_c,
                  weights + (rows.begin * op->k_w + columns.begin) * op->out_c, output);
            output += op->out_c;
        }
    }
}
