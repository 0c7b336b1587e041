/* Operations that work value by value, computed when a value is asked for: no window of floats is ever kept. */
#include <math.h>

#include "features/chain.h"

static float sample(const eo_features_pass *pass, uint32_t index)
{
    if (pass->type == EO_SAMPLE_INT16) {
        return ((const int16_t *)pass->base)[index];
    }
    return pass->type == EO_SAMPLE_UINT8 ? ((const uint8_t *)pass->base)[index] : ((const float *)pass->base)[index];
}

/* The tapered cosine window at one place of `rows`. */
static float tapered(uint32_t place, uint32_t rows, float share)
{
    uint32_t from_end = place < rows - 1 - place ? place : rows - 1 - place;
    float rising = (float)(rows - 1) * share, sine;

    if ((float)(2 * from_end) >= rising) {
        return 1.0f;
    }
    /* the square of the sine of half the angle: 1 - cos would cancel near the ends */
    sine = sinf(EO_PI * (float)from_end / rising);
    return sine * sine;
}

float eo_features_apply(const eo_features_pass *pass, uint32_t at, uint32_t index, float value)
{
    const eo_features_link *link = &pass->chain->links[at];
    const float *numbers = pass->chain->numbers + link->first;
    const float *stats = pass->scratch + pass->layout.stats[at];
    uint32_t column;

    switch (link->op) {
    case EO_FEATURES_SCALE:
        return value * numbers[0] + numbers[1];
    case EO_FEATURES_NORMALISE:
        column = link->many > 1 ? index % link->depth : 0;
        return (value - numbers[column]) / numbers[link->many + column];
    case EO_FEATURES_COLUMNS:
        column = index % link->depth - (uint32_t)numbers[0]; /* columns before the first become huge */
        if (column < link->many) {
            value = (value - numbers[1 + column]) / numbers[1 + link->many + column];
        }
        return value;
    case EO_FEATURES_TAPER:
        return value * tapered(index / link->depth, link->rows, numbers[0]);
    case EO_FEATURES_DETREND:
        stats += 3 * (index % link->depth);
        value = value - stats[0] - stats[1];
        if (stats[2] != 0) {
            value -= stats[2] * ((float)(index / link->depth) - (float)(link->rows - 1) / 2);
        }
        return value;
    case EO_FEATURES_STANDARDISE:
    case EO_FEATURES_RMS_SCALE:
        stats += numbers[0] > 0 ? 0 : 3 * (index % link->depth);
        return (value - stats[0] - stats[1]) / stats[2];
    default: /* EO_FEATURES_FIT_LENGTH moves values and does not change them */
        return value;
    }
}

float eo_features_value(const eo_features_pass *pass, uint32_t to, uint32_t index)
{
    const eo_features_link *links = pass->chain->links;
    uint32_t at = to;
    float value = 0;

    /* down to where the value comes from: the base, or the zeros that fit_length adds */
    for (;;) {
        if (at == pass->start) {
            value = sample(pass, index);
            break;
        }
        if (links[at - 1].op == EO_FEATURES_FIT_LENGTH) {
            if (index + links[at - 1].width >= links[at - 1].rows * links[at - 1].depth) {
                break;
            }
            index += links[at - 1].width;
        }
        at--;
    }
    for (; at < to; at++) {
        if (links[at].op == EO_FEATURES_FIT_LENGTH) {
            index -= links[at].width;
        } else {
            value = eo_features_apply(pass, at, index, value);
        }
    }
    return value;
}

typedef enum moment { MEAN, SQUARE, TIMES_PLACE } moment;

/* The mean of x - less - lesser over `count` values, of its square, or times the place from the middle. */
static float mean_of(const eo_features_pass *pass, uint32_t at, const uint32_t lane[3], moment kind,
                     const float less[2])
{
    uint32_t count = lane[2], i;
    float sum = 0, lost = 0;

    for (i = 0; i < count; i++) {
        float value = eo_features_value(pass, at, lane[0] + i * lane[1]) - less[0] - less[1], before = sum;
        if (kind == SQUARE) {
            value *= value;
        } else if (kind == TIMES_PLACE) {
            value *= (float)i - (float)(count - 1) / 2;
        }
        /* compensated (Kahan): as good as Python's float64 here, at a tenth of its cost without an FPU for it */
        value -= lost;
        sum = before + value;
        lost = (sum - before) - value;
    }
    return sum / (float)count;
}

eo_status eo_features_measure(eo_features_pass *pass, uint32_t at)
{
    const eo_features_link *link = &pass->chain->links[at];
    const float *numbers = pass->chain->numbers + link->first;
    uint32_t sets = eo_features_stats_floats(pass->chain, at) / 3, set;

    for (set = 0; set < sets; set++) {
        bool window = sets == 1;
        uint32_t lane[3] = {set, window ? 1 : link->depth, window ? link->rows * link->depth : link->rows};
        float *stats = pass->scratch + pass->layout.stats[at] + (size_t)set * 3;

        stats[0] = stats[1] = stats[2] = 0;
        if (link->op != EO_FEATURES_RMS_SCALE) {
            /* twice, for the digits that one float does not hold: a large offset must not drown a small signal */
            stats[0] = mean_of(pass, at, lane, MEAN, stats);
            stats[1] = mean_of(pass, at, lane, MEAN, stats);
        }
        if (link->op != EO_FEATURES_DETREND) {
            float spread = sqrtf(mean_of(pass, at, lane, SQUARE, stats));
            stats[2] = spread < numbers[1] ? numbers[1] : spread;
        } else if (numbers[0] > 0 && link->rows > 1) {
            /* the mean square of the places is (n - 1)(n + 1) / 12 */
            float n = (float)link->rows;
            stats[2] = mean_of(pass, at, lane, TIMES_PLACE, stats) * 12 / ((n - 1) * (n + 1));
        }
        if (!isfinite(stats[0]) || !isfinite(stats[1]) || !isfinite(stats[2])) {
            return EO_RANGE;
        }
    }
    return EO_OK;
}
