/* Average and maximum over a window; the scale stays, so no multiplier is needed. */
#include "runtime/fixed_point.h"
#include "runtime/kernels.h"
#include "runtime/window.h"

static int8_t average(int32_t sum, int32_t count, int32_t least, int32_t most)
{
    int32_t half = sum > 0 ? count / 2 : -(count / 2); /* rounded half away from zero */
    return (int8_t)eo_clamp(count > 0 ? (sum + half) / count : 0, least, most);
}

static inline void pool(const eo_op_pool *op, uint8_t *arena, int is_average)
{
    const int8_t *input = eo_values(arena, op->head.input);
    int8_t *output = eo_places(arena, op->head.output);
    int32_t channels = op->channels;
    for (int32_t y = 0; y < op->out_h; y++) {
        eo_taps rows = eo_taps_inside(y, op->stride_h, op->pad_top, op->in_h, op->k_h, 1);
        for (int32_t x = 0; x < op->out_w; x++) {
            eo_taps columns = eo_taps_inside(x, op->stride_w, op->pad_left, op->in_w, op->k_w, 1);
            int32_t height = rows.end - rows.begin;
            int32_t width = columns.end - columns.begin;
            int32_t corner = ((rows.first + rows.begin) * op->in_w + columns.first + columns.begin) * channels;
            for (int32_t c = 0; c < channels; c++) {
                int32_t sum = 0, most = INT8_MIN;
                for (int32_t ky = 0; ky < height; ky++) {
                    int32_t at = corner + ky * op->in_w * channels + c;
                    for (int32_t kx = 0; kx < width; kx++, at += channels) {
                        sum += input[at];
                        most = input[at] > most ? input[at] : most;
                    }
                }
                *output++ = is_average ? average(sum, height * width, op->clamp_min, op->clamp_max)
                                       : (int8_t)eo_clamp(most, op->clamp_min, op->clamp_max);
            }
        }
    }
}

void eo_portable_average_pool_2d(const uint8_t *plan, const void *record, uint8_t *arena)
{
    (void)plan;
    pool(record, arena, 1);
}

void eo_portable_max_pool_2d(const uint8_t *plan, const void *record, uint8_t *arena)
{
    (void)plan;
    pool(record, arena, 0);
}
