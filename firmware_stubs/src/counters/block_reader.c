#include "counters/block_reader.h"

#include <string.h>

#include "counters/bit_reader.h"

static void read_moments(eo_bit_reader *bits, eo_counted_moments *moments, uint32_t n)
{
    uint32_t squares = eo_bits_read_bounded(bits, EO_BLOCK_MAX_SQUARE * n);
    uint32_t most = eo_block_largest_sum(squares, n);

    moments->squares = squares;
    moments->sum = 2 * (int64_t)eo_bits_read_bounded(bits, most) - most;
}

/* The counts before the histograms; `failed` are errors and refused inputs. */
static void read_counts(eo_bit_reader *bits, eo_counters *counters)
{
    uint32_t failed;

    counters->inferences = eo_bits_read_free(bits, EO_BLOCK_INFERENCES_ORDER);
    failed = eo_bits_read_free(bits, EO_BLOCK_FAILURES_ORDER);
    if (counters->inferences > EO_MAX_COUNT || failed / 2 > EO_MAX_COUNT) {
        bits->status = EO_MALFORMED;
        counters->inferences = failed = 0;
    }
    counters->errors = eo_bits_read_bounded(bits, failed);
    counters->rejected = failed - counters->errors;
    if (counters->errors > EO_MAX_COUNT || counters->rejected > EO_MAX_COUNT) {
        bits->status = EO_MALFORMED;
    }
    counters->missing = eo_bits_read_bounded(bits, (uint32_t)counters->rejected);
    counters->observed = eo_bits_read_bounded(bits, (uint32_t)counters->inferences);
    counters->stuck = eo_bits_read_bounded(bits, (uint32_t)counters->observed);
}

eo_status eo_counters_read(eo_counters *counters, const uint8_t *block, size_t size)
{
    eo_bit_reader reader = {block, size, 8 * EO_BINS_DIGEST, EO_OK}, *bits = &reader;
    uint32_t inferences, observed;

    memset(counters, 0, sizeof *counters);
    if (size <= EO_BINS_DIGEST || size > EO_BLOCK_MAX_BYTES) {
        return EO_MALFORMED;
    }
    memcpy(counters->bins, block, EO_BINS_DIGEST);
    counters->flags = (uint8_t)eo_bits_read_fixed(bits, EO_BLOCK_FLAG_BITS);
    counters->feature_count = (uint8_t)eo_bits_read_bounded(bits, EO_BLOCK_MAX_FEATURES);
    counters->class_count = (uint8_t)eo_bits_read_bounded(bits, EO_BLOCK_MAX_CLASSES);
    if (counters->flags > (EO_BLOCK_MARGIN | EO_BLOCK_MOMENTS | EO_BLOCK_FOURIER) ||
        (counters->flags & EO_BLOCK_MOMENTS && counters->feature_count == 0)) {
        return EO_MALFORMED;
    }
    read_counts(bits, counters);
    inferences = (uint32_t)counters->inferences;
    observed = (uint32_t)counters->observed;
    eo_bits_read_histogram(bits, counters->classes, counters->class_count, inferences);
    eo_bits_read_histogram(bits, counters->confidence, EO_CONFIDENCE_BINS, inferences);
    eo_bits_read_histogram(bits, counters->latency, EO_LATENCY_BINS, inferences);
    if (counters->flags & EO_BLOCK_MARGIN) {
        eo_bits_read_histogram(bits, counters->margin, EO_BINS, inferences);
        read_moments(bits, &counters->margin_moments, inferences);
    }
    for (size_t i = 0; i < counters->feature_count; i++) {
        eo_bits_read_histogram(bits, counters->features[i], EO_BINS, observed);
    }
    for (size_t i = 0; counters->flags & EO_BLOCK_MOMENTS && i < counters->feature_count; i++) {
        read_moments(bits, &counters->moments[i], observed);
    }
    for (size_t i = 0; counters->flags & EO_BLOCK_FOURIER && i < EO_COMPONENTS; i++) {
        uint32_t most = EO_BLOCK_ONE * observed;
        counters->fourier[i] = (int64_t)eo_bits_read_bounded(bits, 2 * most) - most;
    }
    return eo_bits_read_end(bits);
}

static void add(uint64_t *sums, const uint64_t *more, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        sums[i] += more[i];
    }
}

static void add_moments(eo_counted_moments *sums, const eo_counted_moments *more)
{
    sums->sum += more->sum;
    sums->squares += more->squares;
}

eo_status eo_counters_merge(eo_counters *counters, const eo_counters *more)
{
    if (memcmp(counters->bins, more->bins, EO_BINS_DIGEST) != 0 || counters->flags != more->flags ||
        counters->feature_count != more->feature_count || counters->class_count != more->class_count) {
        return EO_ARGUMENT;
    }
    counters->inferences += more->inferences;
    counters->errors += more->errors;
    counters->rejected += more->rejected;
    counters->missing += more->missing;
    counters->observed += more->observed;
    counters->stuck += more->stuck;
    add(counters->classes, more->classes, EO_BLOCK_MAX_CLASSES);
    add(counters->confidence, more->confidence, EO_CONFIDENCE_BINS);
    add(counters->latency, more->latency, EO_LATENCY_BINS);
    add(counters->margin, more->margin, EO_BINS);
    add_moments(&counters->margin_moments, &more->margin_moments);
    for (size_t i = 0; i < EO_BLOCK_MAX_FEATURES; i++) {
        add(counters->features[i], more->features[i], EO_BINS);
        add_moments(&counters->moments[i], &more->moments[i]);
    }
    for (size_t i = 0; i < EO_COMPONENTS; i++) {
        counters->fourier[i] += more->fourier[i];
    }
    return EO_OK;
}
