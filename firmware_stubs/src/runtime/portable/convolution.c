/* Convolution and fully connected: two output channels at a time share what they read of the input. */
#include "runtime/fixed_point.h"
#include "runtime/kernels.h"
#include "runtime/window.h"

typedef struct pair {
    uint32_t first, second; /* sums that may wrap */
} pair;

static inline pair dot(pair sums, const int8_t *x, const int8_t *first, const int8_t *second, int32_t count,
                       int32_t offset)
{
    for (int32_t i = 0; i < count; i++) {
        int32_t value = x[i] + offset;
        sums.first += (uint32_t)(value * first[i]);
        sums.second += (uint32_t)(value * second[i]);
    }
    return sums;
}

static void pixel(const uint8_t *plan, const eo_op_conv *op, const int8_t *input, int8_t *output, eo_taps rows,
                  eo_taps columns)
{
    const int32_t *bias = op->bias_at != 0 ? eo_words(plan, op->bias_at) : 0;
    const int32_t *multipliers = eo_words(plan, op->multipliers_at);
    const int8_t *shifts = eo_values(plan, op->shifts_at);
    int32_t per_channel = (op->head.flags & EO_OP_PER_CHANNEL) != 0;
    int32_t channels = op->in_c, kernel_row = op->k_w * channels;
    int32_t kernel = op->k_h * kernel_row, row = op->in_w * channels;
    int32_t taps = columns.end - columns.begin;
    /* neighbouring taps are neighbours in memory too, so a row of them is one run unless it is dilated */
    int32_t runs = op->dilation_w == 1 ? 1 : taps;
    int32_t length = op->dilation_w == 1 ? taps * channels : channels;
    const int8_t *from = input + (columns.first + columns.begin * op->dilation_w) * channels;
    const int8_t *weights = eo_values(plan, op->weights_at) + columns.begin * channels;

    for (int32_t c = 0; c < op->out_c; c += 2) {
        int32_t next = c + 1 < op->out_c ? c + 1 : c; /* an odd last channel is computed twice */
        const int8_t *first = weights + c * kernel, *second = weights + next * kernel;
        pair sums = {bias != 0 ? (uint32_t)bias[c] : 0u, bias != 0 ? (uint32_t)bias[next] : 0u};
        for (int32_t ky = rows.begin; ky < rows.end; ky++) {
            const int8_t *x = from + (rows.first + ky * op->dilation_h) * row;
            int32_t w = ky * kernel_row;
            for (int32_t run = 0; run < runs; run++) {
                sums = dot(sums, x, first + w, second + w, length, op->input_offset);
                x += op->dilation_w * channels;
                w += channels;
            }
        }
        for (int32_t i = c; i <= next; i++) {
            int32_t scaled = eo_rescale((int32_t)(i == c ? sums.first : sums.second), multipliers[per_channel * i],
                                        shifts[per_channel * i]);
            output[i] = (int8_t)eo_clamp(eo_wrap_add(scaled, op->output_offset), op->clamp_min, op->clamp_max);
        }
    }
}

void eo_portable_conv_2d(const uint8_t *plan, const void *record, uint8_t *arena)
{
    const eo_op_conv *op = record;
    const int8_t *input = eo_values(arena, op->head.input);
    int8_t *output = eo_places(arena, op->head.output);
    for (int32_t y = 0; y < op->out_h; y++) {
        eo_taps rows = eo_taps_inside(y, op->stride_h, op->pad_top, op->in_h, op->k_h, op->dilation_h);
        for (int32_t x = 0; x < op->out_w; x++) {
            eo_taps columns = eo_taps_inside(x, op->stride_w, op->pad_left, op->in_w, op->k_w, op->dilation_w);
            pixel(plan, op, input, output, rows, columns);
            output += op->out_c;
        }
    }
}

void eo_portable_fully_connected(const uint8_t *plan, const void *record, uint8_t *arena)
{
    const eo_op_fully_connected *op = record;
    eo_op_conv as_conv = {op->head, 1, op->rows, op->in, 1, op->rows, op->out, 1, 1, 1, 1, 1, 1, 0, 0,
                          op->input_offset, op->output_offset, op->clamp_min, op->clamp_max, 0,
                          op->weights_at, op->bias_at, op->multipliers_at, op->shifts_at};
    eo_portable_conv_2d(plan, &as_conv, arena);
}
