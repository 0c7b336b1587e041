/* What a model's output says: edgeops/core/outputs.py. */
#include "counters/integers.h"
#include "edgeops/counters.h"

#define WEIGHT_BITS 12
#define MANTISSA_BITS 24
#define MAX_EXPONENT 200 /* of a float32, with its mantissa taken off, and more */
#define MAX_THRESHOLD ((UINT64_C(1) << 48) - 1)

eo_counted eo_judge_scores(const int8_t *scores, size_t count)
{
    eo_counted counted = {0, 0, scores[0], 0, 0};
    int second = -128;

    for (size_t i = 1; i < count; i++) {
        if (scores[i] > counted.score) {
            second = counted.score;
            counted.score = scores[i];
            counted.predicted = (uint8_t)i;
        } else if (scores[i] > second) {
            second = scores[i];
        }
    }
    counted.confidence_bin = (uint8_t)((counted.score + 128) >> 4);
    counted.margin = (uint8_t)(counted.score - second);
    return counted;
}

/* The mantissa with exactly 24 bits; 0 for a scale or zero point that no int8 tensor has. */
static uint32_t normalized(const eo_tensor_contract *tensor, int32_t *exponent)
{
    uint32_t mantissa = tensor->scale_mantissa;

    *exponent = tensor->scale_exponent;
    if (mantissa == 0 || *exponent > MAX_EXPONENT || *exponent < -MAX_EXPONENT || tensor->zero_point < -128 ||
        tensor->zero_point > 127 || !eo_view_is(tensor->dtype, "int8")) {
        return 0;
    }
    for (; mantissa >> MANTISSA_BITS != 0; ++*exponent) {
        mantissa >>= 1;
    }
    for (; mantissa >> (MANTISSA_BITS - 1) == 0; --*exponent) {
        mantissa <<= 1;
    }
    return mantissa;
}

static uint16_t weight(uint32_t mantissa, int32_t places)
{
    if (places > MANTISSA_BITS) {
        return 0;
    }
    return (uint16_t)((mantissa + (UINT32_C(1) << (places - 1))) >> places);
}

static uint32_t values_of(const eo_tensor_contract *tensor)
{
    uint32_t values = 1;

    for (size_t i = 0; i < tensor->rank && i < EO_MAX_RANK; i++) {
        if (tensor->shape[i] == 0 || tensor->shape[i] > EO_MAX_VALUES / values) {
            return 0;
        }
        values *= tensor->shape[i];
    }
    return values;
}

eo_status eo_reconstruction_begin(eo_reconstruction *how, const eo_tensor_contract *input,
                                  const eo_tensor_contract *output, uint64_t threshold)
{
    int32_t input_exponent, output_exponent;
    uint32_t input_mantissa = normalized(input, &input_exponent);
    uint32_t output_mantissa = normalized(output, &output_exponent);
    int32_t exponent = input_exponent > output_exponent ? input_exponent : output_exponent;

    how->values = values_of(input);
    if (how->values == 0 || how->values != values_of(output) || input_mantissa == 0 || output_mantissa == 0 ||
        threshold == 0 || threshold > MAX_THRESHOLD) {
        return EO_RANGE;
    }
    how->threshold = threshold;
    how->input_weight = weight(input_mantissa, WEIGHT_BITS + exponent - input_exponent);
    how->output_weight = weight(output_mantissa, WEIGHT_BITS + exponent - output_exponent);
    how->input_zero_point = input->zero_point;
    how->output_zero_point = output->zero_point;
    return EO_OK;
}

uint64_t eo_reconstruction_scores(const eo_reconstruction *how, const int8_t *input, const int8_t *output,
                                  int8_t scores[2])
{
    int64_t sum = 0;
    uint64_t error;

    for (uint32_t i = 0; i < how->values; i++) {
        int32_t apart = how->input_weight * (input[i] - how->input_zero_point) -
                        how->output_weight * (output[i] - how->output_zero_point);
        sum += (int64_t)apart * apart;
    }
    error = eo_divide((uint64_t)sum, how->values);
    scores[1] = (int8_t)((int32_t)eo_divide(256 * error, error + how->threshold) - 128);
    scores[0] = (int8_t)(-1 - scores[1]);
    return error;
}
