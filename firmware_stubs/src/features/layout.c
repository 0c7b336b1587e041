/* Which steps run as one, which keep their result, and where all of it lies in the scratch. */
#include "features/chain.h"

static uint32_t values_before(const eo_features_link *link)
{
    bool image = link->op == EO_FEATURES_RESIZE || link->op == EO_FEATURES_GREY;
    return link->rows * link->depth * (image ? link->width : 1);
}

uint32_t eo_features_group_end(const eo_features *chain, uint32_t at)
{
    const eo_features_link *links = chain->links;
    uint32_t end = at + 1;

    if (links[at].op == EO_FEATURES_GREY && end < chain->count && links[end].op == EO_FEATURES_RESIZE) {
        end++;
    }
    if (links[end - 1].op == EO_FEATURES_RESIZE && end < chain->count && links[end].op == EO_FEATURES_GREY) {
        end++;
    }
    return end;
}

bool eo_features_streams(const eo_features *chain, uint32_t at)
{
    while (at < chain->count && chain->links[at].op <= EO_FEATURES_TAPER) {
        at++;
    }
    return at == chain->count;
}

uint32_t eo_features_stats_floats(const eo_features *chain, uint32_t at)
{
    const eo_features_link *link = &chain->links[at];
    bool per_window = link->op != EO_FEATURES_DETREND && chain->numbers[link->first] > 0;

    if (link->op < EO_FEATURES_DETREND || link->op > EO_FEATURES_RMS_SCALE) {
        return 0;
    }
    return 3 * (per_window ? 1 : link->depth);
}

/* No sum can overflow: 16 steps have at most 3 * 2**24 statistics each, everything else is at most 2**25. */
void eo_features_lay_out(const eo_features *chain, eo_features_layout *layout)
{
    uint32_t sizes[2] = {0, 0}, stats = 0, work = 0, turn = 0, at, end;

    for (at = 0; at < chain->count; at = end) {
        const eo_features_link *link = &chain->links[at];
        const float *numbers = chain->numbers + link->first;
        uint32_t floats = 0;

        layout->stats[at] = stats;
        stats += eo_features_stats_floats(chain, at);
        end = at + 1;
        if (link->op >= EO_FEATURES_RESIZE) {
            end = eo_features_group_end(chain, at);
            if (link->op == EO_FEATURES_FFT_BANDS) {
                floats = eo_features_bands_floats(numbers, link);
            } else if (link->op >= EO_FEATURES_LOG_MEL) {
                floats = eo_features_mel_floats(numbers, link);
            }
            if (!eo_features_streams(chain, end)) {
                uint32_t kept = values_before(&chain->links[end]);
                sizes[turn] = kept > sizes[turn] ? kept : sizes[turn];
                turn ^= 1;
            }
        }
        work = floats > work ? floats : work;
    }
    layout->buffers[0] = stats;
    layout->buffers[1] = stats + sizes[0];
    layout->work = layout->buffers[1] + sizes[1];
    layout->floats = layout->work + work;
}
