#include "counters/bit_reader.h"

#include "counters/integers.h"

uint32_t eo_bits_read_fixed(eo_bit_reader *reader, unsigned width)
{
    uint32_t value = 0;

    if (width > 8 * reader->size - reader->bits) {
        reader->status = EO_MALFORMED;
    }
    if (reader->status != EO_OK) {
        return 0;
    }
    for (; width > 0; width--, reader->bits++) {
        value = value << 1 | ((uint32_t)reader->bytes[reader->bits >> 3] >> (7 - (reader->bits & 7)) & 1u);
    }
    return value;
}

uint32_t eo_bits_read_bounded(eo_bit_reader *reader, uint32_t most)
{
    unsigned width = eo_bit_length(most + 1) - 1;
    uint32_t of_short_code = (UINT32_C(2) << width) - most - 1;
    uint32_t value = eo_bits_read_fixed(reader, width);

    if (value >= of_short_code) {
        value = (value << 1 | eo_bits_read_fixed(reader, 1)) - of_short_code;
    }
    return reader->status == EO_OK ? value : 0;
}

uint32_t eo_bits_read_free(eo_bit_reader *reader, unsigned order)
{
    unsigned zeros = 0;
    uint32_t high;

    while (reader->status == EO_OK && eo_bits_read_fixed(reader, 1) == 0) {
        if (++zeros + order >= 30) {
            reader->status = EO_MALFORMED;
        }
    }
    high = (UINT32_C(1) << zeros | eo_bits_read_fixed(reader, zeros)) - 1;
    return high << order | eo_bits_read_fixed(reader, order);
}

void eo_bits_read_histogram(eo_bit_reader *reader, uint64_t *counts, size_t size, uint32_t total)
{
    /* Parts that are still to come, as in eo_bits_histogram. */
    struct {
        uint8_t start, size;
        uint32_t total;
    } parts[8];
    size_t left = 1;

    if (size > 64 || (size == 0 && total != 0)) {
        reader->status = EO_MALFORMED;
        return;
    }
    parts[0].start = 0;
    parts[0].size = (uint8_t)size;
    parts[0].total = total;
    while (left > 0) {
        uint8_t start = parts[--left].start, count = parts[left].size, half = count / 2;
        uint32_t sum = parts[left].total, below;
        if (count < 2 || sum == 0) {
            for (uint8_t i = 0; i < count; i++) {
                counts[start + i] = sum; /* of one count alone, or 0 */
            }
            continue;
        }
        below = eo_bits_read_bounded(reader, sum);
        parts[left].start = (uint8_t)(start + half);
        parts[left].size = (uint8_t)(count - half);
        parts[left++].total = sum - below;
        parts[left].start = start;
        parts[left].size = half;
        parts[left++].total = below;
    }
}

eo_status eo_bits_read_end(eo_bit_reader *reader)
{
    size_t left = 8 * reader->size - reader->bits;

    if (reader->status == EO_OK && (left > 7 || eo_bits_read_fixed(reader, (unsigned)left) != 0)) {
        reader->status = EO_MALFORMED;
    }
    return reader->status;
}
