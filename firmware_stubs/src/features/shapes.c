/* What each operation makes of a shape. */
#include "features/chain.h"

#define MAX_POINTS 0x4000000u /* of all frames of one input together */

static uint32_t product(const uint32_t *sizes, uint32_t count)
{
    uint32_t values = 1, i;
    for (i = 0; i < count; i++) {
        values *= sizes[i]; /* the whole shape was bounded before */
    }
    return values;
}

static eo_status frames(uint32_t samples, uint32_t length, uint32_t step, uint32_t fft, uint32_t *count)
{
    if ((fft & (fft - 1)) != 0 || fft < length || samples < length) {
        return EO_MALFORMED;
    }
    *count = 1 + (samples - length) / step;
    return *count > MAX_POINTS / fft ? EO_RANGE : EO_OK;
}

static eo_status image_shape(const float *numbers, eo_features_link *link, eo_features_shape *shape)
{
    if (shape->rank != 3) {
        return EO_MALFORMED;
    }
    link->width = shape->sizes[1];
    if (link->op == EO_FEATURES_GREY) {
        if (link->depth != 1 && link->depth != 3) {
            return EO_MALFORMED;
        }
        shape->sizes[2] = 1;
        return EO_OK;
    }
    if (link->rows > 0xFFFF || link->width > 0xFFFF) {
        return EO_UNSUPPORTED; /* places between pixels are computed in 32 bits */
    }
    shape->sizes[0] = (uint32_t)numbers[0];
    shape->sizes[1] = (uint32_t)numbers[1];
    return EO_OK;
}

static eo_status mel_shape(const float *numbers, const eo_features_link *link, eo_features_shape *shape)
{
    uint32_t mels = (uint32_t)numbers[EO_MEL_MELS];
    eo_status status = link->depth != 1 ? EO_MALFORMED
                                        : frames(link->rows, (uint32_t)numbers[EO_MEL_LENGTH],
                                                 (uint32_t)numbers[EO_MEL_STEP], (uint32_t)numbers[EO_MEL_FFT],
                                                 &shape->sizes[0]);
    shape->sizes[1] = mels;
    if (link->op == EO_FEATURES_MFCC) {
        shape->sizes[1] = (uint32_t)numbers[EO_MEL_COEFFICIENTS];
        status = shape->sizes[1] > mels ? EO_MALFORMED : status;
    }
    shape->sizes[2] = 1;
    shape->rank = 3;
    return status != EO_OK ? status : eo_features_mel_edges(numbers, NULL, NULL);
}

static eo_status bands_shape(const float *numbers, const eo_features_link *link, eo_features_shape *shape)
{
    uint32_t fft = (uint32_t)numbers[EO_BANDS_FFT], step = (uint32_t)numbers[EO_BANDS_STEP];
    uint32_t bands = (uint32_t)numbers[EO_BANDS_BANDS];
    eo_status status;

    if (link->rows < 2) {
        return EO_MALFORMED;
    }
    status = frames(link->rows, step ? fft : link->rows, step ? step : 1, fft, &shape->sizes[0]);
    if (status != EO_OK) {
        return status;
    }
    if (link->depth > EO_FEATURES_MAX_VALUES / bands) {
        return EO_RANGE;
    }
    shape->sizes[step ? 0 : 1] = step ? shape->sizes[0] : link->depth;
    shape->sizes[step ? 1 : 0] = step ? bands * link->depth : bands;
    shape->rank = 2;
    return eo_features_band_edges(numbers, NULL);
}

eo_status eo_features_shape_after(const eo_features *chain, eo_features_link *link, eo_features_shape *shape)
{
    const float *numbers = chain->numbers + link->first;
    uint32_t rank = shape->rank, values = product(shape->sizes, rank);
    uint32_t last = rank ? shape->sizes[rank - 1] : 1;

    link->rows = values / last;
    link->width = 1;
    link->depth = last;
    if (link->op == EO_FEATURES_SCALE) {
        return EO_OK;
    }
    if (link->op == EO_FEATURES_NORMALISE) {
        return link->many == 1 || (rank && last == link->many) ? EO_OK : EO_MALFORMED;
    }
    if (rank == 0) {
        return EO_MALFORMED;
    }
    if (link->op == EO_FEATURES_COLUMNS) {
        if (rank > 1 && last == 1) {
            link->depth = shape->sizes[rank - 2];
            link->rows = values / link->depth;
        }
        return (uint32_t)numbers[0] + link->many <= link->depth ? EO_OK : EO_MALFORMED;
    }
    link->rows = shape->sizes[0];
    link->depth = values / link->rows;
    if (link->op == EO_FEATURES_FIT_LENGTH) {
        shape->sizes[0] = (uint32_t)numbers[0];
        link->width = link->rows > shape->sizes[0] ? (link->rows - shape->sizes[0]) / 2 * link->depth : 0;
        return EO_OK;
    }
    if (link->op == EO_FEATURES_RESIZE || link->op == EO_FEATURES_GREY) {
        link->depth = last;
        return image_shape(numbers, link, shape);
    }
    if (rank > 2) {
        return EO_MALFORMED;
    }
    if (link->op == EO_FEATURES_LOG_MEL || link->op == EO_FEATURES_MFCC) {
        return mel_shape(numbers, link, shape);
    }
    return link->op == EO_FEATURES_FFT_BANDS ? bands_shape(numbers, link, shape) : EO_OK;
}
