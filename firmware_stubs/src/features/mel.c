/* log_mel and mfcc: sums of a spectrum under triangles that are equally wide on the mel scale. */
#include <math.h>

#include "features/chain.h"

static float mel_of(float hz)
{
    return 1127.0f * logf(1.0f + hz / 700.0f);
}

eo_status eo_features_mel_edges(const float *numbers, uint16_t *edges, float *weights)
{
    uint32_t mels = (uint32_t)numbers[EO_MEL_MELS], last = (uint32_t)numbers[EO_MEL_FFT] / 2;
    float bin_hz = numbers[EO_MEL_RATE] / numbers[EO_MEL_FFT];
    float lowest = mel_of(numbers[EO_MEL_LOW]), highest = mel_of(numbers[EO_MEL_HIGH]);
    float width = (highest - lowest) / (float)(mels + 1);
    uint32_t bin = 1, segment;
    bool rises = true; /* the segment before holds a bin */

    if (!(width > 0)) {
        return EO_MALFORMED; /* float32 cannot tell the ends apart, so no bin lies between them */
    }
    while (bin <= last && mel_of(bin_hz * (float)bin) <= lowest) {
        bin++;
    }
    /* in each segment between two edges one triangle rises and the one before it falls */
    for (segment = 0; segment <= mels; segment++) {
        float begin = lowest + width * (float)segment;
        bool falls = false;
        uint32_t first = bin;
        for (; bin <= last; bin++) {
            float mel = mel_of(bin_hz * (float)bin);
            float share = (mel - begin) / width;
            if (share > 1 || mel >= highest) { /* the last edge itself, where rounding must not decide */
                break;
            }
            falls = falls || share < 1;
            if (weights != NULL) {
                weights[bin] = share < 0 ? 0 : share;
            }
        }
        if (!rises && !falls) {
            return EO_MALFORMED; /* a band without a bin */
        }
        rises = bin > first;
        if (edges != NULL) {
            edges[segment] = (uint16_t)first;
            edges[segment + 1] = (uint16_t)bin;
        }
    }
    return EO_OK;
}

uint32_t eo_features_mel_floats(const float *numbers, const eo_features_link *link)
{
    uint32_t fft = (uint32_t)numbers[EO_MEL_FFT], mels = (uint32_t)numbers[EO_MEL_MELS];
    /* weights, edges; for mfcc the logarithms and a quarter turn of cosines */
    return eo_spectrum_floats(fft, (uint32_t)numbers[EO_MEL_LENGTH]) + fft / 2 + 1 + (mels + 3) / 2 +
           (link->op == EO_FEATURES_MFCC ? 2 * mels + 1 : 0);
}

/* One band of a spectrum: the sum under its triangle, as a logarithm. */
static float band_log(const float *numbers, const float *bins, const uint16_t *edges, const float *weights)
{
    float sum = 0;
    uint32_t bin;

    for (bin = edges[0]; bin < edges[1]; bin++) {
        sum += bins[bin] * weights[bin];
    }
    for (; bin < edges[2]; bin++) {
        sum += bins[bin] * (1.0f - weights[bin]);
    }
    sum += numbers[EO_MEL_OFFSET];
    return logf(sum < numbers[EO_MEL_FLOOR] ? numbers[EO_MEL_FLOOR] : sum);
}

/* The first coefficients of the DCT-II of `mels` values. */
static void put_cosine_transform(eo_features_pass *pass, const float *logs, const float *quarter, uint32_t mels,
                                 uint32_t coefficients)
{
    float factor = sqrtf(2.0f / (float)mels);
    uint32_t order, band;

    for (order = 0; order < coefficients; order++) {
        float sum = 0;
        uint32_t place = order; /* in quarters of a turn, mels places each */
        for (band = 0; band < mels; band++) {
            uint32_t within = place % (2 * mels);
            float cosine = within <= mels ? quarter[within] : -quarter[2 * mels - within];
            sum += logs[band] * (place < 2 * mels ? cosine : -cosine);
            place += 2 * order;
            place -= place >= 4 * mels ? 4 * mels : 0;
        }
        eo_features_put(pass, sum * factor);
    }
}

void eo_features_mel(eo_features_pass *pass, uint32_t at)
{
    const eo_features_link *link = &pass->chain->links[at];
    const float *numbers = pass->chain->numbers + link->first;
    uint32_t fft = (uint32_t)numbers[EO_MEL_FFT], mels = (uint32_t)numbers[EO_MEL_MELS];
    uint32_t length = (uint32_t)numbers[EO_MEL_LENGTH], step = (uint32_t)numbers[EO_MEL_STEP], start, band, bin;
    bool cosines = link->op == EO_FEATURES_MFCC;
    eo_spectrum spectrum;
    float *weights = eo_spectrum_open(&spectrum, pass->scratch + pass->layout.work, fft, length);
    float *logs = weights + fft / 2 + 1, *quarter = logs + mels;
    uint16_t *edges = (uint16_t *)(void *)(cosines ? quarter + mels + 1 : logs);

    (void)eo_features_mel_edges(numbers, edges, weights); /* was good when the chain was opened */
    if (cosines) {
        eo_quarter_cosines(quarter, mels);
    }
    for (start = 0; start + length <= link->rows; start += step) {
        eo_spectrum_power(&spectrum, pass, at, start, 1);
        for (bin = edges[0]; numbers[EO_MEL_SPECTRUM] < 1 && bin < edges[mels + 1]; bin++) {
            spectrum.frame[bin] = sqrtf(spectrum.frame[bin]);
        }
        for (band = 0; band < mels; band++) {
            float value = band_log(numbers, spectrum.frame, edges + band, weights);
            if (cosines) {
                logs[band] = value;
            } else {
                eo_features_put(pass, value);
            }
        }
        if (cosines) {
            put_cosine_transform(pass, logs, quarter, mels, (uint32_t)numbers[EO_MEL_COEFFICIENTS]);
        }
    }
}
