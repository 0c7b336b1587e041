/* Blocks of counters and plans of what is counted, from anyone. Of the first byte bit 0 chooses the reader.
 * A block: what is read is consistent, is merged with itself, and reads the same again. A plan: its length (two bytes)
 * and it, then bytes that are inputs and scores; a window that is counted with it is packed, and the reader takes it. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "counters/block_reader.h"

#define ROUNDS 40u
#define MOST_VALUES 4096u /* of an input; more takes time and shows nothing new */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* Memory of just its size, so that the sanitizers see a byte too much. */
static uint8_t *copied(const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size > 0 ? size : 1);
    need(bytes != NULL);
    if (size > 0) {
        memcpy(bytes, data, size);
    }
    return bytes;
}

static uint64_t total(const uint64_t *counts, size_t size)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < size; i++) {
        sum += counts[i];
    }
    return sum;
}

static void check_counts(const eo_counters *counters)
{
    need(counters->feature_count <= EO_BLOCK_MAX_FEATURES && counters->class_count <= EO_BLOCK_MAX_CLASSES);
    need(counters->missing <= counters->rejected && counters->stuck <= counters->observed &&
         counters->observed <= counters->inferences && counters->inferences <= EO_MAX_COUNT);
    need(counters->class_count == 0 || total(counters->classes, counters->class_count) == counters->inferences);
    need(total(counters->confidence, EO_CONFIDENCE_BINS) == counters->inferences);
    need(total(counters->latency, EO_LATENCY_BINS) == counters->inferences);
    for (size_t i = 0; i < counters->feature_count; i++) {
        need(total(counters->features[i], EO_BINS) == counters->observed);
    }
}

static void read_block(const uint8_t *data, size_t size)
{
    static eo_counters counters, again;
    uint8_t *block = copied(data, size);
    if (eo_counters_read(&counters, block, size) == EO_OK) {
        check_counts(&counters);
        need(eo_counters_read(&again, block, size) == EO_OK && memcmp(&counters, &again, sizeof counters) == 0);
        need(eo_counters_merge(&counters, &again) == EO_OK && counters.inferences == 2 * again.inferences);
    }
    free(block);
}

static uint8_t next_byte(const uint8_t **at, size_t *left, unsigned otherwise)
{
    if (*left == 0) {
        return (uint8_t)(otherwise * 167u + 13u);
    }
    *left -= 1;
    return *(*at)++;
}

/* So many inferences, each with an input or without one as the bytes say. */
static void count(const eo_observe_plan *plan, eo_window *window, const uint8_t *at, size_t left)
{
    int8_t *input = malloc(plan->values), *scores = malloc(plan->class_count > 0 ? plan->class_count : 1u);
    need(input != NULL && scores != NULL);
    for (unsigned round = 0; round < ROUNDS; round++) {
        const uint8_t what = next_byte(&at, &left, round);
        for (uint32_t i = 0; i < plan->values; i++) {
            input[i] = (int8_t)next_byte(&at, &left, i * what);
        }
        for (uint32_t i = 0; i < plan->class_count; i++) {
            scores[i] = (int8_t)next_byte(&at, &left, i + round);
        }
        eo_status status = eo_window_observe(window, plan, what % 4 != 0 ? input : NULL, scores, what * 997u, NULL);
        need(status == (plan->class_count > 0 ? EO_OK : EO_ARGUMENT));
        if (what % 8 == 1) {
            eo_window_error(window);
        } else if (what % 8 == 3) {
            eo_window_rejected(window, what % 16 == 3);
        }
    }
    free(input);
    free(scores);
}

static void observe(const uint8_t *data, size_t size)
{
    static eo_window window;
    static eo_counters counters;
    static uint8_t block[EO_MAX_BLOCK];
    const uint8_t *at = data;
    size_t left = size, packed = 0;
    uint32_t shape[3];
    const size_t wanted = (size_t)next_byte(&at, &left, 0) | (size_t)next_byte(&at, &left, 0) << 8;
    const size_t rank = 1u + next_byte(&at, &left, 0) % 3u;
    for (size_t i = 0; i < 3; i++) {
        shape[i] = 1u + next_byte(&at, &left, 0) % 40u;
    }
    const size_t bytes = wanted < left ? wanted : left;
    uint8_t *plan_bytes = copied(at, bytes);
    eo_observe_plan plan;
    if (eo_observe_plan_open(&plan, plan_bytes, bytes) == EO_OK &&
        eo_observe_plan_shape(&plan, shape, rank) == EO_OK && plan.values <= MOST_VALUES) {
        eo_window_begin(&window, 0);
        count(&plan, &window, at + bytes, left - bytes);
        eo_status status = eo_window_pack(&window, &plan, block, sizeof block, &packed);
        if (status == EO_OK) {
            need(packed <= sizeof block && eo_counters_read(&counters, block, packed) == EO_OK);
            check_counts(&counters);
            need(counters.inferences == window.inferences);
        }
        need(status == EO_OK);
    }
    free(plan_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && (data[0] & 1u) == 0) {
        read_block(data + 1, size - 1);
    } else if (size > 0) {
        observe(data + 1, size - 1);
    }
    return 0;
}
