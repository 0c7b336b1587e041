/* Opens a plan: after these checks no kernel can read or write outside of plan and arena, divide by zero or shift too
 * far, whatever the bytes say. Sizes are multiplied in 64 bits; four factors of 16 bits fit. */
#include <string.h>

#include "runtime/verify.h"

/* Far above any microcontroller's; keeps every index of the kernels within 31 bits. */
#define MOST_BYTES (1u << 30)
/* So that dilated rows, 255 apart at most, are counted in 31 bits too. */
#define MOST_ROW_BYTES (1u << 22)
/* So many int8 values can be added up in 32 bits. */
#define MOST_SUMMED (1u << 23)
/* So many exponentials can be added up with 12 integer bits. */
#define MOST_CLASSES 4095u

bool eo_in_arena(const eo_verifier *v, uint32_t at, uint64_t bytes)
{
    return at <= v->arena_bytes && bytes <= v->arena_bytes - at;
}

bool eo_in_plan(const eo_verifier *v, uint32_t at, uint64_t bytes, uint32_t alignment)
{
    return at % alignment == 0 && at <= v->plan_bytes && bytes <= v->plan_bytes - at;
}

bool eo_is_between(int32_t value, int32_t least, int32_t most)
{
    return value >= least && value <= most;
}

bool eo_is_scale(int32_t multiplier, int32_t shift)
{
    return multiplier >= 0 && eo_is_between(shift, -31, 30);
}

bool eo_are_scales(const eo_verifier *v, uint32_t count, uint32_t multipliers_at, uint32_t shifts_at)
{
    if (!eo_in_plan(v, multipliers_at, (uint64_t)count * 4, 4) || !eo_in_plan(v, shifts_at, count, 1)) {
        return false;
    }
    const int32_t *multipliers = (const void *)(v->bytes + multipliers_at);
    const int8_t *shifts = (const int8_t *)(v->bytes + shifts_at);
    for (uint32_t i = 0; i < count; i++) {
        if (!eo_is_scale(multipliers[i], shifts[i])) {
            return false;
        }
    }
    return true;
}

static bool is_bias(const eo_verifier *v, uint32_t at, uint32_t count)
{
    return at == 0 || eo_in_plan(v, at, (uint64_t)count * 4, 4);
}

static bool is_offset(int32_t value) /* minus a zero point */
{
    return eo_is_between(value, -127, 128);
}

static bool is_zero_point(int32_t value)
{
    return eo_is_between(value, INT8_MIN, INT8_MAX);
}

static bool check_conv(const eo_verifier *v, const void *record)
{
    const eo_op_conv *op = record;
    bool depthwise = op->head.code == EO_OP_DEPTHWISE_CONV_2D;
    uint64_t in = (uint64_t)op->in_h * op->in_w * op->in_c, out = (uint64_t)op->out_h * op->out_w * op->out_c;
    uint64_t weights = (uint64_t)op->k_h * op->k_w * op->out_c * (depthwise ? 1u : op->in_c);
    uint32_t scales = (op->head.flags & EO_OP_PER_CHANNEL) != 0 ? op->out_c : 1u;
    return in > 0 && out > 0 && weights > 0 && op->stride_h > 0 && op->stride_w > 0 && op->dilation_h > 0 &&
           op->dilation_w > 0 && (uint32_t)op->in_w * op->in_c <= MOST_ROW_BYTES &&
           (!depthwise || op->out_c % op->in_c == 0) && is_offset(op->input_offset) &&
           is_zero_point(op->output_offset) && eo_in_arena(v, op->head.input, in) &&
           eo_in_arena(v, op->head.output, out) && eo_in_plan(v, op->weights_at, weights, 1) &&
           is_bias(v, op->bias_at, op->out_c) && eo_are_scales(v, scales, op->multipliers_at, op->shifts_at);
}

static bool check_fully_connected(const eo_verifier *v, const void *record)
{
    const eo_op_fully_connected *op = record;
    uint32_t scales = (op->head.flags & EO_OP_PER_CHANNEL) != 0 ? op->out : 1u;
    return op->rows > 0 && op->in > 0 && op->out > 0 && is_offset(op->input_offset) &&
           is_zero_point(op->output_offset) && eo_in_arena(v, op->head.input, (uint64_t)op->rows * op->in) &&
           eo_in_arena(v, op->head.output, (uint64_t)op->rows * op->out) &&
           eo_in_plan(v, op->weights_at, (uint64_t)op->in * op->out, 1) && is_bias(v, op->bias_at, op->out) &&
           eo_are_scales(v, scales, op->multipliers_at, op->shifts_at);
}

static bool check_pool(const eo_verifier *v, const void *record)
{
    const eo_op_pool *op = record;
    uint64_t in = (uint64_t)op->in_h * op->in_w * op->channels, out = (uint64_t)op->out_h * op->out_w * op->channels;
    uint32_t window = (uint32_t)op->k_h * op->k_w;
    return in > 0 && out > 0 && window > 0 && window <= MOST_SUMMED && op->stride_h > 0 && op->stride_w > 0 &&
           eo_in_arena(v, op->head.input, in) && eo_in_arena(v, op->head.output, out);
}

static bool check_mean(const eo_verifier *v, const void *record)
{
    const eo_op_mean *op = record;
    /* each factor is bounded before the next joins, so that 64 bits hold the product */
    return op->outer > 0 && op->outer <= v->arena_bytes && op->inner > 0 && op->reduce > 0 &&
           op->reduce <= MOST_SUMMED && eo_in_arena(v, op->head.output, (uint64_t)op->outer * op->inner) &&
           eo_in_arena(v, op->head.input, (uint64_t)op->outer * op->inner * op->reduce) &&
           is_zero_point(op->input_zero_point) && is_zero_point(op->output_zero_point) &&
           eo_is_scale(op->multiplier, op->shift);
}

static bool check_operands(const eo_verifier *v, const eo_op_head *head, uint32_t other, uint32_t elements,
                           uint32_t other_elements)
{
    bool constant = (head->flags & EO_OP_CONSTANT_INPUT) != 0;
    return elements > 0 && other_elements > 0 && eo_in_arena(v, head->input, elements) &&
           eo_in_arena(v, head->output, elements) &&
           (constant ? eo_in_plan(v, other, other_elements, 1) : eo_in_arena(v, other, other_elements));
}

static bool check_add(const eo_verifier *v, const void *record)
{
    const eo_op_add *op = record;
    return check_operands(v, &op->head, op->other, op->elements, op->other_elements) &&
           is_offset(op->input_offset) && is_offset(op->other_offset) && is_zero_point(op->output_offset) &&
           eo_is_scale(op->input_multiplier, op->input_shift) && eo_is_scale(op->other_multiplier, op->other_shift) &&
           eo_is_scale(op->output_multiplier, op->output_shift) && eo_is_between(op->left_shift, 0, 30);
}

static bool check_mul(const eo_verifier *v, const void *record)
{
    const eo_op_mul *op = record;
    return check_operands(v, &op->head, op->other, op->elements, op->other_elements) &&
           is_offset(op->input_offset) && is_offset(op->other_offset) && is_zero_point(op->output_offset) &&
           eo_is_scale(op->multiplier, op->shift);
}

static bool check_softmax(const eo_verifier *v, const void *record)
{
    const eo_op_softmax *op = record;
    uint64_t values = (uint64_t)op->rows * op->depth;
    if (op->rows == 0 || op->depth == 0 || op->depth > MOST_CLASSES || !eo_in_arena(v, op->head.input, values) ||
        !eo_in_arena(v, op->head.output, values) || op->exp_count == 0 || op->exp_count > 256 ||
        !eo_in_plan(v, op->exps_at, (uint64_t)op->exp_count * 4, 4)) {
        return false;
    }
    const int32_t *exps = (const void *)(v->bytes + op->exps_at);
    for (uint32_t i = 0; i < op->exp_count; i++) {
        if (exps[i] < 0) {
            return false;
        }
    }
    return true;
}

static bool check_table(const eo_verifier *v, const void *record)
{
    const eo_op_table *op = record;
    return eo_in_arena(v, op->head.input, op->elements) && eo_in_arena(v, op->head.output, op->elements) &&
           eo_in_plan(v, op->table_at, 256, 1);
}

static bool check_fill(const eo_verifier *v, const void *record)
{
    const eo_op_fill *op = record;
    return eo_in_arena(v, op->head.output, op->bytes);
}

/* The lowest and the highest byte that a walk touches lie in 0..limit-1. */
static bool is_walk(uint32_t at, const uint32_t *sizes, const int32_t *strides, uint32_t unit, uint32_t limit)
{
    int64_t lowest = at, highest = (int64_t)at + unit;
    for (int i = 0; i < EO_MOVE_RANK; i++) {
        /* the sizes' product is at most 2**30, so that neither this nor the sum overflows */
        int64_t reach = (int64_t)(sizes[i] - 1) * strides[i];
        if (reach < 0) {
            lowest += reach;
        } else {
            highest += reach;
        }
    }
    return lowest >= 0 && highest <= (int64_t)limit;
}

static bool check_move(const eo_verifier *v, const void *record)
{
    const eo_op_move *op = record;
    bool constant = (op->head.flags & EO_OP_CONSTANT_INPUT) != 0;
    uint64_t bytes = op->unit;
    for (int i = 0; i < EO_MOVE_RANK; i++) {
        /* what is moved fits the arena, so that the work is bounded too */
        if (bytes == 0 || bytes > v->arena_bytes) {
            return false;
        }
        bytes *= op->sizes[i];
    }
    return bytes > 0 && bytes <= v->arena_bytes &&
           is_walk(op->head.input, op->sizes, op->input_strides, op->unit,
                   constant ? v->plan_bytes : v->arena_bytes) &&
           is_walk(op->head.output, op->sizes, op->output_strides, op->unit, v->arena_bytes);
}

static bool check_float(const eo_verifier *v, const void *record)
{
    const eo_op_quantize *op = record;
    uint64_t floats = (uint64_t)op->elements * 4, values = op->elements;
    bool quantize = op->head.code == EO_OP_QUANTIZE;
    return is_zero_point(op->zero_point) && eo_in_arena(v, op->head.input, quantize ? floats : values) &&
           eo_in_arena(v, op->head.output, quantize ? values : floats);
}

static const struct {
    uint16_t record_bytes;
    uint8_t flags; /* those that the op knows */
    bool (*check)(const eo_verifier *v, const void *record);
} CHECKS[EO_OP_END] = {
    [EO_OP_CONV_2D] = {sizeof(eo_op_conv), EO_OP_PER_CHANNEL, check_conv},
    [EO_OP_DEPTHWISE_CONV_2D] = {sizeof(eo_op_conv), EO_OP_PER_CHANNEL, check_conv},
    [EO_OP_FULLY_CONNECTED] = {sizeof(eo_op_fully_connected), EO_OP_PER_CHANNEL, check_fully_connected},
    [EO_OP_AVERAGE_POOL_2D] = {sizeof(eo_op_pool), 0, check_pool},
    [EO_OP_MAX_POOL_2D] = {sizeof(eo_op_pool), 0, check_pool},
    [EO_OP_MEAN] = {sizeof(eo_op_mean), 0, check_mean},
    [EO_OP_ADD] = {sizeof(eo_op_add), EO_OP_CONSTANT_INPUT | EO_OP_SUBTRACT, check_add},
    [EO_OP_MUL] = {sizeof(eo_op_mul), EO_OP_CONSTANT_INPUT, check_mul},
    [EO_OP_SOFTMAX] = {sizeof(eo_op_softmax), 0, check_softmax},
    [EO_OP_TABLE] = {sizeof(eo_op_table), 0, check_table},
    [EO_OP_FILL] = {sizeof(eo_op_fill), 0, check_fill},
    [EO_OP_MOVE] = {sizeof(eo_op_move), EO_OP_CONSTANT_INPUT, check_move},
    [EO_OP_QUANTIZE] = {sizeof(eo_op_quantize), 0, check_float},
    [EO_OP_DEQUANTIZE] = {sizeof(eo_op_quantize), 0, check_float},
    [EO_OP_SVDF] = {sizeof(eo_op_svdf), EO_OP_WIDE_STATE, eo_check_svdf},
    [EO_OP_LSTM] = {sizeof(eo_op_lstm), 0, eo_check_lstm},
};

static eo_status check_ops(const eo_verifier *v, const eo_plan_header *header)
{
    uint32_t left = header->ops_bytes;
    const uint8_t *record = v->bytes + header->ops_at;
    for (uint32_t i = 0; i < header->op_count; i++) {
        const eo_op_head *head = (const void *)record;
        if (left < sizeof *head || head->record_bytes % 4 != 0 || head->record_bytes > left) {
            return EO_MALFORMED;
        }
        if (head->code >= EO_OP_END || CHECKS[head->code].check == NULL ||
            (head->flags & ~CHECKS[head->code].flags) != 0) {
            return EO_UNSUPPORTED;
        }
        if (head->record_bytes < CHECKS[head->code].record_bytes) {
            return EO_MALFORMED;
        }
        if (!CHECKS[head->code].check(v, record)) {
            return EO_RANGE;
        }
        left -= head->record_bytes;
        record += head->record_bytes;
    }
    return left == 0 ? EO_OK : EO_MALFORMED;
}

static bool check_resets(const eo_verifier *v, const eo_plan_header *header)
{
    if (!eo_in_plan(v, header->resets_at, header->reset_count * (uint64_t)sizeof(eo_plan_reset), 4)) {
        return false;
    }
    const eo_plan_reset *resets = (const void *)(v->bytes + header->resets_at);
    for (uint32_t i = 0; i < header->reset_count; i++) {
        if (resets[i].at > header->state_bytes || resets[i].bytes > header->state_bytes - resets[i].at ||
            resets[i].value > 255) {
            return false;
        }
    }
    return true;
}

static bool check_border(const eo_verifier *v, const eo_plan_tensor *tensor)
{
    uint32_t width = tensor->type == EO_TYPE_INT8 ? 1 : tensor->type == EO_TYPE_INT16 ? 2 : 4;
    return eo_is_between(tensor->type, EO_TYPE_INT8, EO_TYPE_FLOAT32) && tensor->bytes > 0 &&
           tensor->at % width == 0 && tensor->bytes % width == 0 && eo_in_arena(v, tensor->at, tensor->bytes);
}

eo_status eo_plan_open(eo_plan *plan, const void *bytes, size_t size)
{
    eo_plan_header *header = &plan->header;
    if (bytes == NULL || (uintptr_t)bytes % 4 != 0) {
        return EO_ARGUMENT;
    }
    if (size < sizeof *header) {
        return EO_MALFORMED;
    }
    plan->bytes = bytes;
    memcpy(header, bytes, sizeof *header);
    if (header->magic != EO_PLAN_MAGIC) {
        return EO_MALFORMED;
    }
    if (header->format != EO_PLAN_FORMAT || header->rounding != EO_ROUNDING_TWICE) {
        return EO_UNSUPPORTED;
    }
    if (header->plan_bytes > size) {
        return EO_MALFORMED;
    }
    eo_verifier v = {bytes, header->plan_bytes, header->arena_bytes};
    if (header->plan_bytes > MOST_BYTES || header->arena_bytes > MOST_BYTES ||
        header->state_bytes > header->arena_bytes || !eo_in_plan(&v, header->ops_at, header->ops_bytes, 4) ||
        !check_resets(&v, header) || !check_border(&v, &header->input) || !check_border(&v, &header->output)) {
        return EO_RANGE;
    }
    return check_ops(&v, header);
}
