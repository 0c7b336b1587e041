/* The execution plan: position-independent data that is run in place from flash.
 *
 * Little-endian. A header, then op records one after the other, then constants. Every `*_at` that names a constant
 * counts bytes from the plan's first byte, every other place counts bytes from the arena's. The plan lies at an
 * address that is a multiple of 4, and so does the arena. int32 tables begin at multiples of 4. Written by
 * `edgeops compile` (edgeops/compile/plan_format.py mirrors these structures; a test compares every offset). */
#ifndef EDGEOPS_PLAN_H
#define EDGEOPS_PLAN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EO_PLAN_MAGIC 0x4C504F45u /* "EOPL" */
#define EO_PLAN_FORMAT 1u

/* How accumulators become int8 again. TWICE: a saturating doubling high multiplication, rounded, then a shift that
 * rounds half away from zero, as TensorFlow Lite Micro does by default. */
typedef enum eo_plan_rounding { EO_ROUNDING_TWICE = 1 } eo_plan_rounding;

typedef enum eo_plan_type { EO_TYPE_INT8 = 1, EO_TYPE_INT16 = 2, EO_TYPE_FLOAT32 = 3 } eo_plan_type;

typedef enum eo_op_code {
    EO_OP_CONV_2D = 1,
    EO_OP_DEPTHWISE_CONV_2D = 2,
    EO_OP_FULLY_CONNECTED = 3,
    EO_OP_AVERAGE_POOL_2D = 4,
    EO_OP_MAX_POOL_2D = 5,
    EO_OP_MEAN = 6,
    EO_OP_ADD = 7,
    EO_OP_MUL = 8,
    EO_OP_SOFTMAX = 9,
    EO_OP_TABLE = 10,   /* int8 to int8 by 256 values: logistic, tanh, relu, relu6, requantize */
    EO_OP_FILL = 11,    /* with one value: what PAD adds */
    EO_OP_MOVE = 12,    /* a strided copy: PAD, CONCATENATION, STRIDED_SLICE, TRANSPOSE, broadcasting */
    EO_OP_QUANTIZE = 13,
    EO_OP_DEQUANTIZE = 14,
    EO_OP_SVDF = 15,
    EO_OP_LSTM = 16,
    EO_OP_END = 17      /* one past the last */
} eo_op_code;

/* One tensor at the plan's border. */
typedef struct eo_plan_tensor {
    uint32_t at; /* in the arena */
    uint32_t bytes;
    float scale; /* 0 for float32 */
    int16_t zero_point;
    uint8_t type; /* eo_plan_type */
    uint8_t reserved;
} eo_plan_tensor;

typedef struct eo_plan_header {
    uint32_t magic;
    uint16_t format;
    uint8_t rounding; /* eo_plan_rounding */
    uint8_t reserved;
    uint32_t plan_bytes;
    uint32_t arena_bytes;
    uint32_t state_bytes; /* the arena's first bytes keep their values from one inference to the next */
    uint32_t ops_at;
    uint32_t ops_bytes;
    uint16_t op_count;
    uint16_t reset_count;
    uint32_t resets_at; /* eo_plan_reset[reset_count]: what the state begins as */
    uint32_t macs;      /* of one inference */
    eo_plan_tensor input;
    eo_plan_tensor output;
} eo_plan_header;

typedef struct eo_plan_reset {
    uint32_t at; /* in the arena, within state_bytes */
    uint32_t bytes;
    uint32_t value; /* 0..255: each byte */
} eo_plan_reset;

/* Every record begins so; record_bytes is a multiple of 4 and at least the size of the op's own structure. */
typedef struct eo_op_head {
    uint8_t code;  /* eo_op_code */
    uint8_t flags; /* EO_OP_* below, 0 where the op names none */
    uint16_t record_bytes;
    uint32_t input;  /* in the arena */
    uint32_t output; /* in the arena */
} eo_op_head;

#define EO_OP_PER_CHANNEL 1u    /* multipliers and shifts are one for each output channel, otherwise one for all */
#define EO_OP_CONSTANT_INPUT 2u /* `input` (MOVE) or `other` (ADD, MUL) counts from the plan's first byte */
#define EO_OP_SUBTRACT 4u       /* ADD: the second operand is subtracted, after its multiplier and shift */
#define EO_OP_WIDE_STATE 8u     /* SVDF: the state and the weights of time are int16 */

/* Memory: what an op writes never overlaps what it reads, with one exception. ADD, MUL and TABLE may write at just
 * the place of `input`, and ADD and MUL at just that of `other` where other_elements == elements. Every constant
 * begins at a multiple of 4. */

/* Limits beside those of the fields' types, which eo_plan_open holds plans to: plan and arena have at most 2**30 bytes,
 * a row of a convolution's input 2**22;
 * at most 2**23 values are averaged and a softmax has at most 4,095 classes (sums stay within 32 bits); every exp is
 * at least 0, multipliers are at least 0; what a MOVE or a MEAN touches fits the arena; cell_multiplier is at most
 * 65535 and cell_shift 0..31. */

/* How an accumulator becomes an int8: acc * multiplier * 2**(shift - 31), plus the zero point, clamped.
 * multipliers_at: int32; shifts_at: int8, -31..30, positive is left; one or one for each channel. */

/* Input and output are NHWC, N = 1. Weights int8: [out_c][k_h][k_w][in_c]. bias_at: int32[out_c], 0 without.
 * What lies outside of the input counts as its zero point, whatever the padding is called. */
typedef struct eo_op_conv {
    eo_op_head head;
    uint16_t in_h, in_w, in_c;
    uint16_t out_h, out_w, out_c;
    uint16_t k_h, k_w;
    uint8_t stride_h, stride_w;
    uint8_t dilation_h, dilation_w;
    uint16_t pad_top, pad_left;
    int16_t input_offset; /* minus the input's zero point: -127..128 */
    int16_t output_offset;
    int8_t clamp_min, clamp_max;
    uint16_t reserved;
    uint32_t weights_at, bias_at, multipliers_at, shifts_at;
} eo_op_conv;

/* EO_OP_DEPTHWISE_CONV_2D is the same structure with out_c = in_c * multiplier and weights [k_h][k_w][out_c]. */

/* `rows` times in -> out. Weights int8 [out][in]. TFLM's filters have no zero point. */
typedef struct eo_op_fully_connected {
    eo_op_head head;
    uint16_t rows, in, out;
    int16_t input_offset;
    int16_t output_offset;
    int8_t clamp_min, clamp_max;
    uint32_t weights_at, bias_at, multipliers_at, shifts_at;
} eo_op_fully_connected;

/* Average (rounded half away from zero over the values inside) and maximum; quantization stays. */
typedef struct eo_op_pool {
    eo_op_head head;
    uint16_t in_h, in_w, channels;
    uint16_t out_h, out_w;
    uint16_t k_h, k_w;
    uint8_t stride_h, stride_w;
    uint16_t pad_top, pad_left;
    int8_t clamp_min, clamp_max;
    uint16_t reserved;
} eo_op_pool;

/* out[o][i] = sum over r of in[o][r][i], minus count * zero point, times multiplier, plus the output's zero point. */
typedef struct eo_op_mean {
    eo_op_head head;
    uint32_t outer, reduce, inner;
    int16_t input_zero_point, output_zero_point;
    int32_t multiplier; /* with 1 / reduce in it */
    int32_t shift;
} eo_op_mean;

/* `elements` values; the second operand repeats every other_elements values. Left shift 20 before the sum, as TFLM. */
typedef struct eo_op_add {
    eo_op_head head;
    uint32_t other;
    uint32_t elements, other_elements;
    int16_t input_offset, other_offset, output_offset;
    int8_t clamp_min, clamp_max;
    int32_t input_multiplier, input_shift;
    int32_t other_multiplier, other_shift;
    int32_t output_multiplier, output_shift;
    int32_t left_shift;
} eo_op_add;

typedef struct eo_op_mul {
    eo_op_head head;
    uint32_t other;
    uint32_t elements, other_elements;
    int16_t input_offset, other_offset, output_offset;
    int8_t clamp_min, clamp_max;
    int32_t multiplier, shift;
} eo_op_mul;

/* Fixed point as TFLM: exps_at are int32[exp_count], exp(-d * scale * beta) in Q0.31 for d = 0, 1, ...; what lies
 * further below the maximum counts nothing. Output int8 with scale 1/256 and zero point -128. */
typedef struct eo_op_softmax {
    eo_op_head head;
    uint32_t rows, depth;
    uint32_t exps_at;
    uint32_t exp_count; /* 1..256 */
} eo_op_softmax;

typedef struct eo_op_table {
    eo_op_head head;
    uint32_t elements;
    uint32_t table_at; /* int8[256], indexed by the value + 128 */
} eo_op_table;

typedef struct eo_op_fill {
    eo_op_head head; /* input is 0 */
    uint32_t bytes;
    int32_t value; /* of each byte */
} eo_op_fill;

#define EO_MOVE_RANK 5
typedef struct eo_op_move {
    eo_op_head head;
    uint32_t unit; /* bytes that lie together */
    uint32_t sizes[EO_MOVE_RANK];
    int32_t input_strides[EO_MOVE_RANK]; /* in bytes; 0 repeats */
    int32_t output_strides[EO_MOVE_RANK];
} eo_op_move;

typedef struct eo_op_quantize {
    eo_op_head head; /* float32 to int8, or int8 to float32 */
    uint32_t elements;
    float scale;
    int32_t zero_point;
} eo_op_quantize;

/* One step of a rank-`rank` SVDF: input int8[in], output int8[filters / rank]. `state` (in the arena, within
 * state_bytes) is [filters][memory], oldest first, int8, or int16 with EO_OP_WIDE_STATE.
 * For each filter f: its row of the state moves one place towards the oldest, and the newest place becomes
 *   clamp(scale(sum over i of feature_weights[f][i] * (input[i] - input_zero_point), feature)) + state_zero_point,
 * clamped to the state's type before the zero point is added, and stored with its low bits (it may wrap); then
 *   t[f] = sum over m of time_weights[f][m] * (state[f][m] - state_zero_point).
 * output[u] = clamp(scale(bias[u] + t[u * rank] + ... + t[u * rank + rank - 1], time) + output_zero_point) to int8.
 * scale(x, name) is x * name_multiplier * 2**(name_shift - 31), as everywhere. Sums are int32. */
typedef struct eo_op_svdf {
    eo_op_head head;
    uint32_t state;
    uint16_t in, filters, memory, rank;
    int16_t input_zero_point, state_zero_point, output_zero_point, reserved;
    int32_t feature_multiplier, feature_shift;
    int32_t time_multiplier, time_shift;
    uint32_t feature_weights_at; /* int8[filters][in] */
    uint32_t time_weights_at;    /* [filters][memory], of the state's type */
    uint32_t bias_at;            /* int32[filters / rank], 0 without */
} eo_op_svdf;

/* One gate of an LSTM, before its activation, for unit u and the hidden state h of the step before:
 *   a = clamp(scale(bias[u] + sum over i of input_weights[u][i] * (x[i] + input_offset), input)) to int16
 *   b = clamp(scale(sum over j of hidden_weights[u][j] * (h[j] + hidden_offset), hidden)) to int16
 *   gate = clamp(a + b) to int16, in steps of 2**-12 */
typedef struct eo_lstm_gate {
    uint32_t input_weights_at;  /* int8[units][in] */
    uint32_t hidden_weights_at; /* int8[units][units] */
    uint32_t bias_at;           /* int32[units], 0 without */
    int32_t input_multiplier, input_shift;
    int32_t hidden_multiplier, hidden_shift;
} eo_lstm_gate;

/* LSTM over `steps` inputs int8[in]; output int8[steps][units]. States (in the arena, within state_bytes): hidden
 * int8[units], cell int16[units]; both go on from one inference to the next, as in TensorFlow Lite Micro.
 * In each step, for each unit, from the hidden state before the step:
 *   f = sigmoid(forget), i = sigmoid(input), g = tanh(candidate), o = sigmoid(output), each in steps of 2**-15
 *   cell = clamp(clamp(scale(f * cell, forget)) + clamp(scale(i * g, update))) to int16, each clamp;
 *          then within -cell_clip..cell_clip where cell_clip > 0
 *   new hidden = clamp(scale(o * tanh(cell), hidden) - hidden_offset) to int8
 * The new hidden values are the output's row of the step; they become the hidden state after all units are done, so
 * that no scratch memory is needed.
 * Both functions take v and interpolate between values of `sigmoids_at`, uint16[256]. With a = |v| in uint32:
 *   sigmoid: v = 3 * x; k = a >> 9; r = k >= 255 ? 0x7FFF << 10 : (S[k] << 9) + (a & 511) * (S[k + 1] - S[k]);
 *            result = (v >= 0 ? r + (1 << 9) : (1 << 25) - r + (1 << 9) - 1) >> 10
 *   tanh: v = (x * m + (s > 0 ? 1 << (s - 1) : 0)) >> s, with m = 3 and s = 0 for g, with cell_multiplier and
 *         cell_shift for the cell; k = a >> 8;
 *         r = k >= 255 ? 0xFFFF << 8 : (S[k] << 8) + (a & 255) * (S[k + 1] - S[k]);
 *         result = (v >= 0 ? r - (1 << 23) + (1 << 7) : -r + (1 << 23) + (1 << 7) - 1) >> 8, r as int32 */
typedef struct eo_op_lstm {
    eo_op_head head;
    uint32_t hidden, cell;
    uint32_t sigmoids_at;
    uint16_t steps, in, units;
    int16_t input_offset, hidden_offset;
    int16_t cell_clip;
    int32_t cell_multiplier, cell_shift;
    int32_t forget_multiplier, forget_shift;
    int32_t update_multiplier, update_shift;
    int32_t hidden_multiplier, hidden_shift;
    eo_lstm_gate forget, input, candidate, output;
} eo_op_lstm;

#ifdef __cplusplus
}
#endif
#endif
