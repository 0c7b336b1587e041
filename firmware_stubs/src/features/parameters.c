/* The table of operations and their parameters, and a step's billionths checked against it. */
#include <string.h>

#include "features/chain.h"

#define NANO 1000000000

typedef enum range {
    /* in billionths */
    ANY,
    ABOVE_ZERO,
    ZERO_OR_MORE,
    SHARE,
    RATE, /* kept as two floats, as the next two: edges of bands must not move by a rounding */
    LOW_HZ,
    HIGH_HZ,
    /* whole numbers, from here on in units */
    CHOICE,
    PIXELS,
    SAMPLES,
    COLUMN,
    FRAME,
    STEP,
    STEP_OR_NONE,
    FFT,
    MELS,
    BANDS
} range;

#define MOST INT64_C(9000000000000000000)

static const struct {
    int64_t low, high;
} fractions[] = {
    {-MOST, MOST},
    {1, MOST},
    {0, MOST},
    {0, NANO},
    {NANO / 1000, INT64_C(10000000) * NANO},
    {0, INT64_C(5000000) * NANO},
    {NANO / 1000, INT64_C(5000000) * NANO},
};

static const struct {
    uint32_t low, high;
} wholes[] = {
    {0, 1},     {1, 4096},          {1, EO_FEATURES_MAX_VALUES}, {0, EO_FEATURES_MAX_VALUES}, {2, 16384},
    {1, 1000000}, {0, 1000000}, {32, 16384},                 {1, 256},                    {1, 1024},
};

#define MEL_RANGES RATE, FRAME, STEP, FFT, MELS, LOW_HZ, HIGH_HZ, CHOICE, ZERO_OR_MORE, ABOVE_ZERO

/* In the order of eo_features_op. */
static const struct {
    char name[12];
    uint8_t count;
    uint8_t ranges[11];
} operations[] = {
    {"scale", 2, {ANY, ANY}},
    {"normalise", 0, {0}},
    {"columns", 1, {COLUMN}},
    {"taper", 1, {SHARE}},
    {"fit_length", 1, {SAMPLES}},
    {"detrend", 1, {CHOICE}},
    {"standardise", 2, {CHOICE, ABOVE_ZERO}},
    {"rms_scale", 2, {CHOICE, ABOVE_ZERO}},
    {"resize", 2, {PIXELS, PIXELS}},
    {"grey", 0, {0}},
    {"log_mel", 10, {MEL_RANGES}},
    {"mfcc", 11, {MEL_RANGES, MELS}},
    {"fft_bands", 8, {RATE, FFT, STEP_OR_NONE, BANDS, LOW_HZ, HIGH_HZ, CHOICE, ABOVE_ZERO}},
};

/* One parameter, behind the numbers that are there. */
static eo_status add(eo_features *chain, range kind, int64_t nano)
{
    uint32_t needed = kind >= RATE && kind <= HIGH_HZ ? 2 : 1;
    float *place = chain->numbers + chain->number_count;

    if (EO_FEATURES_NUMBERS - chain->number_count < needed) {
        return EO_FULL;
    }
    if (kind >= CHOICE) {
        int64_t whole = nano / NANO;
        if (whole * NANO != nano || whole < wholes[kind - CHOICE].low || whole > wholes[kind - CHOICE].high) {
            return EO_RANGE;
        }
        place[0] = (float)(int32_t)whole;
    } else {
        /* float64, once for each parameter: rounded to float32 as Python does it */
        double value = (double)nano / NANO;
        if (nano < fractions[kind].low || nano > fractions[kind].high) {
            return EO_RANGE;
        }
        place[0] = (float)value;
        if (needed == 2) {
            place[1] = (float)(value - (double)place[0]);
        }
    }
    chain->number_count += needed;
    return EO_OK;
}

static uint32_t find(const eo_features_step *step)
{
    uint32_t op = 0;
    while (op < EO_FEATURES_OPS && (step->op_bytes != strlen(operations[op].name) ||
                                    memcmp(step->op, operations[op].name, step->op_bytes) != 0)) {
        op++;
    }
    return op;
}

/* 0 <= low < high <= half the sample rate; bounded above, so nothing overflows. */
static bool frequencies(int64_t rate, int64_t low, int64_t high)
{
    return low < high && 2 * high <= rate;
}

eo_status eo_features_parameters(eo_features *chain, eo_features_link *link, const eo_features_step *step)
{
    uint32_t op = find(step);
    size_t count, lists, i;

    if (op == EO_FEATURES_OPS) {
        return EO_UNSUPPORTED;
    }
    count = operations[op].count;
    if (step->parameter_count < count || step->parameter_count > 16) {
        return EO_MALFORMED;
    }
    /* two lists of the same length follow */
    lists = step->parameter_count - count;
    if (op == EO_FEATURES_NORMALISE ? lists != 2 && lists != 6
                                    : op == EO_FEATURES_COLUMNS ? lists < 2 || lists % 2 != 0 : lists != 0) {
        return EO_MALFORMED;
    }
    link->op = (uint8_t)op;
    link->many = (uint8_t)(lists / 2);
    link->first = (uint16_t)chain->number_count;
    for (i = 0; i < step->parameter_count; i++) {
        range kind = i < count ? (range)operations[op].ranges[i] : i < count + lists / 2 ? ANY : ABOVE_ZERO;
        eo_status status = add(chain, kind, step->parameters[i]);
        if (status != EO_OK) {
            return status;
        }
    }
    if (op == EO_FEATURES_LOG_MEL || op == EO_FEATURES_MFCC) {
        return frequencies(step->parameters[0], step->parameters[5], step->parameters[6]) ? EO_OK : EO_RANGE;
    }
    if (op == EO_FEATURES_FFT_BANDS) {
        return frequencies(step->parameters[0], step->parameters[4], step->parameters[5]) ? EO_OK : EO_RANGE;
    }
    return EO_OK;
}
