/* Depthwise convolution, four channels at a time. */
#include "runtime/dsp/products.h"
#include "runtime/dsp/scaling.h"
#include "runtime/window.h"

typedef struct window {
    eo_scaling scaling[4];
    uint32_t bias[4];
    int32_t rows, x_row, w_row; /* of taps: how many, and from one to the next */
    uint32_t offset;
    bool clamped;
} window;

static inline eo_sums_4 multiply_tap(eo_sums_4 s, const int8_t *x, const int8_t *w, uint32_t offset)
{
    uint32_t a = eo_load_4(x), b = eo_load_4(w);
    uint32_t a_even = eo_add_even_bytes(offset, a), b_even = eo_even_bytes(b);
    s.s0 = eo_multiply_low(a_even, b_even, s.s0);
    s.s2 = eo_multiply_high(a_even, b_even, s.s2);
    a = eo_add_odd_bytes(offset, a);
    b = eo_odd_bytes(b);
    s.s1 = eo_multiply_low(a, b, s.s1);
    s.s3 = eo_multiply_high(a, b, s.s3);
    return s;
}

/* `step` bytes lie between neighbouring taps, in the input as in the weights. */
static inline void output_4(const window *v, const eo_op_conv *op, const int8_t *x, const int8_t *w, int32_t columns,
                            int32_t step, int8_t *output)
{
    eo_sums_4 s = {v->bias[0], v->bias[1], v->bias[2], v->bias[3]};
    uint32_t offset = v->offset;
    if (columns == 3) { /* what nearly every model has, without a loop */
        for (int32_t row = v->rows; row > 0; row--) {
            s = multiply_tap(s, x, w, offset);
            s = multiply_tap(s, x + step, w + step, offset);
            s = multiply_tap(s, x + 2 * step, w + 2 * step, offset);
            x += v->x_row;
            w += v->w_row;
        }
    } else {
        for (int32_t row = v->rows; row > 0; row--) {
            for (int32_t at = 0; at < columns * step; at += step) {
                s = multiply_tap(s, x + at, w + at, offset);
            }
            x += v->x_row;
            w += v->w_row;
        }
    }
    output[0] = eo_scaled(s.s0, &v->scaling[0]);
    output[1] = eo_scaled(s.s1, &v->scaling[1]);
    output[2] = eo_scaled(s.s2, &v->scaling[2]);
    output[3] = eo_scaled(s.s3, &v->scaling[3]);
    if (v->clamped) {
        eo_clamp_4(op, output);
    }
}

/* One row of output pixels, four channels of it. */
static void output_row(const window *v, const eo_op_conv *op, const int8_t *input, const int8_t *weights,
                       int8_t *output)
{
    int32_t channels = op->out_c, first = -op->pad_left, last = op->in_w - op->k_w;
    for (int32_t left = op->out_w; left > 0; left--) {
        int32_t begin = first < 0 ? -first : 0, end = first > last ? op->in_w - first : op->k_w;
        if (begin < end) {
            output_4(v, op, input + (first + begin) * channels, weights + begin * channels, end - begin, channels,
                     output);
        } else {
            output_4(v, op, input, weights, 0, channels, output); /* all of it is padding */
        }
        first += op->stride_w;
        output += channels;
    }
}

void eo_dsp_depthwise_conv_2d(const uint8_t *plan, const void *record, uint8_t *arena)
{
    const eo_op_conv *op = record;
    if (op->in_c != op->out_c || op->out_c < 4 || op->dilation_w != 1 ||
        !eo_sums_are_small(plan, op, (uint32_t)op->k_h * op->k_w)) {
        eo_portable_depthwise_conv_2d(plan, record, arena);
        return;
    }
    const int8_t *input = eo_values(arena, op->head.input), *weights = eo_values(plan, op->weights_at);
    int8_t *output = eo_places(arena, op->head.output);
    int32_t channels = op->out_c, line = op->in_w * channels;
    window v;
    v.clamped = eo_is_clamped(op);
    v.offset = eo_both_lanes(op->input_offset);
    v.x_row = op->dilation_h * line;
    v.w_row = op->k_w * channels;
    for (int32_t next = 0; next < channels; next += 4) {
        int32_t c = next + 4 <= channels ? next : channels - 4; /* the last four may repeat some */
        int8_t *to = output + c;
        eo_scaling_of(v.scaling, v.bias, plan, op, c);
        for (int32_t y = 0; y < op->out_h; y++) {
            eo_taps rows = eo_taps_inside(y, op->stride_h, op->pad_top, op->in_h, op->k_h, op->dilation_h);
            v.rows = rows.end - rows.begin;
            output_row(&v, op, input + (rows.first + rows.begin * op->dilation_h) * line + c,
                       weights + rows.begin * v.w_row + c, to);
            to += op->out_w * channels;
        }
    }
}
