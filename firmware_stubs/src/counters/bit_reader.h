/* Reads the codes of edgeops/core/bit_codes.py. Not linked to an agent, which only writes them. */
#ifndef EDGEOPS_COUNTERS_BIT_READER_H
#define EDGEOPS_COUNTERS_BIT_READER_H

#include <stddef.h>
#include <stdint.h>

#include "edgeops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* After the first thing that is wrong every read gives 0, and `status` says EO_MALFORMED. */
typedef struct eo_bit_reader {
    const uint8_t *bytes;
    size_t size; /* of the bytes */
    size_t bits; /* read so far */
    eo_status status;
} eo_bit_reader;

uint32_t eo_bits_read_fixed(eo_bit_reader *reader, unsigned width); /* at most 32 bits */

/* A value in 0..most, most below 2**31. */
uint32_t eo_bits_read_bounded(eo_bit_reader *reader, uint32_t most);

/* A value below 2**30; a higher one is EO_MALFORMED. */
uint32_t eo_bits_read_free(eo_bit_reader *reader, unsigned order);

/* At most 64 counts that add up to `total`. */
void eo_bits_read_histogram(eo_bit_reader *reader, uint64_t *counts, size_t size, uint32_t total);

/* EO_MALFORMED where more is left than zero bits to the end of a byte, or anything before was wrong. */
eo_status eo_bits_read_end(eo_bit_reader *reader);

#ifdef __cplusplus
}
#endif
#endif
