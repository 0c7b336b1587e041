/* Front ends of a hostile manifest, over a hostile sensor. The first bytes are a description as run_features reads it,
 * what follows is the raw input (repeated as often as it takes). Whatever it is: a chain is refused, or runs within
 * memory of just the sizes that it asks for. */
#include <stdlib.h>
#include <string.h>

#include "edgeops/features.h"

#define MOST_STEPS (EO_FEATURES_MAX_STEPS + 2u)
#define MOST_PARAMETERS 64u
#define MOST_BYTES (1u << 20) /* of raw input, result or working memory; more takes time and shows nothing new */
#define MOST_VALUES 20000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct description {
    eo_features_raw raw;
    eo_features_tensor input;
    eo_features_step steps[MOST_STEPS];
    int64_t parameters[MOST_STEPS][MOST_PARAMETERS];
    size_t count;
} description;

typedef struct reader {
    const uint8_t *at;
    size_t left;
} reader;

static uint32_t number(reader *from)
{
    uint32_t value = 0;
    if (from->left >= sizeof value) {
        memcpy(&value, from->at, sizeof value);
        from->at += sizeof value;
        from->left -= sizeof value;
    } else {
        from->left = 0;
    }
    return value;
}

static void read_shape(reader *from, eo_features_shape *shape)
{
    shape->rank = number(from) % (EO_FEATURES_MAX_RANK + 2u);
    for (uint32_t i = 0; i < shape->rank; i++) {
        uint32_t size = number(from);
        if (i < EO_FEATURES_MAX_RANK) {
            shape->sizes[i] = size;
        }
    }
}

static void read_description(reader *from, description *read)
{
    memset(read, 0, sizeof *read);
    read->raw.type = (eo_sample_type)(number(from) % 5u);
    read_shape(from, &read->raw.shape);
    read_shape(from, &read->input.shape);
    read->input.scale_mantissa = number(from);
    read->input.scale_exponent = (int32_t)number(from);
    read->input.zero_point = (int32_t)number(from);
    read->count = number(from) % (MOST_STEPS + 1u);
    for (size_t i = 0; i < read->count; i++) {
        eo_features_step *step = &read->steps[i];
        uint32_t bytes = number(from) % 32u;
        step->op_bytes = bytes < from->left ? bytes : from->left;
        step->op = (const char *)from->at; /* not ended by a zero byte */
        from->at += step->op_bytes;
        from->left -= step->op_bytes;
        step->parameters = read->parameters[i];
        step->parameter_count = number(from) % (MOST_PARAMETERS + 1u);
        for (size_t n = 0; n < step->parameter_count; n++) {
            uint64_t low = number(from);
            read->parameters[i][n] = (int64_t)(low | (uint64_t)number(from) << 32);
        }
    }
}

static void *memory(size_t bytes)
{
    void *made = malloc(bytes > 0 ? bytes : 1);
    if (made == NULL) {
        abort();
    }
    return made;
}

static void run(const eo_features *chain, const reader *rest)
{
    const size_t raw_bytes = eo_features_raw_bytes(chain), output_bytes = eo_features_output_bytes(chain);
    const size_t scratch_bytes = eo_features_scratch_bytes(chain);
    if (raw_bytes > MOST_BYTES || output_bytes > MOST_BYTES || scratch_bytes > MOST_BYTES ||
        chain->raw_values > MOST_VALUES || chain->values > MOST_VALUES) {
        return;
    }
    uint8_t *raw = memory(raw_bytes), *scratch = memory(scratch_bytes);
    int8_t *output = memory(output_bytes);
    for (size_t i = 0; i < raw_bytes; i++) {
        raw[i] = rest->left > 0 ? rest->at[i % rest->left] : (uint8_t)(i * 167u + 13u);
    }
    memset(scratch, 0xFF, scratch_bytes); /* NaN, for what would read it before it was written */
    eo_status status = eo_features_run(chain, raw, raw_bytes, output, output_bytes, scratch, scratch_bytes);
    if (status != EO_OK && status != EO_RANGE) {
        abort();
    }
    if (scratch_bytes > 0 &&
        eo_features_run(chain, raw, raw_bytes, output, output_bytes, scratch, scratch_bytes - 1) != EO_TOO_SMALL) {
        abort();
    }
    free(raw);
    free(scratch);
    free(output);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static description read;
    uint8_t *bytes = memory(size); /* of exactly its size: the names of operations lie in it */
    if (size > 0) {
        memcpy(bytes, data, size);
    }
    reader from = {bytes, size};
    read_description(&from, &read);
    eo_features chain;
    if (eo_features_open(&chain, read.steps, read.count, &read.raw, &read.input) == EO_OK) {
        run(&chain, &from);
    }
    free(bytes);
    return 0;
}
