#include "counters/fourier.h"

/* round(127 * cos(2 * pi * place / 256)) of the first quarter of a turn. */
static const int8_t QUARTER[65] = {
    127, 127, 127, 127, 126, 126, 126, 125, 125, 124, 123, 122, 122, 121, 120, 118, 117, 116, 115, 113,
    112, 111, 109, 107, 106, 104, 102, 100, 98, 96, 94, 92, 90, 88, 85, 83, 81, 78, 76, 73,
    71, 68, 65, 63, 60, 57, 54, 51, 49, 46, 43, 40, 37, 34, 31, 28, 25, 22, 19, 16,
    12, 9, 6, 3, 0,
};

static int32_t cosine(uint32_t place)
{
    if (place > 128) {
        place = 256 - place;
    }
    return place > 64 ? -QUARTER[128 - place] : QUARTER[place];
}

static uint32_t little_endian(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8;
}

void eo_fourier_add(const eo_observe_plan *plan, const int8_t *steps, int32_t sums[EO_COMPONENTS])
{
    const uint8_t *weights = plan->bytes + plan->fourier_at;

    for (size_t component = 0; component < EO_COMPONENTS; component++) {
        const uint8_t *at = weights + 2 * component;
        uint32_t angle = 0; /* in 65,536ths of a turn; what is above 16 bits is turns */
        for (size_t feature = 0; feature < plan->feature_count; feature++, at += 2 * EO_COMPONENTS) {
            angle += (uint32_t)((int16_t)little_endian(at) * steps[feature]);
        }
        angle += little_endian(at);
        sums[component] += cosine(angle >> 8 & 255);
    }
}
