/* Front ends: the transform against sums by definition, and what an opened chain refuses and keeps. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "features/chain.h"

#define NANO INT64_C(1000000000)

static int failures;

static void check(int good, const char *what)
{
    if (!good) {
        printf("features_test: %s\n", what);
        failures++;
    }
}

/* |X[k]|**2 by definition, in float64, against the FFT in float32. */
static void the_transform_is_the_sum_that_defines_it(uint32_t size)
{
    static float values[1024], quarter[257];
    static double signal[1024];
    double total = 0, worst = 0;
    uint32_t i, k, seed = size;

    for (i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (float)(seed >> 8) / 8388608.0f - 1.0f;
        signal[i] = (double)values[i];
        total += signal[i] * signal[i];
    }
    eo_quarter_cosines(quarter, size / 4);
    eo_fft_power(values, size, quarter);
    for (k = 0; k <= size / 2; k++) {
        double real = 0, imaginary = 0, apart;
        for (i = 0; i < size; i++) {
            double angle = 2 * 3.14159265358979323846 * (double)(i * k % size) / size;
            real += signal[i] * cos(angle);
            imaginary -= signal[i] * sin(angle);
        }
        apart = fabs(real * real + imaginary * imaginary - (double)values[k]);
        worst = apart > worst ? apart : worst;
    }
    check(worst < 1e-5 * total, "the power spectrum differs from its definition");
}

static eo_features_step step(const char *op, const int64_t *parameters, size_t count)
{
    eo_features_step made;
    made.op = op;
    made.op_bytes = strlen(op);
    made.parameters = parameters;
    made.parameter_count = count;
    return made;
}

static const eo_features_raw four_samples = {{{4}, 1}, EO_SAMPLE_INT16};
static const eo_features_tensor four_values = {{{4}, 1}, 1, -1, 3}; /* a scale of a half */

static void values_are_rounded_half_to_even_and_clipped(void)
{
    /* x / 4, so in steps of the scale x / 2 */
    const int64_t quarter[] = {NANO / 4, 0};
    const int16_t raw[4] = {1, 3, -1, 300};
    const eo_features_step steps[1] = {step("scale", quarter, 2)};
    eo_features chain;
    int8_t out[4];

    check(eo_features_open(&chain, steps, 1, &four_samples, &four_values) == EO_OK, "a scale is taken");
    check(eo_features_raw_bytes(&chain) == 8 && eo_features_output_bytes(&chain) == 4, "sizes are those of the shapes");
    check(eo_features_scratch_bytes(&chain) == 0, "a scale needs no memory");
    check(eo_features_run(&chain, raw, sizeof raw, out, sizeof out, NULL, 0) == EO_OK, "a scale runs");
    check(out[0] == 3 && out[1] == 5 && out[2] == 3 && out[3] == 127, "halves go to the even neighbour");
}

static void memory_is_checked(void)
{
    const int64_t constant[] = {0};
    const int16_t raw[4] = {1, 2, 3, 4};
    const eo_features_step steps[1] = {step("detrend", constant, 1)};
    eo_features chain;
    int8_t out[4];
    float scratch[4];
    size_t needed;

    check(eo_features_open(&chain, steps, 1, &four_samples, &four_values) == EO_OK, "a detrend is taken");
    needed = eo_features_scratch_bytes(&chain);
    check(needed > 0 && needed <= sizeof scratch, "a detrend needs a channel's statistics");
    check(eo_features_run(&chain, raw, sizeof raw, out, sizeof out, scratch, needed) == EO_OK, "it is enough");
    check(out[0] == 0 && out[3] == 6, "the mean is gone");
    check(eo_features_run(&chain, raw, sizeof raw, out, sizeof out, scratch, needed - 1) == EO_TOO_SMALL, "scratch");
    check(eo_features_run(&chain, raw, 7, out, sizeof out, scratch, needed) == EO_TOO_SMALL, "raw input");
    check(eo_features_run(&chain, raw, sizeof raw, out, 3, scratch, needed) == EO_TOO_SMALL, "output");
    check(eo_features_run(&chain, (const uint8_t *)raw + 1, sizeof raw, out, sizeof out, scratch, needed) ==
              EO_ARGUMENT, "an unaligned input");
}

static void what_does_not_fit_is_refused_and_cannot_run(void)
{
    const int64_t one[] = {NANO, 0};
    const int64_t columns[] = {0, 0, 0, 0, 0, 0, 0, 0, NANO, NANO, NANO, NANO, NANO, NANO, NANO};
    const eo_features_raw seven_samples = {{{7}, 1}, EO_SAMPLE_UINT8};
    const eo_features_tensor seven_values = {{{7}, 1}, 1, 0, 0};
    const int16_t raw[4] = {0};
    eo_features_step steps[EO_FEATURES_MAX_STEPS + 1];
    eo_features_tensor wrong = four_values;
    eo_features chain;
    int8_t out[4];
    size_t i;

    for (i = 0; i <= EO_FEATURES_MAX_STEPS; i++) {
        steps[i] = step("scale", one, 2);
    }
    check(eo_features_open(&chain, steps, i, &four_samples, &four_values) == EO_RANGE, "more steps than 16");
    check(eo_features_open(&chain, steps, i - 1, &four_samples, &four_values) == EO_OK, "16 steps");
    wrong.shape.sizes[0] = 5;
    check(eo_features_open(&chain, steps, 1, &four_samples, &wrong) == EO_MALFORMED, "another shape");
    check(eo_features_run(&chain, raw, sizeof raw, out, sizeof out, NULL, 0) == EO_ARGUMENT, "a chain not open");
    wrong = four_values;
    wrong.shape.rank = 2;
    wrong.shape.sizes[1] = 1;
    check(eo_features_open(&chain, steps, 1, &four_samples, &wrong) == EO_MALFORMED, "another rank");
    wrong = four_values;
    wrong.scale_mantissa = 0;
    check(eo_features_open(&chain, steps, 1, &four_samples, &wrong) == EO_RANGE, "no scale");
    wrong.scale_mantissa = 0x1000000;
    wrong.scale_exponent = 104;
    check(eo_features_open(&chain, steps, 1, &four_samples, &wrong) == EO_RANGE, "an infinite scale");
    for (i = 0; i < EO_FEATURES_MAX_STEPS; i++) {
        steps[i] = step("columns", columns, 15);
    }
    check(eo_features_open(&chain, steps, 9, &seven_samples, &seven_values) == EO_OK, "as many columns as fit");
    check(eo_features_open(&chain, steps, 10, &seven_samples, &seven_values) == EO_FULL, "more than fit");
}

int main(void)
{
    uint32_t size;
    for (size = 32; size <= 1024; size *= 2) {
        the_transform_is_the_sum_that_defines_it(size);
    }
    values_are_rounded_half_to_even_and_clipped();
    memory_is_checked();
    what_does_not_fit_is_refused_and_cannot_run();
    return failures != 0;
}
