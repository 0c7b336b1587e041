/* fft_bands: the log power of frequency bands. */
#include <math.h>

#include "features/chain.h"

/* float64 for the few edges of a chain: they are rounded up to bins with a tolerance of 1e-6 of a bin, as Python
 * does it, and an edge that lies on a bin would fall on the wrong side with float32's error of 5e-4. */
static double pair(const float *numbers)
{
    return (double)numbers[0] + (double)numbers[1];
}

static double power(double base, uint32_t exponent)
{
    double result = 1;
    for (; exponent > 0; exponent /= 2) {
        if (exponent % 2) {
            result *= base;
        }
        base *= base;
    }
    return result;
}

/* ratio ** (1 / count): float32's, made good by Newton. Saves float64's exp and log. */
static double root(double ratio, uint32_t count)
{
    double guess = (double)expf(logf((float)ratio) / (float)count);
    uint32_t i;
    for (i = 0; i < 3; i++) {
        double below = power(guess, count - 1);
        guess -= (below * guess - ratio) / (below * count);
    }
    return guess;
}

eo_status eo_features_band_edges(const float *numbers, uint16_t *edges)
{
    uint32_t bands = (uint32_t)numbers[EO_BANDS_BANDS], before = 0, band;
    double low = pair(numbers + EO_BANDS_LOW), high = pair(numbers + EO_BANDS_HIGH);
    double bins_per_hz = (double)numbers[EO_BANDS_FFT] / pair(numbers + EO_BANDS_RATE);
    bool logarithmic = numbers[EO_BANDS_SPACING] > 0;
    double ratio, hz = low;

    if (logarithmic && !(low > 0)) {
        return EO_RANGE;
    }
    ratio = logarithmic ? root(high / low, bands) : 1;
    for (band = 0; band <= bands; band++) {
        double place = (band == bands ? high : hz) * bins_per_hz + (band == bands ? 1e-6 : -1e-6);
        uint32_t edge = place > 0 ? (uint32_t)place : 0;
        /* up to the next whole bin; the last band has its upper edge too */
        if (place > (double)edge || band == bands) {
            edge++;
        }
        if (band > 0 && edge <= before) {
            return EO_MALFORMED;
        }
        if (edges != NULL) {
            edges[band] = (uint16_t)edge;
        }
        before = edge;
        hz = logarithmic ? hz * ratio : low + (high - low) * (band + 1) / bands;
    }
    return EO_OK;
}

static uint32_t frame_length(const float *numbers, const eo_features_link *link)
{
    return numbers[EO_BANDS_STEP] > 0 ? (uint32_t)numbers[EO_BANDS_FFT] : link->rows;
}

uint32_t eo_features_bands_floats(const float *numbers, const eo_features_link *link)
{
    uint32_t bands = (uint32_t)numbers[EO_BANDS_BANDS];
    uint32_t row = link->depth > 1 ? bands * link->depth : 0;
    return eo_spectrum_floats((uint32_t)numbers[EO_BANDS_FFT], frame_length(numbers, link)) + row + bands / 2 + 1;
}

void eo_features_bands(eo_features_pass *pass, uint32_t at)
{
    const eo_features_link *link = &pass->chain->links[at];
    const float *numbers = pass->chain->numbers + link->first;
    uint32_t bands = (uint32_t)numbers[EO_BANDS_BANDS], step = (uint32_t)numbers[EO_BANDS_STEP];
    uint32_t fft = (uint32_t)numbers[EO_BANDS_FFT], length = frame_length(numbers, link);
    uint32_t channels = link->depth, start, channel, band, bin;
    eo_spectrum spectrum;
    float *row = eo_spectrum_open(&spectrum, pass->scratch + pass->layout.work, fft, length);
    uint16_t *edges = (uint16_t *)(void *)(row + (channels > 1 ? (size_t)bands * channels : 0));
    /* the window's squares sum to 3 / 8 of its length, but for two samples to 1 */
    float weight = 2 / ((float)fft * (length == 2 ? 1.0f : 0.375f * (float)length));

    (void)eo_features_band_edges(numbers, edges); /* was good when the chain was opened */
    for (start = 0; start + length <= link->rows; start += step ? step : length) {
        for (channel = 0; channel < channels; channel++) {
            eo_spectrum_power(&spectrum, pass, at, start * channels + channel, channels);
            spectrum.frame[0] /= 2;
            spectrum.frame[fft / 2] /= 2;
            for (band = 0; band < bands; band++) {
                float sum = 0;
                for (bin = edges[band]; bin < edges[band + 1]; bin++) {
                    sum += spectrum.frame[bin];
                }
                sum *= weight;
                sum = logf(sum < numbers[EO_BANDS_FLOOR] ? numbers[EO_BANDS_FLOOR] : sum);
                if (channels > 1) {
                    row[band * channels + channel] = sum;
                } else {
                    eo_features_put(pass, sum);
                }
            }
        }
        for (band = 0; channels > 1 && band < bands * channels; band++) {
            eo_features_put(pass, row[band]);
        }
    }
}
