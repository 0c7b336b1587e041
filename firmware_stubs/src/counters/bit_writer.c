#include "counters/bit_writer.h"

#include "counters/integers.h"

void eo_bits_fixed(eo_bit_writer *writer, uint32_t value, unsigned width)
{
    for (; width > 0; width--, writer->bits++) {
        uint8_t mask = (uint8_t)(0x80u >> (writer->bits & 7));
        size_t at = writer->bits >> 3;
        if (at >= writer->size) {
            writer->status = writer->status == EO_OK ? EO_TOO_SMALL : writer->status;
            return;
        }
        if (mask == 0x80) {
            writer->bytes[at] = 0;
        }
        if (value >> (width - 1) & 1) {
            writer->bytes[at] |= mask;
        }
    }
}

void eo_bits_bounded(eo_bit_writer *writer, uint32_t value, uint32_t most)
{
    unsigned width = eo_bit_length(most + 1) - 1;
    uint32_t of_short_code = (UINT32_C(2) << width) - most - 1;

    if (value > most) {
        writer->status = EO_RANGE;
    } else if (value < of_short_code) {
        eo_bits_fixed(writer, value, width);
    } else {
        eo_bits_fixed(writer, value + of_short_code, width + 1);
    }
}

void eo_bits_free(eo_bit_writer *writer, uint32_t value, unsigned order)
{
    uint32_t high = (value >> order) + 1;
    unsigned width = eo_bit_length(high);

    eo_bits_fixed(writer, 0, width - 1);
    eo_bits_fixed(writer, high, width);
    eo_bits_fixed(writer, value, order);
}

static uint32_t sum_of(const uint16_t *counts, size_t size)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < size; i++) {
        sum += counts[i];
    }
    return sum;
}

void eo_bits_histogram(eo_bit_writer *writer, const uint16_t *counts, size_t size, uint32_t total)
{
    /* Parts that are still to come: the deepest of 64 counts leaves one on each of 6 levels, and its other half. */
    struct {
        uint8_t start, size;
    } parts[8];
    size_t left = 1;

    if (size > EO_MAX_HISTOGRAM || sum_of(counts, size) != total) {
        writer->status = EO_RANGE;
        return;
    }
    parts[0].start = 0;
    parts[0].size = (uint8_t)size;
    while (left > 0) {
        uint8_t start = parts[--left].start, count = parts[left].size, half = count / 2;
        uint32_t sum = sum_of(counts + start, count);
        if (count < 2 || sum == 0) {
            continue;
        }
        eo_bits_bounded(writer, sum_of(counts + start, half), sum);
        parts[left].start = (uint8_t)(start + half);
        parts[left++].size = (uint8_t)(count - half);
        parts[left].start = start;
        parts[left++].size = half;
    }
}
