/* Convolution and fully connected, one output pixel by four output channels at a time. Each row of a kernel is one run
 * of bytes in the input and in the weights, also at the borders, so nothing is copied together first. */
#include "runtime/dsp/products.h"
#include "runtime/dsp/scaling.h"
#include "runtime/window.h"

/* Kept in memory, so that the inner loop has the registers. */
typedef struct window {
    eo_scaling scaling[4];
    uint32_t bias[4];
    int32_t kernel; /* bytes of one output channel's weights */
    int32_t rows, x_row, w_row; /* how many, and from one to the next */
    uint32_t offset;
    bool clamped;
} window;

static inline void output_4(const window *v, const eo_op_conv *op, const int8_t *x, const int8_t *w, int32_t run,
                            int8_t *output)
{
    eo_sums_4 s = {v->bias[0], v->bias[1], v->bias[2], v->bias[3]};
    for (int32_t row = v->rows; row > 0; row--) {
        s = eo_multiply_run(s, x, w, v->kernel, run, v->offset);
        x += v->x_row;
        w += v->w_row;
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
    int32_t channels = op->in_c, first = -op->pad_left, last = op->in_w - op->k_w;
    for (int32_t left = op->out_w; left > 0; left--) {
        int32_t begin = first < 0 ? -first : 0, end = first > last ? op->in_w - first : op->k_w;
        if (begin < end) {
            output_4(v, op, input + (first + begin) * channels, weights + begin * channels, (end - begin) * channels,
                     output);
        } else {
            output_4(v, op, input, weights, 0, output); /* all of it is padding */
        }
        first += op->stride_w;
        output += op->out_c;
    }
}

void eo_dsp_conv_2d(const uint8_t *plan, const void *record, uint8_t *arena)
{
    const eo_op_conv *op = record;
    if (op->out_c < 4 || op->dilation_w != 1 ||
        !eo_sums_are_small(plan, op, (uint32_t)op->k_h * op->k_w * op->in_c)) {
        eo_portable_conv_2d(plan, record, arena);
        return;
    }
    const int8_t *input = eo_values(arena, op->head.input), *weights = eo_values(plan, op->weights_at);
    int8_t *output = eo_places(arena, op->head.output);
    int32_t line = op->in_w * op->in_c;
    window v;
    v.clamped = eo_is_clamped(op);
    v.offset = eo_both_lanes(op->input_offset);
    v.x_row = op->dilation_h * line;
    v.w_row = op->k_w * op->in_c;
    v.kernel = op->k_h * v.w_row;
    for (int32_t next = 0; next < op->out_c; next += 4) {
        int32_t c = next + 4 <= op->out_c ? next : op->out_c - 4; /* the last four may repeat some */
        int8_t *to = output + c;
        eo_scaling_of(v.scaling, v.bias, plan, op, c);
        for (int32_t y = 0; y < op->out_h; y++) {
            eo_taps rows = eo_taps_inside(y, op->stride_h, op->pad_top, op->in_h, op->k_h, op->dilation_h);
            v.rows = rows.end - rows.begin;
            output_row(&v, op, input + (rows.first + rows.begin * op->dilation_h) * line,
                       weights + c * v.kernel + rows.begin * v.w_row, to);
            to += op->out_w * op->out_c;
        }
    }
}

void eo_dsp_fully_connected(const uint8_t *plan, const void *record, uint8_t *arena)
{
    const eo_op_fully_connected *op = record;
    eo_op_conv as_conv = {op->head, 1, op->rows, op->in, 1, op->rows, op->out, 1, 1, 1, 1, 1, 1, 0, 0,
                          op->input_offset, op->output_offset, op->clamp_min, op->clamp_max, 0,
                          op->weights_at, op->bias_at, op->multipliers_at, op->shifts_at};
    eo_dsp_conv_2d(plan, &as_conv, arena);
}
