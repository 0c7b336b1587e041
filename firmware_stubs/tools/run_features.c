/* Preprocesses raw inputs on the host: run_features DESCRIPTION RAW OUTPUT
 *
 * DESCRIPTION is little-endian: all numbers are int32, but parameters int64.
 *   sample type (eo_sample_type)
 *   raw rank, and so many sizes
 *   input rank, and so many sizes; scale mantissa, scale exponent, zero point
 *   number of steps, and for each: bytes of its name, the name, number of parameters, parameters in billionths
 * RAW holds any number of inputs, one after the other, and OUTPUT becomes their int8 values.
 *
 * Prints "scratch BYTES raw BYTES output BYTES" of one input. Ends with 0 or the eo_status that refused (its text on
 * standard error), or with 64 where a file cannot be read or written or the description is cut off. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edgeops/features.h"

#define FAILED 64
#define MAX_STEPS 64 /* more than the library takes, so that tests can send too many */
#define MAX_PARAMETERS 64
#define MAX_SCRATCH ((size_t)512 * 1024 * 1024)

typedef struct description {
    eo_features_raw raw;
    eo_features_tensor input;
    eo_features_step steps[MAX_STEPS];
    int64_t parameters[MAX_STEPS][MAX_PARAMETERS];
    char ops[MAX_STEPS][64];
    size_t count;
} description;

static int fail(const char *what)
{
    fprintf(stderr, "run_features: %s\n", what);
    return FAILED;
}

static int refused(eo_status status)
{
    fprintf(stderr, "run_features: %s\n", eo_status_text(status));
    return (int)status;
}

static int read_int32(FILE *file, int32_t *value)
{
    return fread(value, sizeof *value, 1, file) == 1;
}

/* A count of at most `most`. */
static int read_count(FILE *file, uint32_t most, uint32_t *value)
{
    return fread(value, sizeof *value, 1, file) == 1 && *value <= most;
}

static int read_shape(FILE *file, eo_features_shape *shape)
{
    uint32_t size, i;
    if (fread(&shape->rank, sizeof shape->rank, 1, file) != 1 || shape->rank > 64) {
        return 0;
    }
    for (i = 0; i < shape->rank; i++) {
        if (fread(&size, sizeof size, 1, file) != 1) {
            return 0;
        }
        if (i < EO_FEATURES_MAX_RANK) {
            shape->sizes[i] = size;
        }
    }
    return 1;
}

static int read_steps(FILE *file, description *read)
{
    uint32_t count, i;
    if (!read_count(file, MAX_STEPS, &count)) {
        return 0;
    }
    read->count = count;
    for (i = 0; i < count; i++) {
        uint32_t bytes, parameters;
        if (!read_count(file, sizeof read->ops[i], &bytes) || fread(read->ops[i], 1, bytes, file) != bytes ||
            !read_count(file, MAX_PARAMETERS, &parameters) ||
            fread(read->parameters[i], sizeof(int64_t), parameters, file) != parameters) {
            return 0;
        }
        read->steps[i] = (eo_features_step){read->ops[i], bytes, read->parameters[i], parameters};
    }
    return 1;
}

static int read_description(const char *path, description *read)
{
    FILE *file = fopen(path, "rb");
    int32_t type = 0, mantissa = 0;
    int good;

    if (file == NULL) {
        return 0;
    }
    good = read_int32(file, &type) && read_shape(file, &read->raw.shape) && read_shape(file, &read->input.shape) &&
           read_int32(file, &mantissa) && read_int32(file, &read->input.scale_exponent) &&
           read_int32(file, &read->input.zero_point) && read_steps(file, read);
    read->raw.type = type >= EO_SAMPLE_UINT8 && type <= EO_SAMPLE_FLOAT32 ? (eo_sample_type)type : (eo_sample_type)0;
    read->input.scale_mantissa = (uint32_t)mantissa;
    fclose(file);
    return good;
}

static int run_all(const eo_features *chain, FILE *input, FILE *output)
{
    size_t raw_bytes = eo_features_raw_bytes(chain), output_bytes = eo_features_output_bytes(chain);
    size_t scratch_bytes = eo_features_scratch_bytes(chain);
    /* exactly what is needed, so that sanitizers see one byte more */
    void *raw = malloc(raw_bytes), *scratch = malloc(scratch_bytes ? scratch_bytes : 1);
    int8_t *values = malloc(output_bytes);
    int result = raw != NULL && scratch != NULL && values != NULL ? 0 : fail("no memory");

    while (result == 0 && fread(raw, raw_bytes, 1, input) == 1) {
        eo_status status;
        memset(scratch, 0xA5, scratch_bytes); /* what is read before it is written shows */
        status = eo_features_run(chain, raw, raw_bytes, values, output_bytes, scratch, scratch_bytes);
        if (status != EO_OK) {
            result = refused(status);
        } else if (fwrite(values, output_bytes, 1, output) != 1) {
            result = fail("the output cannot be written");
        }
    }
    free(raw);
    free(scratch);
    free(values);
    return result;
}

int main(int count, char **arguments)
{
    static description read;
    eo_features chain;
    eo_status status;
    FILE *input, *output;
    int result;

    if (count != 4) {
        return fail("usage: run_features DESCRIPTION RAW OUTPUT");
    }
    if (!read_description(arguments[1], &read)) {
        return fail("the description cannot be read");
    }
    status = eo_features_open(&chain, read.steps, read.count, &read.raw, &read.input);
    if (status != EO_OK) {
        return refused(status);
    }
    printf("scratch %zu raw %zu output %zu\n", eo_features_scratch_bytes(&chain), eo_features_raw_bytes(&chain),
           eo_features_output_bytes(&chain));
    if (eo_features_scratch_bytes(&chain) > MAX_SCRATCH) {
        return refused(EO_TOO_SMALL);
    }
    input = fopen(arguments[2], "rb");
    output = fopen(arguments[3], "wb");
    result = input != NULL && output != NULL ? run_all(&chain, input, output) : fail("a file cannot be opened");
    if (input != NULL) {
        fclose(input);
    }
    if (output != NULL && fclose(output) != 0 && result == 0) {
        result = fail("the output cannot be written");
    }
    return result;
}
