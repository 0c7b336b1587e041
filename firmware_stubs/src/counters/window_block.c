/* A window as the block of bits that a report carries: edgeops/core/counter_block.py. */
#include <string.h>

#include "counters/bit_writer.h"
#include "counters/block_layout.h"
#include "edgeops/counters.h"

static void write_moments(eo_bit_writer *bits, const eo_moments *moments, uint32_t n)
{
    uint32_t most = eo_block_largest_sum(moments->squares, n);

    eo_bits_bounded(bits, moments->squares, EO_BLOCK_MAX_SQUARE * n);
    eo_bits_bounded(bits, (uint32_t)(moments->sum + (int32_t)most) / 2, most);
}

eo_status eo_window_pack(const eo_window *window, const eo_observe_plan *plan, uint8_t *buffer, size_t size,
                         size_t *packed)
{
    eo_bit_writer writer = {buffer, size, 8 * EO_BINS_DIGEST, EO_OK}, *bits = &writer;
    uint32_t inferences = window->inferences, observed = window->observed;
    uint32_t failed = (uint32_t)window->errors + window->rejected;
    uint32_t flags = (plan->has_margin ? EO_BLOCK_MARGIN : 0) | (plan->feature_count ? EO_BLOCK_MOMENTS : 0) |
                     (plan->fourier_at != 0 ? EO_BLOCK_FOURIER : 0);

    if (size < EO_BINS_DIGEST) {
        return EO_TOO_SMALL;
    }
    memcpy(buffer, plan->digest, EO_BINS_DIGEST);
    eo_bits_fixed(bits, flags, EO_BLOCK_FLAG_BITS);
    eo_bits_bounded(bits, plan->feature_count, EO_BLOCK_MAX_FEATURES);
    eo_bits_bounded(bits, plan->class_count, EO_BLOCK_MAX_CLASSES);
    eo_bits_free(bits, inferences, EO_BLOCK_INFERENCES_ORDER);
    eo_bits_free(bits, failed, EO_BLOCK_FAILURES_ORDER);
    eo_bits_bounded(bits, window->errors, failed);
    eo_bits_bounded(bits, window->missing, window->rejected);
    eo_bits_bounded(bits, observed, inferences);
    eo_bits_bounded(bits, window->stuck, observed);
    eo_bits_histogram(bits, window->classes, plan->class_count, inferences);
    eo_bits_histogram(bits, window->confidence, EO_CONFIDENCE_BINS, inferences);
    eo_bits_histogram(bits, window->latency, EO_LATENCY_BINS, inferences);
    if (plan->has_margin) {
        eo_bits_histogram(bits, window->margin, EO_BINS, inferences);
        write_moments(bits, &window->margin_moments, inferences);
    }
    for (size_t i = 0; i < plan->feature_count; i++) {
        eo_bits_histogram(bits, window->bins[i], EO_BINS, observed);
    }
    for (size_t i = 0; i < plan->feature_count; i++) {
        write_moments(bits, &window->moments[i], observed);
    }
#if EO_FOURIER
    if (plan->fourier_at != 0) {
        for (size_t i = 0; i < EO_COMPONENTS; i++) {
            int32_t most = (int32_t)(EO_BLOCK_ONE * observed);
            eo_bits_bounded(bits, (uint32_t)(window->fourier[i] + most), 2 * (uint32_t)most);
        }
    }
#endif
    if (writer.status == EO_OK) {
        *packed = (writer.bits + 7) / 8;
    }
    return writer.status;
}
