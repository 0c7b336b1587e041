/* Power spectra of frames under a periodic Hann window. */
#include <math.h>

#include "features/chain.h"

void eo_quarter_cosines(float *quarter, uint32_t count)
{
    uint32_t k;
    for (k = 0; k <= count; k++) {
        /* from the nearer end, where the value is good to its last digit */
        quarter[k] = 2 * k <= count ? cosf(EO_PI / 2 * (float)k / (float)count)
                                    : sinf(EO_PI / 2 * (float)(count - k) / (float)count);
    }
}

uint32_t eo_spectrum_floats(uint32_t fft, uint32_t length)
{
    return fft + fft / 4 + 1 + length / 2 + 1;
}

float *eo_spectrum_open(eo_spectrum *spectrum, float *work, uint32_t fft, uint32_t length)
{
    uint32_t i;

    spectrum->fft = fft;
    spectrum->length = length;
    spectrum->frame = work;
    spectrum->quarter = work + fft;
    spectrum->window = spectrum->quarter + fft / 4 + 1;
    eo_quarter_cosines(spectrum->quarter, fft / 4);
    for (i = 0; i <= length / 2; i++) {
        float sine = sinf(EO_PI * (float)i / (float)length);
        spectrum->window[i] = sine * sine;
    }
    return spectrum->window + length / 2 + 1;
}

void eo_spectrum_power(eo_spectrum *spectrum, const eo_features_pass *pass, uint32_t to, uint32_t first,
                       uint32_t stride)
{
    uint32_t length = spectrum->length, i;

    for (i = 0; i < length; i++) {
        float weight = spectrum->window[2 * i <= length ? i : length - i];
        spectrum->frame[i] = eo_features_value(pass, to, first + i * stride) * weight;
    }
    for (; i < spectrum->fft; i++) {
        spectrum->frame[i] = 0;
    }
    eo_fft_power(spectrum->frame, spectrum->fft, spectrum->quarter);
}
