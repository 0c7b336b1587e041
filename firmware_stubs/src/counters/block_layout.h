/* What writer and reader of a block of counters share: docs/protocol.md, "Counters". */
#ifndef EDGEOPS_COUNTERS_BLOCK_LAYOUT_H
#define EDGEOPS_COUNTERS_BLOCK_LAYOUT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EO_BLOCK_MAX_BYTES 2048u
#define EO_BLOCK_FLAG_BITS 4u
#define EO_BLOCK_MARGIN 1u
#define EO_BLOCK_MOMENTS 2u
#define EO_BLOCK_FOURIER 4u
#define EO_BLOCK_MAX_FEATURES 32u
#define EO_BLOCK_MAX_CLASSES 64u
#define EO_BLOCK_INFERENCES_ORDER 10u
#define EO_BLOCK_FAILURES_ORDER 4u
#define EO_BLOCK_MAX_SQUARE 4096u /* of the steps of one value */
#define EO_BLOCK_ONE 127u         /* the largest Fourier feature of one input */

/* The largest sum of n integers whose squares add up to `squares`; odd where that is odd. */
uint32_t eo_block_largest_sum(uint32_t squares, uint32_t n);

#ifdef __cplusplus
}
#endif
#endif
