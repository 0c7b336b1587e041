/* A manifest's steps, checked and laid out: opens a chain and says what memory it needs. */
#include <math.h>
#include <string.h>

#include "features/chain.h"

#define MAX_SCRATCH_FLOATS 0x10000000u

static eo_status count_values(const eo_features_shape *shape, uint32_t *values)
{
    uint32_t i;
    *values = 1;
    for (i = 0; i < shape->rank; i++) {
        if (shape->sizes[i] == 0 || shape->sizes[i] > EO_FEATURES_MAX_VALUES / *values) {
            return EO_RANGE;
        }
        *values *= shape->sizes[i];
    }
    return EO_OK;
}

/* scale = mantissa * 2**exponent, exactly as float32. */
static eo_status open_tensor(eo_features *chain, const eo_features_tensor *input)
{
    if (input->scale_mantissa == 0 || input->scale_mantissa > 0x1000000 || input->scale_exponent < -149 ||
        input->scale_exponent > 104 || input->zero_point < -128 || input->zero_point > 127) {
        return EO_RANGE;
    }
    chain->scale = ldexpf((float)input->scale_mantissa, (int)input->scale_exponent);
    chain->zero_point = (int16_t)input->zero_point;
    return isfinite(chain->scale) ? EO_OK : EO_RANGE;
}

eo_status eo_features_open(eo_features *chain, const eo_features_step *steps, size_t count,
                           const eo_features_raw *raw, const eo_features_tensor *input)
{
    eo_features_shape shape = raw->shape;
    uint32_t values, i;
    eo_status status;

    memset(chain, 0, sizeof *chain);
    if (raw->type < EO_SAMPLE_UINT8 || raw->type > EO_SAMPLE_FLOAT32) {
        return EO_ARGUMENT;
    }
    if (count > EO_FEATURES_MAX_STEPS || shape.rank > EO_FEATURES_MAX_RANK ||
        input->shape.rank > EO_FEATURES_MAX_RANK) {
        return EO_RANGE;
    }
    chain->type = (uint8_t)raw->type;
    status = count_values(&shape, &chain->raw_values);
    values = chain->raw_values;
    for (i = 0; i < count && status == EO_OK; i++) {
        status = eo_features_parameters(chain, &chain->links[i], &steps[i]);
        if (status == EO_OK) {
            status = eo_features_shape_after(chain, &chain->links[i], &shape);
        }
        if (status == EO_OK) {
            status = count_values(&shape, &values);
        }
        chain->count++;
    }
    for (i = 0; i < shape.rank && status == EO_OK; i++) {
        status = shape.rank == input->shape.rank && shape.sizes[i] == input->shape.sizes[i] ? EO_OK : EO_MALFORMED;
    }
    if (status == EO_OK && shape.rank != input->shape.rank) {
        status = EO_MALFORMED;
    }
    status = status == EO_OK ? open_tensor(chain, input) : status;
    chain->values = values;
    if (status == EO_OK) {
        eo_features_layout layout;
        eo_features_lay_out(chain, &layout);
        chain->scratch_floats = layout.floats;
        status = layout.floats > MAX_SCRATCH_FLOATS ? EO_RANGE : EO_OK;
    }
    if (status != EO_OK) {
        memset(chain, 0, sizeof *chain);
    }
    return status;
}

size_t eo_features_raw_bytes(const eo_features *chain)
{
    return (size_t)chain->raw_values *
           (chain->type == EO_SAMPLE_UINT8 ? 1 : chain->type == EO_SAMPLE_INT16 ? sizeof(int16_t) : sizeof(float));
}

size_t eo_features_output_bytes(const eo_features *chain)
{
    return chain->values;
}

size_t eo_features_scratch_bytes(const eo_features *chain)
{
    return (size_t)chain->scratch_floats * sizeof(float);
}
