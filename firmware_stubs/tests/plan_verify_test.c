/* What eo_plan_open refuses: one field of a sound plan is changed at a time. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "edgeops/runtime.h"

#define HEADER(field) ((uint32_t)offsetof(eo_plan_header, field))
#define RESET(field) ((uint32_t)(offsetof(sound_plan, reset) + offsetof(eo_plan_reset, field)))
#define OP(op, field) ((uint32_t)(offsetof(sound_plan, op) + offsetof(eo_op_##op, field)))

typedef eo_op_conv eo_op_depthwise; /* so that OP() finds its fields */

typedef struct sound_plan {
    eo_plan_header header;
    eo_op_conv conv, depthwise;
    eo_op_fully_connected fully_connected;
    eo_op_pool pool;
    eo_op_mean mean;
    eo_op_add add;
    eo_op_mul mul;
    eo_op_softmax softmax;
    eo_op_table table;
    eo_op_fill fill;
    eo_op_move move;
    eo_op_svdf svdf;
    eo_op_lstm lstm;
    eo_op_quantize quantize;
    eo_plan_reset reset;
    int32_t exps[256];
    int32_t multipliers[16], bias[16];
    int8_t shifts[16];
    int8_t constants[256];
} sound_plan;

#define ARENA 4096u

static const eo_op_conv conv_of_4x4 = {.in_h = 4, .in_w = 4, .in_c = 8, .out_h = 4, .out_w = 4, .out_c = 8, .k_h = 1,
                                       .k_w = 1, .stride_h = 1, .stride_w = 1, .dilation_h = 1, .dilation_w = 1,
                                       .clamp_min = -128, .clamp_max = 127,
                                       .weights_at = offsetof(sound_plan, constants),
                                       .bias_at = offsetof(sound_plan, bias),
                                       .multipliers_at = offsetof(sound_plan, multipliers),
                                       .shifts_at = offsetof(sound_plan, shifts)};

static void write_sound_plan(sound_plan *p)
{
    static const struct {
        size_t at;
        uint16_t bytes;
        uint8_t code, flags;
    } ops[] = {
#define RECORD(name, code, flags) {offsetof(sound_plan, name), sizeof(((sound_plan *)0)->name), code, flags}
        RECORD(conv, EO_OP_CONV_2D, EO_OP_PER_CHANNEL),
        RECORD(depthwise, EO_OP_DEPTHWISE_CONV_2D, EO_OP_PER_CHANNEL),
        RECORD(fully_connected, EO_OP_FULLY_CONNECTED, 0),
        RECORD(pool, EO_OP_AVERAGE_POOL_2D, 0),
        RECORD(mean, EO_OP_MEAN, 0),
        RECORD(add, EO_OP_ADD, 0),
        RECORD(mul, EO_OP_MUL, EO_OP_CONSTANT_INPUT),
        RECORD(softmax, EO_OP_SOFTMAX, 0),
        RECORD(table, EO_OP_TABLE, 0),
        RECORD(fill, EO_OP_FILL, 0),
        RECORD(move, EO_OP_MOVE, 0),
        RECORD(svdf, EO_OP_SVDF, EO_OP_WIDE_STATE),
        RECORD(lstm, EO_OP_LSTM, 0),
        RECORD(quantize, EO_OP_QUANTIZE, 0),
    };
    memset(p, 0, sizeof *p);
    p->header = (eo_plan_header){.magic = EO_PLAN_MAGIC, .format = EO_PLAN_FORMAT, .rounding = EO_ROUNDING_TWICE,
                                 .plan_bytes = sizeof *p, .arena_bytes = ARENA, .state_bytes = 64,
                                 .ops_at = offsetof(sound_plan, conv),
                                 .ops_bytes = offsetof(sound_plan, reset) - offsetof(sound_plan, conv),
                                 .op_count = sizeof ops / sizeof ops[0], .reset_count = 1,
                                 .resets_at = offsetof(sound_plan, reset),
                                 .input = {0, 256, 1.0f, 0, EO_TYPE_INT8, 0},
                                 .output = {1024, 256, 1.0f, 0, EO_TYPE_FLOAT32, 0}};
    p->conv = conv_of_4x4;
    p->depthwise = conv_of_4x4;
    p->fully_connected = (eo_op_fully_connected){.rows = 2, .in = 8, .out = 8, .clamp_max = 127,
                                                 .weights_at = offsetof(sound_plan, constants),
                                                 .multipliers_at = offsetof(sound_plan, multipliers),
                                                 .shifts_at = offsetof(sound_plan, shifts)};
    p->pool = (eo_op_pool){.in_h = 4, .in_w = 4, .channels = 8, .out_h = 2, .out_w = 2, .k_h = 2, .k_w = 2,
                           .stride_h = 2, .stride_w = 2, .clamp_max = 127};
    p->mean = (eo_op_mean){.outer = 2, .reduce = 4, .inner = 8, .multiplier = 1 << 30};
    p->add = (eo_op_add){.other = 512, .elements = 64, .other_elements = 64, .clamp_max = 127, .left_shift = 20};
    p->mul = (eo_op_mul){.other = offsetof(sound_plan, constants), .elements = 64, .other_elements = 8};
    p->softmax = (eo_op_softmax){.rows = 2, .depth = 16, .exps_at = offsetof(sound_plan, exps), .exp_count = 256};
    p->table = (eo_op_table){.elements = 64, .table_at = offsetof(sound_plan, constants)};
    p->fill = (eo_op_fill){.bytes = 64};
    p->move = (eo_op_move){.unit = 4, .sizes = {1, 1, 2, 2, 2}, .input_strides = {0, 0, 32, -16, 4},
                           .output_strides = {0, 0, 16, 8, 4}};
    p->svdf = (eo_op_svdf){.state = 0, .in = 4, .filters = 6, .memory = 5, .rank = 2,
                           .feature_weights_at = offsetof(sound_plan, constants),
                           .time_weights_at = offsetof(sound_plan, constants)};
    eo_lstm_gate gate = {.input_weights_at = offsetof(sound_plan, constants),
                         .hidden_weights_at = offsetof(sound_plan, constants)};
    p->lstm = (eo_op_lstm){.hidden = 2048, .cell = 2080, .sigmoids_at = offsetof(sound_plan, exps), .steps = 3, .in = 4,
                           .units = 8, .forget = gate, .input = gate, .candidate = gate, .output = gate};
    p->quantize = (eo_op_quantize){.elements = 16, .scale = 1.0f};
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        eo_op_head head = {ops[i].code, ops[i].flags, ops[i].bytes, 0, 1024};
        head.input = ops[i].code == EO_OP_MOVE ? 16 : 0;
        memcpy((uint8_t *)p + ops[i].at, &head, sizeof head);
    }
    p->reset = (eo_plan_reset){0, 64, 255};
    for (int i = 0; i < 16; i++) {
        p->multipliers[i] = 1 << 30;
        p->shifts[i] = -3;
    }
    p->exps[0] = INT32_MAX;
}

typedef struct change {
    uint32_t at;
    uint32_t bytes; /* of the field */
    uint32_t value;
    eo_status status;
} change;

#define MINUS_ONE 0xFFFFFFFFu

static const change CHANGES[] = {
    {HEADER(magic), 4, 0, EO_MALFORMED},
    {HEADER(format), 2, 2, EO_UNSUPPORTED},
    {HEADER(rounding), 1, 2, EO_UNSUPPORTED},
    {HEADER(plan_bytes), 4, sizeof(sound_plan) + 1, EO_MALFORMED},
    {HEADER(plan_bytes), 4, sizeof(sound_plan) - 1, EO_RANGE}, /* the last constant is cut off */
    {HEADER(arena_bytes), 4, MINUS_ONE, EO_RANGE},
    {HEADER(arena_bytes), 4, 64, EO_RANGE},
    {HEADER(state_bytes), 4, ARENA + 1, EO_RANGE},
    {HEADER(ops_at), 4, offsetof(sound_plan, conv) + 2, EO_RANGE},
    {HEADER(ops_bytes), 4, MINUS_ONE, EO_RANGE},
    {HEADER(ops_bytes), 4, 8, EO_MALFORMED},
    {HEADER(op_count), 2, 15, EO_MALFORMED},
    {HEADER(op_count), 2, 13, EO_MALFORMED},
    {HEADER(resets_at), 4, sizeof(sound_plan) - 8, EO_RANGE},
    {HEADER(input.at), 4, ARENA - 255, EO_RANGE},
    {HEADER(input.bytes), 4, 0, EO_RANGE},
    {HEADER(input.type), 1, 0, EO_RANGE},
    {HEADER(input.type), 1, 4, EO_RANGE},
    {HEADER(output.at), 4, 1026, EO_RANGE}, /* float32 */
    {RESET(at), 4, 1, EO_RANGE},
    {RESET(bytes), 4, MINUS_ONE, EO_RANGE},
    {RESET(value), 4, 256, EO_RANGE},
    {OP(conv, head.code), 1, 0, EO_UNSUPPORTED},
    {OP(conv, head.code), 1, EO_OP_END, EO_UNSUPPORTED},
    {OP(conv, head.flags), 1, EO_OP_CONSTANT_INPUT, EO_UNSUPPORTED},
    {OP(conv, head.record_bytes), 2, sizeof(eo_op_conv) - 4, EO_MALFORMED},
    {OP(conv, head.record_bytes), 2, sizeof(eo_op_conv) + 2, EO_MALFORMED},
    {OP(quantize, head.record_bytes), 2, 0xFFFC, EO_MALFORMED},
    {OP(conv, head.input), 4, ARENA - 127, EO_RANGE},
    {OP(conv, head.output), 4, MINUS_ONE, EO_RANGE},
    {OP(conv, in_h), 2, 0, EO_RANGE},
    {OP(conv, in_c), 2, 0xFFFF, EO_RANGE},
    {OP(conv, out_w), 2, 0xFFFF, EO_RANGE},
    {OP(conv, k_h), 2, 0, EO_RANGE},
    {OP(conv, k_w), 2, 0xFFFF, EO_RANGE},
    {OP(conv, stride_h), 1, 0, EO_RANGE},
    {OP(conv, stride_w), 1, 0, EO_RANGE},
    {OP(conv, dilation_h), 1, 0, EO_RANGE},
    {OP(conv, dilation_w), 1, 0, EO_RANGE},
    {OP(conv, input_offset), 2, 129, EO_RANGE},
    {OP(conv, output_offset), 2, 128, EO_RANGE},
    {OP(conv, weights_at), 4, sizeof(sound_plan) - 63, EO_RANGE},
    {OP(conv, bias_at), 4, sizeof(sound_plan) - 28, EO_RANGE},
    {OP(conv, bias_at), 4, offsetof(sound_plan, bias) + 2, EO_RANGE},
    {OP(conv, multipliers_at), 4, MINUS_ONE - 3, EO_RANGE},
    {OP(conv, shifts_at), 4, sizeof(sound_plan) - 7, EO_RANGE},
    {offsetof(sound_plan, shifts) + 7, 1, 31, EO_RANGE},
    {offsetof(sound_plan, shifts) + 7, 1, 0xE0, EO_RANGE},
    {offsetof(sound_plan, multipliers) + 28, 4, MINUS_ONE, EO_RANGE},
    {OP(depthwise, in_c), 2, 3, EO_RANGE}, /* 8 output channels are no multiple of it */
    {OP(fully_connected, rows), 2, 0, EO_RANGE},
    {OP(fully_connected, rows), 2, 0xFFFF, EO_RANGE},
    {OP(fully_connected, out), 2, 0xFFFF, EO_RANGE},
    {OP(fully_connected, bias_at), 4, sizeof(sound_plan), EO_RANGE},
    {OP(pool, channels), 2, 0, EO_RANGE},
    {OP(pool, out_h), 2, 0xFFFF, EO_RANGE},
    {OP(pool, k_h), 2, 0, EO_RANGE},
    {OP(pool, stride_w), 1, 0, EO_RANGE},
    {OP(mean, outer), 4, MINUS_ONE, EO_RANGE},
    {OP(mean, reduce), 4, 0, EO_RANGE},
    {OP(mean, reduce), 4, MINUS_ONE, EO_RANGE},
    {OP(mean, inner), 4, 0x40000000u, EO_RANGE},
    {OP(mean, multiplier), 4, MINUS_ONE, EO_RANGE},
    {OP(mean, shift), 4, 31, EO_RANGE},
    {OP(mean, input_zero_point), 2, 128, EO_RANGE},
    {OP(add, other), 4, ARENA - 63, EO_RANGE},
    {OP(add, other_elements), 4, 0, EO_RANGE},
    {OP(add, elements), 4, MINUS_ONE, EO_RANGE},
    {OP(add, left_shift), 4, 31, EO_RANGE},
    {OP(add, output_shift), 4, (uint32_t)-32, EO_RANGE},
    {OP(add, other_multiplier), 4, 0x80000000u, EO_RANGE},
    {OP(mul, other), 4, sizeof(sound_plan) - 7, EO_RANGE},
    {OP(mul, output_offset), 2, 128, EO_RANGE},
    {OP(softmax, rows), 4, MINUS_ONE, EO_RANGE},
    {OP(softmax, depth), 4, 0, EO_RANGE},
    {OP(softmax, exp_count), 4, 0, EO_RANGE},
    {OP(softmax, exp_count), 4, 257, EO_RANGE},
    {OP(softmax, exps_at), 4, sizeof(sound_plan) - 512, EO_RANGE},
    {offsetof(sound_plan, exps), 4, MINUS_ONE, EO_RANGE},
    {OP(table, table_at), 4, sizeof(sound_plan) - 255, EO_RANGE},
    {OP(table, elements), 4, ARENA, EO_RANGE},
    {OP(fill, bytes), 4, ARENA, EO_RANGE},
    {OP(move, unit), 4, 0, EO_RANGE},
    {OP(move, sizes), 4, MINUS_ONE, EO_RANGE},
    {OP(move, sizes) + 8, 4, 0, EO_RANGE},
    {OP(move, head.input), 4, 15, EO_RANGE}, /* one stride goes 16 bytes back */
    {OP(move, input_strides) + 8, 4, ARENA - 20, EO_RANGE},
    {OP(move, output_strides) + 8, 4, 0x80000000u, EO_RANGE},
    {OP(svdf, rank), 2, 0, EO_RANGE},
    {OP(svdf, rank), 2, 4, EO_RANGE},
    {OP(svdf, memory), 2, 0, EO_RANGE},
    {OP(svdf, memory), 2, 0xFFFF, EO_RANGE},
    {OP(svdf, state), 4, 1, EO_RANGE}, /* int16 */
    {OP(svdf, state), 4, ARENA - 59, EO_RANGE},
    {OP(svdf, time_weights_at), 4, sizeof(sound_plan) - 58, EO_RANGE},
    {OP(svdf, feature_weights_at), 4, sizeof(sound_plan) - 23, EO_RANGE},
    {OP(svdf, bias_at), 4, sizeof(sound_plan) - 8, EO_RANGE},
    {OP(svdf, time_shift), 4, 31, EO_RANGE},
    {OP(svdf, state_zero_point), 2, 0x7FFF, EO_RANGE},
    {OP(lstm, steps), 2, 0, EO_RANGE},
    {OP(lstm, steps), 2, 0xFFFF, EO_RANGE},
    {OP(lstm, units), 2, 0xFFFF, EO_RANGE},
    {OP(lstm, hidden), 4, ARENA - 7, EO_RANGE},
    {OP(lstm, cell), 4, 2081, EO_RANGE},
    {OP(lstm, sigmoids_at), 4, sizeof(sound_plan) - 510, EO_RANGE},
    {OP(lstm, cell_multiplier), 4, 65536, EO_RANGE},
    {OP(lstm, cell_shift), 4, 32, EO_RANGE},
    {OP(lstm, output.hidden_weights_at), 4, sizeof(sound_plan) - 63, EO_RANGE},
    {OP(lstm, candidate.bias_at), 4, 2, EO_RANGE},
    {OP(lstm, input.input_shift), 4, 31, EO_RANGE},
    {OP(quantize, elements), 4, ARENA / 4 + 1, EO_RANGE},
    {OP(quantize, zero_point), 4, 128, EO_RANGE},
};

static union {
    sound_plan plan;
    uint8_t bytes[sizeof(sound_plan) + 4];
} memory;
static uint32_t arena[ARENA / 4 + 1];

static int expect(const char *what, size_t number, eo_status got, eo_status wanted)
{
    if (got != wanted) {
        printf("%s %lu: \"%s\" instead of \"%s\"\n", what, (unsigned long)number, eo_status_text(got),
               eo_status_text(wanted));
    }
    return got != wanted;
}

static int check_arguments(void)
{
    eo_plan plan;
    int failures = expect("a sound plan", 0, eo_plan_open(&plan, memory.bytes, sizeof memory), EO_OK);
    failures += expect("no plan", 0, eo_plan_open(&plan, NULL, 4), EO_ARGUMENT);
    failures += expect("an odd address", 0, eo_plan_open(&plan, memory.bytes + 2, sizeof(sound_plan)), EO_ARGUMENT);
    failures += expect("an empty plan", 0, eo_plan_open(&plan, memory.bytes, 0), EO_MALFORMED);
    failures += eo_plan_open(&plan, memory.bytes, sizeof(sound_plan)) != EO_OK;
    failures += expect("a run", 0, eo_plan_run(&plan, arena, ARENA), EO_OK);
    failures += expect("a small arena", 0, eo_plan_run(&plan, arena, ARENA - 1), EO_TOO_SMALL);
    failures += expect("an odd arena", 0, eo_plan_run(&plan, (uint8_t *)arena + 2, ARENA), EO_ARGUMENT);
    eo_kernel few[EO_OP_END];
    memcpy(few, eo_kernels_portable, sizeof few);
    few[EO_OP_MUL] = NULL;
    failures += expect("a kernel left out", 0, eo_plan_run_with(&plan, few, arena, ARENA), EO_UNSUPPORTED);
    memset(arena, 7, sizeof arena);
    failures += expect("a reset", 0, eo_plan_reset_state(&plan, arena, ARENA), EO_OK);
    failures += expect("the state's bytes", 0, ((uint8_t *)arena)[63] == 255 ? EO_OK : EO_RANGE, EO_OK);
    failures += expect("what is no state", 0, ((uint8_t *)arena)[64] == 7 ? EO_OK : EO_RANGE, EO_OK);
    return failures;
}

static int check_seam(void)
{
    static int8_t input[256];
    static int8_t output[256];
    eo_plan_infer infer;
    size_t bytes = 0;
    int failures = expect("the seam's arena", 0,
                          eo_plan_runtime.arena_bytes(&infer, memory.bytes, sizeof(sound_plan), &bytes), EO_OK);
    failures += expect("the arena's size", bytes, bytes == ARENA ? EO_OK : EO_RANGE, EO_OK);
    failures += expect("the seam's small arena", 0,
                       eo_plan_runtime.open(&infer, memory.bytes, sizeof(sound_plan), arena, ARENA - 4), EO_TOO_SMALL);
    failures += expect("a run before open", 0, eo_plan_runtime.run(&infer, input, 256, output, 256), EO_ARGUMENT);
    failures += expect("the seam's open", 0,
                       eo_plan_runtime.open(&infer, memory.bytes, sizeof(sound_plan), arena, ARENA), EO_OK);
    failures += expect("a short input", 0, eo_plan_runtime.run(&infer, input, 255, output, 256), EO_ARGUMENT);
    failures += expect("the seam's run", 0, eo_plan_runtime.run(&infer, input, 256, output, 256), EO_OK);
    return failures;
}

/* Rows of an image have at most 2**22 bytes, whatever the arena: kernels count in 31 bits how far dilated ones lie
 * apart. */
static int check_wide_rows(void)
{
    static union {
        sound_plan plan;
        uint8_t bytes[8192]; /* so many that the weights of 4,096 channels are inside */
    } large;
    int failures = 0;
    for (uint16_t width = 1024; width <= 1025; width++) {
        eo_plan plan;
        write_sound_plan(&large.plan);
        large.plan.header.plan_bytes = sizeof large;
        large.plan.header.arena_bytes = 1u << 25;
        large.plan.depthwise.head.flags = 0;
        large.plan.depthwise.in_h = large.plan.depthwise.out_h = large.plan.depthwise.out_w = 1;
        large.plan.depthwise.in_w = width;
        large.plan.depthwise.in_c = large.plan.depthwise.out_c = 4096;
        large.plan.depthwise.weights_at = large.plan.depthwise.bias_at = 0;
        failures += expect("a row", width, eo_plan_open(&plan, &large, sizeof large), width == 1024 ? EO_OK : EO_RANGE);
    }
    return failures;
}

int main(void)
{
    write_sound_plan(&memory.plan);
    int failures = check_arguments() + check_seam() + check_wide_rows();
    for (size_t i = 0; i < sizeof CHANGES / sizeof CHANGES[0]; i++) {
        eo_plan plan;
        write_sound_plan(&memory.plan);
        memcpy(memory.bytes + CHANGES[i].at, &CHANGES[i].value, CHANGES[i].bytes);
        failures += expect("change", i, eo_plan_open(&plan, memory.bytes, sizeof(sound_plan)), CHANGES[i].status);
    }
    return failures != 0;
}
