/* Runs a chain: raw values in, int8 out. */
#include <math.h>

#include "features/chain.h"

/* clip(round half to even(value / scale) + zero point, -128, 127) */
static int8_t quantize(const eo_features *chain, float value)
{
    const float whole = 12582912.0f; /* 1.5 * 2**23: added, it leaves no room for fractions */
    float steps = value / chain->scale, place;

    steps = steps > 512.0f ? 512.0f : steps < -512.0f ? -512.0f : steps;
    place = ((steps + whole) - whole) + (float)chain->zero_point;
    return (int8_t)(place > 127.0f ? 127.0f : place < -128.0f ? -128.0f : place);
}

void eo_features_put(eo_features_pass *pass, float value)
{
    uint32_t index = pass->put++, at;

    if (pass->floats != NULL) {
        pass->floats[index] = value;
        return;
    }
    for (at = pass->onward; at < pass->chain->count; at++) {
        value = eo_features_apply(pass, at, index, value);
    }
    if (!isfinite(value)) {
        pass->status = EO_RANGE;
        value = 0;
    }
    pass->output[index] = quantize(pass->chain, value);
}

/* The steps [at..end) as one, to `floats`, or on to the output where that is NULL. */
static void produce(eo_features_pass *pass, uint32_t at, uint32_t end, float *floats)
{
    uint32_t op = pass->chain->links[at].op;

    pass->floats = floats;
    pass->onward = end;
    pass->put = 0;
    if (op == EO_FEATURES_FFT_BANDS) {
        eo_features_bands(pass, at);
    } else if (op >= EO_FEATURES_LOG_MEL) {
        eo_features_mel(pass, at);
    } else {
        eo_features_image(pass, at, end);
    }
}

static eo_status run_steps(eo_features_pass *pass)
{
    const eo_features *chain = pass->chain;
    uint32_t turn = 0, at, end, i;

    for (at = 0; at < chain->count && pass->status == EO_OK; at = end) {
        float *floats;
        end = at + 1;
        if (chain->links[at].op >= EO_FEATURES_RESIZE) {
            end = eo_features_group_end(chain, at);
            if (eo_features_streams(chain, end)) {
                produce(pass, at, end, NULL);
                return pass->status;
            }
            floats = pass->scratch + pass->layout.buffers[turn];
            produce(pass, at, end, floats);
            pass->base = floats;
            pass->type = EO_SAMPLE_FLOAT32;
            pass->start = end;
            turn ^= 1;
        } else if (chain->links[at].op >= EO_FEATURES_DETREND) {
            pass->status = eo_features_measure(pass, at);
        }
    }
    pass->floats = NULL;
    pass->onward = chain->count;
    pass->put = 0;
    for (i = 0; i < chain->values && pass->status == EO_OK; i++) {
        eo_features_put(pass, eo_features_value(pass, chain->count, i));
    }
    return pass->status;
}

eo_status eo_features_run(const eo_features *chain, const void *raw, size_t raw_bytes, int8_t *output,
                          size_t output_bytes, void *scratch, size_t scratch_bytes)
{
    eo_features_pass pass;
    uint32_t i;

    if (chain->scale <= 0 || (uintptr_t)scratch % sizeof(float) != 0 ||
        (uintptr_t)raw % (eo_features_raw_bytes(chain) / chain->raw_values) != 0) {
        return EO_ARGUMENT; /* not opened, or not aligned */
    }
    if (raw_bytes < eo_features_raw_bytes(chain) || output_bytes < chain->values ||
        scratch_bytes < eo_features_scratch_bytes(chain)) {
        return EO_TOO_SMALL;
    }
    pass.chain = chain;
    pass.base = raw;
    pass.type = chain->type;
    pass.start = 0;
    pass.output = output;
    pass.status = EO_OK;
    for (i = 0; pass.type == EO_SAMPLE_FLOAT32 && i < chain->raw_values; i++) {
        if (!isfinite(((const float *)raw)[i])) {
            return EO_RANGE;
        }
    }
    pass.scratch = scratch;
    eo_features_lay_out(chain, &pass.layout);
    return run_steps(&pass);
}
