/* Softmax in fixed point: exponentials from the plan's table, one division by Newton's method for each row. */
#include "runtime/fixed_point.h"
#include "runtime/kernels.h"

#define SUM_INTEGER_BITS 12
#define FORTY_EIGHT_SEVENTEENTHS 1515870810 /* with 2 integer bits, as all here that is not a fraction */
#define THIRTY_TWO_SEVENTEENTHS 1010580540
#define ONE (1 << 29)

static int32_t saturating_left(int32_t x, int32_t bits)
{
    int32_t most = INT32_MAX >> bits;
    return x > most ? INT32_MAX : x < -most - 1 ? INT32_MIN : (int32_t)((uint32_t)x << bits);
}

static int32_t leading_zeros(uint32_t x)
{
    int32_t zeros = 0;
    for (; (x & 0x80000000u) == 0u; x <<= 1) {
        zeros++;
    }
    return zeros;
}

/* 1 / (1 + x) for a fraction x >= 0 with 31 bits. */
static int32_t reciprocal_of_one_plus(int32_t x)
{
    int32_t half_denominator = (int32_t)(((int64_t)x + INT32_MAX + 1) / 2);
    int32_t estimate = FORTY_EIGHT_SEVENTEENTHS + eo_high_multiply(half_denominator, -THIRTY_TWO_SEVENTEENTHS);
    for (int i = 0; i < 3; i++) {
        int32_t error = ONE - eo_high_multiply(half_denominator, estimate);
        estimate = eo_wrap_add(estimate, saturating_left(eo_high_multiply(estimate, error), 2));
    }
    return saturating_left(estimate, 1);
}

void eo_portable_softmax(const uint8_t *plan, const void *record, uint8_t *arena)
{
    const eo_op_softmax *op = record;
    const int8_t *input = eo_values(arena, op->head.input);
    int8_t *output = eo_places(arena, op->head.output);
    const int32_t *exps = eo_words(plan, op->exps_at);
    for (uint32_t row = 0; row < op->rows; row++) {
        int32_t most = INT8_MIN, sum = 0;
        for (uint32_t i = 0; i < op->depth; i++) {
            most = input[i] > most ? input[i] : most;
        }
        for (uint32_t i = 0; i < op->depth; i++) {
            uint32_t below = (uint32_t)(most - input[i]);
            sum += below < op->exp_count ? eo_rounding_shift(exps[below], SUM_INTEGER_BITS) : 0;
        }
        sum = sum > 0 ? sum : 1;
        int32_t zeros = leading_zeros((uint32_t)sum);
        int32_t scale = reciprocal_of_one_plus((int32_t)(((uint32_t)sum << zeros) - 0x80000000u));
        int32_t shift = SUM_INTEGER_BITS - zeros + 31 - 8;
        for (uint32_t i = 0; i < op->depth; i++) {
            uint32_t below = (uint32_t)(most - input[i]);
            int32_t share = 0;
            if (below < op->exp_count && shift <= 31) {
                share = eo_rounding_shift(eo_high_multiply(scale, exps[below]), shift);
            }
            output[i] = (int8_t)(eo_clamp(share, 0, 255) - 128);
        }
        input += op->depth;
        output += op->depth;
    }
}
