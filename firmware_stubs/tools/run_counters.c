/* Counts by a script: standard input is one command after the other, standard output what they answer.
 *
 * A command is a letter and its arguments, numbers are little-endian, `status` is one byte (eo_status). What is not a
 * script ends the program with 2.
 *
 *   P u32 size, bytes              open a plan: status; when 0 also digest[4], u8 features, u8 classes
 *   S u8 rank, u32 dims[]          the shape of its inputs: status
 *   V input[values]                all features of an input: i32[12]
 *   T 2 x (u8 rank, u32 dims[], u32 mantissa, i16 exponent, i16 zero point), u64 threshold
 *                                  how a model that restores its input is scored (the shape must be P's too): status
 *   D u32 boot                     draws begin
 *   N u16 permille, u32 times      draws: u8[times]
 *   B u64 now                      a window begins
 *   W u32 inferences, u32 ms       the policy; by u64 now: u8 full, u8 empty
 *     u64 now
 *   O u32 times, u8 observed, u32 us, input[values], scores[classes]
 *                                  an inference, so many times: status, and of the last one
 *                                  u16 index, u8 predicted, i8 score, u8 confidence bin, u8 margin
 *   R as O, but output[values] for the scores: answers u64 error before that
 *   E u32 times                    inferences that failed
 *   J u32 times, u8 missing        inputs that were refused
 *   K u16 room                     pack: status; when 0 also u16 size, bytes
 *   U u16 size, block              read a block: status
 *   A u16 size, block              read another one and add it: status
 *   C                              what was read: bins[4], u8 flags, u8 features, u8 classes, then 64-bit numbers:
 *                                  inferences, errors, rejected, missing, observed, stuck, classes, confidence,
 *                                  latency, margin and its sum and squares, each feature, moments, Fourier sums
 *   I u32 boot, u32 sequence, manifest[8]
 *                                  the id of the last prediction: 20 bytes
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counters/block_reader.h"
#include "counters/input_features.h"
#include "edgeops/counters.h"

typedef struct script {
    uint8_t *plan_bytes; /* a block of its own, so that a sanitizer sees what is read behind it */
    eo_observe_plan plan;
    eo_reconstruction how;
    eo_window window;
    eo_draws draws;
    eo_counted counted;
    eo_counters counters;
} script;

static void fail(const char *why)
{
    fprintf(stderr, "run_counters: %s\n", why);
    exit(2);
}

static void take(void *bytes, size_t size)
{
    if (size != 0 && fread(bytes, 1, size, stdin) != size) {
        fail("the script ends early");
    }
}

static uint8_t *take_block(size_t size)
{
    uint8_t *bytes = malloc(size != 0 ? size : 1);

    if (bytes == NULL) {
        fail("no memory");
    }
    take(bytes, size);
    return bytes;
}

static uint64_t take_number(unsigned bytes)
{
    uint8_t raw[8];
    uint64_t value = 0;

    take(raw, bytes);
    while (bytes-- > 0) {
        value = value << 8 | raw[bytes];
    }
    return value;
}

static void give_number(uint64_t value, unsigned bytes)
{
    for (; bytes > 0; bytes--, value >>= 8) {
        putchar((int)(value & 255));
    }
}

static void give_numbers(const uint64_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        give_number(values[i], 8);
    }
}

static void open_plan(script *s)
{
    size_t size = (size_t)take_number(4);
    eo_status status;

    free(s->plan_bytes);
    s->plan_bytes = take_block(size);
    status = eo_observe_plan_open(&s->plan, s->plan_bytes, size);
    give_number(status, 1);
    if (status == EO_OK) {
        fwrite(s->plan.digest, 1, EO_BINS_DIGEST, stdout);
        give_number(s->plan.feature_count, 1);
        give_number(s->plan.class_count, 1);
    } else {
        memset(&s->plan, 0, sizeof s->plan);
    }
}

static uint8_t take_shape(uint32_t shape[EO_MAX_RANK])
{
    uint8_t rank = (uint8_t)take_number(1);

    for (unsigned i = 0; i < rank; i++) {
        uint32_t size = (uint32_t)take_number(4);
        if (i < EO_MAX_RANK) {
            shape[i] = size;
        }
    }
    return rank;
}

static void set_shape(script *s)
{
    uint32_t shape[EO_MAX_RANK];
    uint8_t rank = take_shape(shape);

    give_number(eo_observe_plan_shape(&s->plan, shape, rank), 1);
}

static void give_features(script *s)
{
    int8_t *input = (int8_t *)take_block(s->plan.values);
    eo_input_sums sums;

    if (s->plan.values == 0) {
        fail("V needs a shape");
    }
    eo_input_sums_of(&sums, &s->plan, input);
    for (unsigned feature = 0; feature < EO_FEATURE_END; feature++) {
        give_number((uint32_t)eo_input_feature(&s->plan, (eo_feature)feature, &sums, input), 4);
    }
    free(input);
}

static void take_contract(eo_tensor_contract *tensor)
{
    static const uint8_t dtype[] = {'i', 'n', 't', '8'};

    memset(tensor, 0, sizeof *tensor);
    tensor->rank = take_shape(tensor->shape);
    tensor->scale_mantissa = (uint32_t)take_number(4);
    tensor->scale_exponent = (int16_t)take_number(2);
    tensor->zero_point = (int16_t)take_number(2);
    tensor->dtype.bytes = dtype;
    tensor->dtype.size = sizeof dtype;
}

static void set_reconstruction(script *s)
{
    eo_tensor_contract input, output;

    take_contract(&input);
    take_contract(&output);
    give_number(eo_reconstruction_begin(&s->how, &input, &output, take_number(8)), 1);
}

static void give_draws(script *s)
{
    uint16_t permille = (uint16_t)take_number(2);

    for (uint64_t times = take_number(4); times > 0; times--) {
        give_number((uint64_t)eo_draws_below(&s->draws, permille), 1);
    }
}

static void judge_policy(script *s)
{
    eo_report_policy policy = {0, 0, 0};
    uint64_t now;

    policy.window_inferences = (uint32_t)take_number(4);
    policy.interval_ms = (uint32_t)take_number(4);
    now = take_number(8);
    give_number((uint64_t)eo_window_full(&s->window, &policy, now), 1);
    give_number((uint64_t)eo_window_empty(&s->window), 1);
}

static void observe(script *s, int restored)
{
    uint64_t times = take_number(4);
    int observed = take_number(1) != 0;
    uint32_t latency_us = (uint32_t)take_number(4);
    int8_t *input = (int8_t *)take_block(s->plan.values);
    int8_t *scores = (int8_t *)take_block(restored ? s->plan.values : s->plan.class_count);
    eo_status status = EO_OK;

    if (restored) {
        int8_t *output = scores;
        if (s->how.values != s->plan.values || s->plan.class_count != 2) {
            fail("R needs T with the shape of S, and a plan of two classes");
        }
        scores = malloc(2);
        if (scores == NULL) {
            fail("no memory");
        }
        give_number(eo_reconstruction_scores(&s->how, input, output, scores), 8);
        free(output);
    }
    for (; times > 0; times--) {
        status = eo_window_observe(&s->window, &s->plan, observed ? input : NULL, scores, latency_us, &s->counted);
    }
    give_number(status, 1);
    give_number(s->counted.index, 2);
    give_number(s->counted.predicted, 1);
    give_number((uint8_t)s->counted.score, 1);
    give_number(s->counted.confidence_bin, 1);
    give_number(s->counted.margin, 1);
    free(input);
    free(scores);
}

static void refuse(script *s)
{
    uint64_t times = take_number(4);
    int missing = take_number(1) != 0;

    for (; times > 0; times--) {
        eo_window_rejected(&s->window, missing);
    }
}

static void pack(script *s)
{
    size_t room = (size_t)take_number(2), size = 0;
    uint8_t *block = malloc(room != 0 ? room : 1);
    eo_status status;

    if (block == NULL) {
        fail("no memory");
    }
    status = eo_window_pack(&s->window, &s->plan, block, room, &size);
    give_number(status, 1);
    if (status == EO_OK) {
        give_number(size, 2);
        fwrite(block, 1, size, stdout);
    }
    free(block);
}

static void read_block(script *s, int added)
{
    size_t size = (size_t)take_number(2);
    uint8_t *block = take_block(size);
    eo_counters more;
    eo_status status = eo_counters_read(&more, block, size);

    if (status == EO_OK && added) {
        status = eo_counters_merge(&s->counters, &more);
    } else if (status == EO_OK) {
        s->counters = more;
    }
    give_number(status, 1);
    free(block);
}

static void give_moments(const eo_counted_moments *moments)
{
    give_number((uint64_t)moments->sum, 8);
    give_number(moments->squares, 8);
}

static void give_counters(const eo_counters *c)
{
    fwrite(c->bins, 1, EO_BINS_DIGEST, stdout);
    give_number(c->flags, 1);
    give_number(c->feature_count, 1);
    give_number(c->class_count, 1);
    give_number(c->inferences, 8);
    give_number(c->errors, 8);
    give_number(c->rejected, 8);
    give_number(c->missing, 8);
    give_number(c->observed, 8);
    give_number(c->stuck, 8);
    give_numbers(c->classes, c->class_count);
    give_numbers(c->confidence, EO_CONFIDENCE_BINS);
    give_numbers(c->latency, EO_LATENCY_BINS);
    if (c->flags & EO_BLOCK_MARGIN) {
        give_numbers(c->margin, EO_BINS);
        give_moments(&c->margin_moments);
    }
    for (size_t i = 0; i < c->feature_count; i++) {
        give_numbers(c->features[i], EO_BINS);
    }
    for (size_t i = 0; c->flags & EO_BLOCK_MOMENTS && i < c->feature_count; i++) {
        give_moments(&c->moments[i]);
    }
    for (size_t i = 0; c->flags & EO_BLOCK_FOURIER && i < EO_COMPONENTS; i++) {
        give_number((uint64_t)c->fourier[i], 8);
    }
}

static void give_id(const script *s)
{
    uint8_t manifest[8], id[EO_PREDICTION_BYTES];
    eo_prediction prediction;

    prediction.boot = (uint32_t)take_number(4);
    prediction.sequence = (uint32_t)take_number(4);
    take(manifest, sizeof manifest);
    prediction.manifest = manifest;
    prediction.index = s->counted.index;
    prediction.predicted = s->counted.predicted;
    prediction.confidence_bin = s->counted.confidence_bin;
    eo_prediction_pack(id, &prediction);
    fwrite(id, 1, sizeof id, stdout);
}

static void run(script *s, int command)
{
    switch (command) {
    case 'P': open_plan(s); break;
    case 'S': set_shape(s); break;
    case 'V': give_features(s); break;
    case 'T': set_reconstruction(s); break;
    case 'D': eo_draws_begin(&s->draws, (uint32_t)take_number(4)); break;
    case 'N': give_draws(s); break;
    case 'B': eo_window_begin(&s->window, take_number(8)); break;
    case 'W': judge_policy(s); break;
    case 'O': observe(s, 0); break;
    case 'R': observe(s, 1); break;
    case 'E':
        for (uint64_t times = take_number(4); times > 0; times--) {
            eo_window_error(&s->window);
        }
        break;
    case 'J': refuse(s); break;
    case 'K': pack(s); break;
    case 'U': read_block(s, 0); break;
    case 'A': read_block(s, 1); break;
    case 'C': give_counters(&s->counters); break;
    case 'I': give_id(s); break;
    default: fail("no such command");
    }
}

int main(void)
{
    static script state;
    int command;

    while ((command = getchar()) != EOF) {
        run(&state, command);
    }
    free(state.plan_bytes);
    return fflush(stdout) == 0 ? 0 : 2;
}
