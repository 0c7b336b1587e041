/* Reads and merges blocks of counters, as edgeops/core/counter_block.py and counters.py do. For gateways and tests: an
 * agent only writes them, and this is not linked to it. */
#ifndef EDGEOPS_COUNTERS_BLOCK_READER_H
#define EDGEOPS_COUNTERS_BLOCK_READER_H

#include "counters/block_layout.h"
#include "edgeops/counters.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct eo_counted_moments {
    int64_t sum;
    uint64_t squares;
} eo_counted_moments;

/* 6 KB. What the flags and the numbers of features and classes leave out is 0. */
typedef struct eo_counters {
    uint8_t bins[EO_BINS_DIGEST];
    uint8_t flags; /* EO_BLOCK_MARGIN, ... */
    uint8_t feature_count, class_count;
    uint64_t inferences, errors, rejected, missing, observed, stuck;
    uint64_t classes[EO_BLOCK_MAX_CLASSES];
    uint64_t confidence[EO_CONFIDENCE_BINS];
    uint64_t latency[EO_LATENCY_BINS];
    uint64_t margin[EO_BINS];
    eo_counted_moments margin_moments;
    uint64_t features[EO_BLOCK_MAX_FEATURES][EO_BINS];
    eo_counted_moments moments[EO_BLOCK_MAX_FEATURES];
    int64_t fourier[EO_COMPONENTS];
} eo_counters;

/* EO_MALFORMED for anything that eo_window_pack does not write, in any build. */
eo_status eo_counters_read(eo_counters *counters, const uint8_t *block, size_t size);

/* Adds `more`; EO_ARGUMENT where bins or shapes differ. */
eo_status eo_counters_merge(eo_counters *counters, const eo_counters *more);

#ifdef __cplusplus
}
#endif
#endif
