/* grey and resize, in float32 and in Python's order of operations. */
#include "features/chain.h"

/* An output pixel between two input pixels of one axis, and the weight of the second. */
typedef struct neighbours {
    uint32_t first, second;
    float weight;
} neighbours;

/* (place + 0.5) * size / wanted - 0.5 as a fraction of whole numbers: exact. size <= 65535, wanted <= 4096. */
static neighbours between(uint32_t place, uint32_t size, uint32_t wanted)
{
    neighbours found;
    uint32_t above = (2 * place + 1) * size + wanted; /* by one pixel more, so that it is not below zero */
    uint32_t low = above / (2 * wanted);              /* the first neighbour plus one */

    found.weight = (float)(above % (2 * wanted)) / (float)(2 * wanted);
    found.first = low > 0 ? low - 1 : 0;
    found.second = low < size ? low : size - 1;
    return found;
}

/* Luma of ITU-R BT.601. */
static float luma(const float *pixel)
{
    return pixel[0] * 0.299f + pixel[1] * 0.587f + pixel[2] * 0.114f;
}

/* One channel of an input pixel, or its luma. */
static float channel_of(const eo_features_pass *pass, uint32_t at, uint32_t pixel, uint32_t channel, bool grey)
{
    uint32_t depth = pass->chain->links[at].depth, i;
    float colours[3];

    if (!grey) {
        return eo_features_value(pass, at, pixel * depth + channel);
    }
    for (i = 0; i < 3; i++) {
        colours[i] = eo_features_value(pass, at, pixel * 3 + i);
    }
    return luma(colours);
}

void eo_features_image(eo_features_pass *pass, uint32_t at, uint32_t end)
{
    const eo_features_link *links = pass->chain->links, *link = &links[at], *resize = NULL;
    bool grey_first = link->op == EO_FEATURES_GREY && link->depth == 3;
    bool grey_last = end - at > 1 && links[end - 1].op == EO_FEATURES_GREY && links[end - 1].depth == 3;
    uint32_t depth = grey_first ? 1 : link->depth, height = link->rows, width = link->width, x, y, c, i;

    for (i = at; i < end; i++) {
        if (links[i].op == EO_FEATURES_RESIZE) {
            resize = &links[i];
        }
    }
    if (resize != NULL) {
        height = (uint32_t)pass->chain->numbers[resize->first];
        width = (uint32_t)pass->chain->numbers[resize->first + 1];
    }
    for (y = 0; y < height; y++) {
        neighbours down = resize != NULL ? between(y, link->rows, height) : (neighbours){y, y, 0};
        for (x = 0; x < width; x++) {
            neighbours across = resize != NULL ? between(x, link->width, width) : (neighbours){x, x, 0};
            float colours[3];
            for (c = 0; c < depth; c++) {
                uint32_t above = down.first * link->width, below = down.second * link->width;
                float value = channel_of(pass, at, above + across.first, c, grey_first);
                if (resize != NULL) {
                    float lower = channel_of(pass, at, below + across.first, c, grey_first);
                    value += (channel_of(pass, at, above + across.second, c, grey_first) - value) * across.weight;
                    lower += (channel_of(pass, at, below + across.second, c, grey_first) - lower) * across.weight;
                    value += (lower - value) * down.weight;
                }
                if (!grey_last) {
                    eo_features_put(pass, value);
                } else {
                    colours[c] = value;
                }
            }
            if (grey_last) {
                eo_features_put(pass, luma(colours));
            }
        }
    }
}
