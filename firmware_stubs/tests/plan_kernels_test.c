/* Convolution, depthwise and fully connected of random geometry: a plain reading of plan.h, the portable kernels and
 * those for the DSP extension give the same bytes. Every plan and arena lies in memory of just its size, so that the
 * sanitized build sees a byte too much. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edgeops/runtime.h"

#define ROUNDS 4000
#define MOST_CHANNELS 24

typedef struct random {
    uint32_t state;
} random;

static int32_t draw(random *r, int32_t least, int32_t most)
{
    r->state ^= r->state << 13;
    r->state ^= r->state >> 17;
    r->state ^= r->state << 5;
    return least + (int32_t)(r->state % (uint32_t)(most - least + 1));
}

static void draw_bytes(random *r, uint8_t *bytes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        bytes[i] = (uint8_t)draw(r, 0, 255);
    }
}

/* The definition that plan.h refers to, with divisions instead of shifts. */
static int32_t rescale(int32_t sum, int32_t multiplier, int32_t shift)
{
    int64_t product = (int64_t)(int32_t)((uint32_t)sum << (shift > 0 ? shift : 0)) * multiplier;
    int64_t high = (product + (product >= 0 ? 1 << 30 : 1 - (1 << 30))) / ((int64_t)1 << 31);
    int64_t divisor = (int64_t)1 << (shift < 0 ? -shift : 0);
    int64_t rest = high % divisor, whole = high / divisor;
    return (int32_t)(whole + (2 * rest >= divisor ? divisor > 1 : 2 * rest <= -divisor ? -(divisor > 1) : 0));
}

static int8_t reference(const eo_op_conv *op, const uint8_t *plan, const int8_t *input, int y, int x, int c)
{
    int depthwise = op->head.code == EO_OP_DEPTHWISE_CONV_2D;
    const int8_t *weights = (const int8_t *)plan + op->weights_at;
    int32_t sum = 0, multiplier;
    if (op->bias_at != 0) {
        memcpy(&sum, plan + op->bias_at + 4 * c, sizeof sum);
    }
    for (int ky = 0; ky < op->k_h; ky++) {
        for (int kx = 0; kx < op->k_w; kx++) {
            int iy = y * op->stride_h - op->pad_top + ky * op->dilation_h;
            int ix = x * op->stride_w - op->pad_left + kx * op->dilation_w;
            if (iy < 0 || iy >= op->in_h || ix < 0 || ix >= op->in_w) {
                continue;
            }
            const int8_t *pixel = input + (iy * op->in_w + ix) * op->in_c;
            int tap = ky * op->k_w + kx;
            if (depthwise) {
                sum += (pixel[c / (op->out_c / op->in_c)] + op->input_offset) * weights[tap * op->out_c + c];
            }
            for (int i = 0; !depthwise && i < op->in_c; i++) {
                sum += (pixel[i] + op->input_offset) * weights[(c * op->k_h * op->k_w + tap) * op->in_c + i];
            }
        }
    }
    int scale = (op->head.flags & EO_OP_PER_CHANNEL) != 0 ? c : 0;
    memcpy(&multiplier, plan + op->multipliers_at + 4 * scale, sizeof multiplier);
    int32_t scaled = rescale(sum, multiplier, (int8_t)plan[op->shifts_at + (uint32_t)scale]) + op->output_offset;
    scaled = scaled < op->clamp_min ? op->clamp_min : scaled;
    return (int8_t)(scaled > op->clamp_max ? op->clamp_max : scaled);
}

static uint32_t place(uint32_t *at, uint32_t bytes)
{
    uint32_t from = *at;
    *at += (bytes + 3) & ~3u;
    return from;
}

/* A plan of one op; its constants are random. Returns its bytes, which the caller frees. */
static uint8_t *write_plan(random *r, eo_op_conv op, uint32_t *size, uint32_t *arena_bytes)
{
    int fully_connected = op.head.code == EO_OP_FULLY_CONNECTED;
    uint32_t per_weight = op.head.code == EO_OP_DEPTHWISE_CONV_2D ? 1 : op.in_c;
    uint32_t weights = (uint32_t)op.k_h * op.k_w * op.out_c * per_weight;
    uint32_t in = (uint32_t)op.in_h * op.in_w * op.in_c, out = (uint32_t)op.out_h * op.out_w * op.out_c;
    uint32_t at = sizeof(eo_plan_header) + sizeof op, arena = 0;
    eo_plan_header header = {0};
    op.head.record_bytes = sizeof op;
    op.head.input = place(&arena, in);
    op.head.output = arena;
    op.multipliers_at = place(&at, op.out_c * 4u);
    op.bias_at = draw(r, 0, 4) == 0 ? 0 : place(&at, op.out_c * 4u);
    op.shifts_at = place(&at, op.out_c);
    op.weights_at = at;
    *size = at + weights;
    *arena_bytes = arena + out;
    uint8_t *plan = malloc(*size);
    if (plan == NULL) {
        exit(1);
    }
    draw_bytes(r, plan, *size);
    int small_shifts = draw(r, 0, 9) > 0; /* otherwise also those that the fast path does not take */
    for (uint32_t c = 0; c < op.out_c; c++) {
        int32_t multiplier = draw(r, 1 << 30, INT32_MAX), bias = draw(r, -60000, 60000);
        int8_t shift = (int8_t)(small_shifts ? draw(r, -14, -4) : draw(r, -31, 3));
        bias = draw(r, 0, 60) == 0 ? draw(r, 600000000, 1000000000) : bias;
        memcpy(plan + op.multipliers_at + 4 * c, &multiplier, 4);
        plan[op.shifts_at + c] = (uint8_t)shift;
        if (op.bias_at != 0) {
            memcpy(plan + op.bias_at + 4 * c, &bias, 4);
        }
    }
    header.magic = EO_PLAN_MAGIC;
    header.format = EO_PLAN_FORMAT;
    header.rounding = EO_ROUNDING_TWICE;
    header.plan_bytes = *size;
    header.arena_bytes = *arena_bytes;
    header.ops_at = sizeof header;
    header.ops_bytes = sizeof op;
    header.op_count = 1;
    header.input = (eo_plan_tensor){op.head.input, in, 1.0f, 0, EO_TYPE_INT8, 0};
    header.output = (eo_plan_tensor){op.head.output, out, 1.0f, 0, EO_TYPE_INT8, 0};
    memcpy(plan + sizeof header, &op, sizeof op);
    if (fully_connected) {
        eo_op_fully_connected dense = {op.head, op.in_w, op.in_c, op.out_c, op.input_offset, op.output_offset,
                                       op.clamp_min, op.clamp_max, op.weights_at, op.bias_at, op.multipliers_at,
                                       op.shifts_at};
        memcpy(plan + sizeof header, &dense, sizeof dense); /* a longer record than needed is allowed */
    }
    memcpy(plan, &header, sizeof header);
    return plan;
}

static uint16_t outputs(random *r, int in, int k, int stride, int dilation, int pad)
{
    int reach = in + 2 * pad - (k - 1) * dilation - 1;
    int most = reach < 0 ? 1 : reach / stride + 1;
    return (uint16_t)(most + draw(r, 0, 1)); /* one more lies partly or wholly outside, which is allowed */
}

static eo_op_conv draw_op(random *r)
{
    eo_op_conv op = {0};
    op.head.code = (uint8_t)draw(r, EO_OP_CONV_2D, EO_OP_FULLY_CONNECTED);
    op.head.flags = (uint8_t)draw(r, 0, 1) * EO_OP_PER_CHANNEL;
    op.in_c = (uint16_t)draw(r, 1, MOST_CHANNELS);
    op.out_c = (uint16_t)draw(r, 1, MOST_CHANNELS);
    if (op.head.code == EO_OP_DEPTHWISE_CONV_2D) {
        op.out_c = (uint16_t)(op.in_c * (draw(r, 0, 3) == 0 ? draw(r, 1, 3) : 1));
    }
    op.in_h = op.head.code == EO_OP_FULLY_CONNECTED ? 1 : (uint16_t)draw(r, 1, 9);
    op.in_w = (uint16_t)draw(r, 1, 9);
    op.k_h = op.k_w = op.stride_h = op.stride_w = op.dilation_h = op.dilation_w = 1;
    op.out_h = op.in_h;
    op.out_w = op.in_w;
    if (op.head.code != EO_OP_FULLY_CONNECTED) {
        op.k_h = (uint16_t)draw(r, 1, 4);
        op.k_w = (uint16_t)draw(r, 1, 4);
        op.stride_h = (uint8_t)draw(r, 1, 3);
        op.stride_w = (uint8_t)draw(r, 1, 3);
        op.dilation_h = (uint8_t)(draw(r, 0, 3) == 0 ? 2 : 1);
        op.dilation_w = (uint8_t)(draw(r, 0, 3) == 0 ? 2 : 1);
        op.pad_top = (uint16_t)draw(r, 0, 3);
        op.pad_left = (uint16_t)draw(r, 0, 3);
        op.out_h = outputs(r, op.in_h, op.k_h, op.stride_h, op.dilation_h, op.pad_top);
        op.out_w = outputs(r, op.in_w, op.k_w, op.stride_w, op.dilation_w, op.pad_left);
    }
    op.input_offset = (int16_t)draw(r, -127, 128);
    op.output_offset = (int16_t)draw(r, -128, 127);
    op.clamp_min = (int8_t)(draw(r, 0, 2) == 0 ? draw(r, -128, 0) : -128);
    op.clamp_max = (int8_t)(draw(r, 0, 2) == 0 ? draw(r, 0, 127) : 127);
    return op;
}

static int run_round(random *r)
{
    uint32_t size, arena_bytes;
    eo_op_conv op = draw_op(r);
    uint8_t *plan_bytes = write_plan(r, op, &size, &arena_bytes);
    uint8_t *arena = malloc(arena_bytes), *again = malloc(arena_bytes);
    eo_plan plan;
    eo_status status = eo_plan_open(&plan, plan_bytes, size);
    int failed = arena == NULL || again == NULL || status != EO_OK;
    if (!failed) {
        draw_bytes(r, arena, arena_bytes);
        memcpy(again, arena, arena_bytes);
        failed = eo_plan_run_with(&plan, eo_kernels_portable, arena, arena_bytes) != EO_OK ||
                 eo_plan_run_with(&plan, eo_kernels_dsp, again, arena_bytes) != EO_OK ||
                 memcmp(arena, again, arena_bytes) != 0;
    }
    if (!failed) {
        const int8_t *output = (const int8_t *)eo_plan_output(&plan, arena);
        if (op.head.code == EO_OP_FULLY_CONNECTED) {
            eo_op_fully_connected dense;
            memcpy(&dense, plan_bytes + plan.header.ops_at, sizeof dense);
            op.weights_at = dense.weights_at, op.bias_at = dense.bias_at;
            op.multipliers_at = dense.multipliers_at, op.shifts_at = dense.shifts_at;
        } else {
            memcpy(&op, plan_bytes + plan.header.ops_at, sizeof op);
        }
        for (int i = 0; i < op.out_h * op.out_w * op.out_c; i++) {
            int pixel = i / op.out_c;
            failed |= output[i] != reference(&op, plan_bytes, (const int8_t *)arena, pixel / op.out_w,
                                             pixel % op.out_w, i % op.out_c);
        }
    }
    if (failed) {
        printf("code %d, %dx%dx%d to %dx%dx%d, kernel %dx%d: %s\n", op.head.code, op.in_h, op.in_w, op.in_c, op.out_h,
               op.out_w, op.out_c, op.k_h, op.k_w, status == EO_OK ? "outputs differ" : eo_status_text(status));
    }
    free(again);
    free(arena);
    free(plan_bytes);
    return failed;
}

int main(void)
{
    random r = {2463534242u};
    int failures = 0;
    for (int round = 0; round < ROUNDS && failures < 10; round++) {
        failures += run_round(&r);
    }
    return failures != 0;
}
