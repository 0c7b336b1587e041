/* Counting without Python: the protocol's worked example, what a window takes, arithmetic, and blocks of any bytes.
 * That C counts as Python does is proved in tests/firmware/test_counters.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counters/bit_reader.h"
#include "counters/bit_writer.h"
#include "counters/block_reader.h"
#include "counters/integers.h"
#include "edgeops/counters.h"
#include "check.h"

/* The example of docs/protocol.md: ten inferences of which five were observed, one feature and two classes. */
static const uint8_t EXAMPLE[] = {0x0A, 0x0B, 0x0C, 0x0D, 0x20, 0x85, 0x02, 0xA6, 0xD4,
                                  0x60, 0x02, 0x7F, 0xF8, 0xE1, 0x00, 0x07, 0x40};

static void example(eo_observe_plan *plan, eo_window *window)
{
    static const uint8_t digest[EO_BINS_DIGEST] = {0x0A, 0x0B, 0x0C, 0x0D};

    memset(plan, 0, sizeof *plan);
    memcpy(plan->digest, digest, sizeof digest);
    plan->feature_count = 1;
    plan->class_count = 2;
    eo_window_begin(window, 0);
    window->inferences = 10;
    window->observed = 5;
    eo_window_error(window);
    eo_window_rejected(window, 1);
    eo_window_rejected(window, 0);
    window->classes[0] = 7;
    window->classes[1] = 3;
    window->confidence[14] = 4;
    window->confidence[15] = 6;
    window->latency[1] = 10;
    window->bins[0][4] = 2;
    window->bins[0][5] = 3;
    window->moments[0].sum = -3;
    window->moments[0].squares = 7;
}

static void test_worked_example(void)
{
    eo_observe_plan plan;
    eo_window window;
    eo_counters read;
    uint8_t block[EO_MAX_BLOCK];
    size_t size = 0;

    example(&plan, &window);
    CHECK(eo_window_pack(&window, &plan, block, sizeof block, &size) == EO_OK);
    CHECK(size == sizeof EXAMPLE && memcmp(block, EXAMPLE, size) == 0);
    CHECK(eo_counters_read(&read, EXAMPLE, sizeof EXAMPLE) == EO_OK);
    CHECK(read.flags == EO_BLOCK_MOMENTS && read.feature_count == 1 && read.class_count == 2);
    CHECK(read.inferences == 10 && read.errors == 1 && read.rejected == 2 && read.missing == 1);
    CHECK(read.observed == 5 && read.stuck == 0 && read.classes[0] == 7 && read.classes[1] == 3);
    CHECK(read.confidence[14] == 4 && read.latency[1] == 10 && read.features[0][5] == 3);
    CHECK(read.moments[0].sum == -3 && read.moments[0].squares == 7);
    CHECK(eo_counters_merge(&read, &read) == EO_OK && read.inferences == 20 && read.moments[0].sum == -6);
}

/* Each number of a window that its plan cannot have counted is found when it is packed. */
static void test_a_window_of_another_plan_is_not_packed(void)
{
    eo_observe_plan plan;
    eo_window window;
    uint8_t block[EO_MAX_BLOCK];
    size_t size = 77;

    example(&plan, &window);
    window.classes[0]++;
    CHECK(eo_window_pack(&window, &plan, block, sizeof block, &size) == EO_RANGE);
    example(&plan, &window);
    window.bins[0][11]++;
    CHECK(eo_window_pack(&window, &plan, block, sizeof block, &size) == EO_RANGE);
    example(&plan, &window);
    window.observed = 11;
    CHECK(eo_window_pack(&window, &plan, block, sizeof block, &size) == EO_RANGE);
    example(&plan, &window);
    window.moments[0].sum = -9;
    CHECK(eo_window_pack(&window, &plan, block, sizeof block, &size) == EO_RANGE);
    example(&plan, &window);
    CHECK(eo_window_pack(&window, &plan, block, EO_BINS_DIGEST - 1, &size) == EO_TOO_SMALL);
    CHECK(size == 77);
}

/* Every count is as high as it can be: what EO_MAX_BLOCK promises. */
static void test_the_fullest_window_fits(void)
{
    eo_observe_plan plan;
    eo_window window;
    eo_counters read;
    uint8_t block[EO_MAX_BLOCK];
    size_t size = 0;

    example(&plan, &window);
    plan.feature_count = EO_MAX_FEATURES;
    plan.class_count = EO_MAX_CLASSES;
    plan.has_margin = 1;
    plan.fourier_at = EO_FOURIER ? 1 : 0;
    window.inferences = window.observed = window.stuck = EO_MAX_COUNT;
    window.errors = window.rejected = window.missing = EO_MAX_COUNT;
    memset(window.classes, 0, sizeof window.classes);
    memset(window.confidence, 0, sizeof window.confidence);
    memset(window.latency, 0, sizeof window.latency);
    for (size_t i = 0; i < EO_MAX_CLASSES; i++) {
        window.classes[i] = (uint16_t)(EO_MAX_COUNT / EO_MAX_CLASSES);
    }
    window.classes[0] = (uint16_t)(window.classes[0] + EO_MAX_COUNT % EO_MAX_CLASSES);
    window.confidence[15] = window.latency[15] = window.margin[11] = EO_MAX_COUNT;
    window.margin_moments.sum = 64 * (int32_t)EO_MAX_COUNT;
    window.margin_moments.squares = 4096 * EO_MAX_COUNT;
    for (size_t i = 0; i < EO_MAX_FEATURES; i++) {
        memset(window.bins[i], 0, sizeof window.bins[i]);
        window.bins[i][11] = EO_MAX_COUNT;
        window.moments[i] = window.margin_moments;
    }
#if EO_FOURIER
    for (size_t i = 0; i < EO_COMPONENTS; i++) {
        window.fourier[i] = 127 * (int32_t)EO_MAX_COUNT;
    }
#endif
    CHECK(eo_window_pack(&window, &plan, block, sizeof block, &size) == EO_OK);
    CHECK(eo_counters_read(&read, block, size) == EO_OK);
    CHECK(read.feature_count == EO_MAX_FEATURES && read.errors == EO_MAX_COUNT && read.stuck == EO_MAX_COUNT);
}

static void test_memory(void)
{
    /* with 12 features and 64 classes; the multivariate test's sums apart */
    CHECK(sizeof(eo_window) - (EO_FOURIER ? sizeof(int32_t) * EO_COMPONENTS : 0) <= 700);
    CHECK(EO_MAX_BLOCK <= EO_BLOCK_MAX_BYTES);
    CHECK(sizeof(eo_bins) == 6);
}

static uint32_t drawn(uint32_t *state)
{
    *state = *state * UINT32_C(1664525) + UINT32_C(1013904223);
    return *state >> 8;
}

static void test_arithmetic(void)
{
    uint32_t state = 1;

    for (unsigned i = 0; i < 20000; i++) {
        uint64_t a = ((uint64_t)drawn(&state) << 40 ^ (uint64_t)drawn(&state) << 20 ^ drawn(&state)) >> i % 64;
        uint64_t b = (((uint64_t)drawn(&state) << 24 ^ drawn(&state)) >> drawn(&state) % 48) + 1;
        uint64_t root = eo_square_root(a);
        int32_t c = (int32_t)drawn(&state) - (1 << 23), d = (int32_t)(drawn(&state) % 1000) + 1;
        int32_t floored = eo_floor_divide(c, d);
        CHECK(eo_divide(a, b) == a / b);
        CHECK(root * root <= a && (root == UINT32_MAX || (root + 1) * (root + 1) > a));
        CHECK(floored * d <= c && c < floored * d + d);
    }
    CHECK(eo_divide(UINT64_MAX, 1) == UINT64_MAX && eo_divide(0, 5) == 0 && eo_divide(4, 5) == 0);
    CHECK(eo_square_root(UINT64_MAX) == UINT32_MAX && eo_square_root(0) == 0);
    CHECK(eo_bit_length(0) == 0 && eo_bit_length(1) == 1 && eo_bit_length(UINT32_MAX) == 32);
}

/* Whatever stands in a block, it is refused, or its counts add up; sanitizers see to the rest. */
static void test_blocks_of_any_bytes(void)
{
    uint32_t state = 7;
    unsigned taken = 0;

    for (unsigned i = 0; i < 20000; i++) {
        size_t size = drawn(&state) % 80;
        uint8_t *block = malloc(size + 1); /* of its own, so that a sanitizer sees what is read behind it */
        eo_counters read;
        if (block == NULL) {
            abort();
        }
        for (size_t at = 0; at < size; at++) {
            block[at] = (uint8_t)drawn(&state);
        }
        if (i % 2 != 0) { /* near to one that is right */
            size = size < sizeof EXAMPLE ? size : sizeof EXAMPLE;
            memcpy(block, EXAMPLE, size);
            if (size != 0) {
                block[drawn(&state) % size] ^= (uint8_t)(1u << drawn(&state) % 8);
            }
        }
        if (eo_counters_read(&read, block, size) == EO_OK) {
            uint64_t sum = 0;
            for (size_t bin = 0; bin < EO_CONFIDENCE_BINS; bin++) {
                sum += read.confidence[bin];
            }
            CHECK(sum == read.inferences && read.inferences <= EO_MAX_COUNT && read.observed <= read.inferences);
            CHECK(read.missing <= read.rejected && read.stuck <= read.observed);
            taken++;
        }
        free(block);
    }
    CHECK(taken > 100); /* otherwise nothing was looked at */
}

/* Any counts come back as they went, in as many bits. */
static void test_codes(void)
{
    uint32_t state = 3;

    for (unsigned i = 0; i < 5000; i++) {
        uint16_t counts[EO_MAX_HISTOGRAM];
        uint64_t read[EO_MAX_HISTOGRAM];
        uint8_t bytes[256];
        size_t size = drawn(&state) % (EO_MAX_HISTOGRAM + 1);
        uint32_t total = 0, most = drawn(&state) % 5000 + 1, value = drawn(&state) % 65536, free_value = value * 7;
        eo_bit_writer writer = {bytes, sizeof bytes, 0, EO_OK};
        eo_bit_reader reader = {bytes, 0, 0, EO_OK};
        for (size_t bin = 0; bin < size; bin++) {
            counts[bin] = (uint16_t)(drawn(&state) % (i % 3 == 0 ? 2u : 900u));
            total += counts[bin];
        }
        eo_bits_histogram(&writer, counts, size, total);
        eo_bits_bounded(&writer, value % most, most);
        eo_bits_free(&writer, free_value, i % 12);
        CHECK(writer.status == EO_OK);
        reader.size = (writer.bits + 7) / 8;
        eo_bits_read_histogram(&reader, read, size, total);
        for (size_t bin = 0; bin < size; bin++) {
            CHECK(read[bin] == counts[bin]);
        }
        CHECK(eo_bits_read_bounded(&reader, most) == value % most);
        CHECK(eo_bits_read_free(&reader, i % 12) == free_value);
        CHECK(reader.bits == writer.bits && eo_bits_read_end(&reader) == EO_OK);
    }
}

int main(void)
{
    test_worked_example();
    test_a_window_of_another_plan_is_not_packed();
    test_the_fullest_window_fits();
    test_memory();
    test_arithmetic();
    test_blocks_of_any_bytes();
    test_codes();
    return failures != 0;
}
