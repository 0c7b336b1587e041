/* Front ends: a raw input becomes the int8 tensor that a model takes, by the steps of its manifest.
 *
 * The same operations as edgeops/core/features, in float32 (Python computes some of them in float64): results lie
 * within one int8 step of Python's, nearly all are equal. Two limits come of float32: a band of a spectrum that is
 * more than 130 dB below the frame's whole power is noise unless `floor` or `offset` lie above it, and values that
 * cannot be squared (beyond about 1e19) are refused. No heap; the caller gives the working memory, of which a
 * spectrogram takes one frame, not all. */
#ifndef EDGEOPS_FEATURES_H
#define EDGEOPS_FEATURES_H

#include <stddef.h>
#include <stdint.h>

#include "edgeops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EO_FEATURES_MAX_STEPS 16u
#define EO_FEATURES_MAX_RANK 6u
#define EO_FEATURES_MAX_VALUES 0x1000000u /* of one input, before or after a step */

/* What a chain keeps of all its steps' parameters, 4 bytes each: an mfcc takes 14, a step of seven columns 15. This
 * much holds the 56 columns that training normalises at most, and a front end before them. A build may set less. */
#ifndef EO_FEATURES_NUMBERS
#define EO_FEATURES_NUMBERS 144u
#endif

/* What the port's input gives. The numbers are taken as they are, without scaling: a 16 bit sample is -32768..32767. */
typedef enum eo_sample_type { EO_SAMPLE_UINT8 = 1, EO_SAMPLE_INT16 = 2, EO_SAMPLE_FLOAT32 = 3 } eo_sample_type;

typedef struct eo_features_shape {
    uint32_t sizes[EO_FEATURES_MAX_RANK];
    uint32_t rank;
} eo_features_shape;

/* A step as a manifest carries it; `op` need not end with a zero byte. */
typedef struct eo_features_step {
    const char *op;
    size_t op_bytes;
    const int64_t *parameters; /* billionths */
    size_t parameter_count;
} eo_features_step;

/* The raw contract: a manifest's source, or without one its input's shape. */
typedef struct eo_features_raw {
    eo_features_shape shape;
    eo_sample_type type;
} eo_features_raw;

/* The contract of the model's input: scale = scale_mantissa * 2**scale_exponent. */
typedef struct eo_features_tensor {
    eo_features_shape shape;
    uint32_t scale_mantissa;
    int32_t scale_exponent;
    int32_t zero_point;
} eo_features_tensor;

/* One step, checked. Its input has rows * width * depth values (without width where it is no image). */
typedef struct eo_features_link {
    uint8_t op;
    uint8_t many;  /* numbers in each list of `normalise` and `columns` */
    uint16_t first; /* where its numbers begin */
    uint32_t rows;
    uint32_t width; /* of an image; for `fit_length` the values that are cut off in front */
    uint32_t depth; /* channels, columns, or values in a row */
} eo_features_link;

/* An opened chain; about 860 bytes. Its members are the library's own. */
typedef struct eo_features {
    eo_features_link links[EO_FEATURES_MAX_STEPS];
    float numbers[EO_FEATURES_NUMBERS];
    uint32_t count;
    uint32_t number_count;
    uint32_t raw_values;
    uint32_t values;
    uint32_t scratch_floats;
    float scale;
    int16_t zero_point;
    uint8_t type; /* eo_sample_type */
} eo_features;

/* Checks all steps against the raw contract and what the model takes, whatever they hold, and copies what it needs:
 * nothing that the arguments point at is used later. Time: at most 16 times 8,192 logarithms.
 * EO_UNSUPPORTED: an operation that this build does not know. EO_RANGE: a number, or a size, out of its range.
 * EO_MALFORMED: parameters, shapes and steps do not belong together. EO_FULL: more than EO_FEATURES_NUMBERS. */
eo_status eo_features_open(eo_features *chain, const eo_features_step *steps, size_t count,
                           const eo_features_raw *raw, const eo_features_tensor *input);

/* Bytes of the raw input, of the result, and of working memory that eo_features_run needs. */
size_t eo_features_raw_bytes(const eo_features *chain);
size_t eo_features_output_bytes(const eo_features *chain);
size_t eo_features_scratch_bytes(const eo_features *chain);

/* One input. `raw` is aligned for its type, `scratch` for float; its content is lost, and nothing is kept in it.
 * Needs some 500 bytes of stack besides.
 * EO_RANGE: NaN or infinity, in the input or made of it. EO_ARGUMENT: alignment. EO_TOO_SMALL: one of the three. */
eo_status eo_features_run(const eo_features *chain, const void *raw, size_t raw_bytes, int8_t *output,
                          size_t output_bytes, void *scratch, size_t scratch_bytes);

#ifdef __cplusplus
}
#endif
#endif
