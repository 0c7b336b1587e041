/* Writes the codes of edgeops/core/bit_codes.py, the most significant bit first. */
#ifndef EDGEOPS_COUNTERS_BIT_WRITER_H
#define EDGEOPS_COUNTERS_BIT_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "edgeops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EO_MAX_HISTOGRAM 64u

/* The first thing that goes wrong stays in `status`, so that it is asked for once, at the end. */
typedef struct eo_bit_writer {
    uint8_t *bytes;
    size_t size; /* of the bytes */
    size_t bits; /* written so far */
    eo_status status;
} eo_bit_writer;

/* The lowest `width` <= 32 bits of a value. EO_TOO_SMALL. */
void eo_bits_fixed(eo_bit_writer *writer, uint32_t value, unsigned width);

/* A value in 0..most, most below 2**31; EO_RANGE where it is not. */
void eo_bits_bounded(eo_bit_writer *writer, uint32_t value, uint32_t most);

/* Any value below 2**31. */
void eo_bits_free(eo_bit_writer *writer, uint32_t value, unsigned order);

/* At most EO_MAX_HISTOGRAM counts that add up to `total`; EO_RANGE where they do not. */
void eo_bits_histogram(eo_bit_writer *writer, const uint16_t *counts, size_t size, uint32_t total);

#ifdef __cplusplus
}
#endif
#endif
