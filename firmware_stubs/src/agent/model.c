/* Opens and runs what a slot holds. */
#include <string.h>

#include "agent/agent_state.h"

#define MAX_VALUES 0x1000000u

eo_status eo_model_manifest(const eo_agent_state *agent, const eo_kept_manifest *kept, eo_manifest *manifest) {
    return eo_manifest_decode(manifest, agent->port->flash.base + kept->payload_at, kept->payload_size,
                              agent->config.infer->runtime, agent->config.target);
}

eo_status eo_model_layout(const eo_agent_state *agent, uint8_t slot, const eo_kept_manifest *kept,
                          eo_manifest *manifest, eo_slot_layout *layout) {
    const eo_status status = eo_model_manifest(agent, kept, manifest);
    if (status != EO_OK)
        return status;
    if (!manifest->fits)
        return EO_UNSUPPORTED;
    return eo_slot_layout_of(layout, agent->port, eo_slot_at(agent, slot), agent->map.slot_bytes, kept->size,
                             manifest);
}

uint8_t eo_model_slot(const eo_agent_state *agent, const uint8_t *digest, eo_kept_manifest *kept) {
    for (uint8_t slot = 0; slot < 2u; slot++) {
        const uint32_t area = eo_slot_at(agent, slot);
        if (eo_manifest_find(agent->port, area, area + agent->map.slot_bytes, digest, kept) && kept->payload_size > 0)
            return slot;
    }
    return EO_NO_SLOT;
}

static eo_status fault(eo_text *words, eo_status status, const char *what) {
    eo_text_put(words, what);
    return status;
}

eo_status eo_model_limit(eo_text *words, const char *what, uint32_t needed, uint32_t here) {
    eo_text_put(words, what);
    eo_text_put(words, ": ");
    eo_text_put_number(words, needed);
    eo_text_put(words, " needed, ");
    eo_text_put_number(words, here);
    return fault(words, EO_RANGE, " here");
}

/* Values of a shape, 0 where it is none that this device takes. */
static uint32_t values_of(const eo_tensor_contract *tensor) {
    uint32_t values = 1;
    if (!eo_view_is(tensor->dtype, "int8"))
        return 0;
    for (uint8_t i = 0; i < tensor->rank; i++) {
        if (tensor->shape[i] == 0 || tensor->shape[i] > MAX_VALUES / values)
            return 0;
        values *= tensor->shape[i];
    }
    return values;
}

eo_status eo_model_place(eo_agent_state *agent, uint8_t slot, const eo_kept_manifest *kept, eo_text *words) {
    eo_model *model = &agent->models[slot];
    eo_manifest manifest;
    eo_slot_layout layout;
    memset(model, 0, sizeof *model);
    const eo_status status = eo_model_layout(agent, slot, kept, &manifest, &layout);
    if (status != EO_OK)
        return fault(words, status, "not for this device");
    model->kept = *kept;
    model->version = manifest.version;
    model->security_counter = manifest.security_counter;
    model->trial = manifest.trial;
    model->observe_at = layout.blobs[EO_PART_OBSERVE].at;
    model->observe_bytes = layout.blobs[EO_PART_OBSERVE].size;
    model->vectors_at = layout.blobs[EO_PART_VECTORS].at;
    model->vectors_bytes = layout.blobs[EO_PART_VECTORS].size;
    model->model_at = layout.blobs[EO_PART_MODEL].at;
    model->model_bytes = layout.blobs[EO_PART_MODEL].size;
    model->artifact_at = (uint32_t)(manifest.artifact.blob.sha256 - agent->port->flash.base);
    model->input_values = values_of(&manifest.input);
    model->output_values = values_of(&manifest.output);
    model->output_kind = (uint8_t)manifest.output_kind;
    model->labels = (uint8_t)manifest.labels.left;
    if (model->input_values == 0 || model->output_values == 0)
        return fault(words, EO_UNSUPPORTED, "input or output is not int8");
    /* a reconstruction without a threshold has 0, which is out of range */
    if (manifest.output_kind == EO_OUTPUT_OTHER ||
        (manifest.output_kind == EO_OUTPUT_RECONSTRUCTION &&
         eo_reconstruction_begin(&model->reconstruction, &manifest.input, &manifest.output,
                                 manifest.has_threshold ? manifest.threshold : 0) != EO_OK))
        return fault(words, EO_RANGE, "its output is not of a known kind");
    const uint32_t scores = manifest.output_kind == EO_OUTPUT_RECONSTRUCTION ? 2u : model->output_values;
    if (scores != manifest.labels.left || scores == 0)
        return fault(words, EO_RANGE, "labels and outputs differ");
    return EO_OK;
}

eo_status eo_model_digest(const eo_agent_state *agent, uint8_t slot, uint8_t part, eo_text *words) {
    eo_manifest manifest;
    eo_slot_layout layout;
    const eo_slot_blob *blob = &layout.blobs[part];
    if (eo_model_layout(agent, slot, &agent->models[slot].kept, &manifest, &layout) == EO_OK &&
        eo_flash_holds(agent->port, blob->at, blob->size, blob->sha256))
        return EO_OK;
    return fault(words, EO_DIGEST, "a blob does not match its digest");
}

/* ---- the scratch memory: two front ends, quantized input, output, raw input, the front end's own ---- */

typedef struct scratch_map {
    eo_features *chain;
    int8_t *input;
    int8_t *output;
    uint8_t *raw;
    uint8_t *work;
    size_t raw_bytes, work_bytes, bytes;
} scratch_map;

static size_t aligned(size_t size) {
    return (size + 7u) / 8u * 8u;
}

static scratch_map scratch_of(const eo_agent_state *agent, uint8_t slot) {
    const eo_model *model = &agent->models[slot];
    scratch_map map;
    uint8_t *at = agent->config.scratch;
    map.chain = (eo_features *)(void *)(at + slot * aligned(sizeof(eo_features)));
    at += 2u * aligned(sizeof(eo_features));
    map.input = (int8_t *)at;
    at += aligned(model->input_values);
    map.output = (int8_t *)at;
    at += aligned(model->output_values);
    map.raw = at;
    map.raw_bytes = 0;
    map.work_bytes = 0;
    if ((size_t)(at - (uint8_t *)agent->config.scratch) <= agent->config.scratch_bytes) {
        map.raw_bytes = eo_features_raw_bytes(map.chain);
        map.work_bytes = eo_features_scratch_bytes(map.chain);
    }
    map.work = at + aligned(map.raw_bytes);
    map.bytes = (size_t)(map.work - (uint8_t *)agent->config.scratch) + map.work_bytes;
    return map;
}

void *eo_model_raw(const eo_agent_state *agent, uint8_t slot, size_t *bytes) {
    const scratch_map map = scratch_of(agent, slot);
    *bytes = map.raw_bytes;
    return map.raw;
}

int8_t *eo_model_input(const eo_agent_state *agent) {
    return (int8_t *)agent->config.scratch + 2u * aligned(sizeof(eo_features));
}

eo_status eo_model_quantize(eo_agent_state *agent, uint8_t slot) {
    const scratch_map map = scratch_of(agent, slot);
    return eo_features_run(map.chain, map.raw, map.raw_bytes, map.input, agent->models[slot].input_values, map.work,
                           map.work_bytes);
}

/* Opens the front end. Its parameters lie in the scratch memory meanwhile: nothing is kept there between inputs. */
static eo_status open_chain(const eo_agent_state *agent, uint8_t slot, const eo_manifest *manifest, eo_text *words) {
    uint8_t *free_at = (uint8_t *)eo_model_input(agent);
    const uint8_t *end = (const uint8_t *)agent->config.scratch + agent->config.scratch_bytes;
    const size_t needed = EO_FEATURES_MAX_STEPS * sizeof(eo_features_step);
    eo_features_step *steps = (eo_features_step *)(void *)free_at;
    int64_t *numbers = (int64_t *)(void *)(free_at + needed);
    eo_features_raw raw;
    eo_features_tensor input;
    eo_items walk = manifest->preprocessing;
    eo_step step;
    size_t count = 0;
    if (agent->config.scratch_bytes < 2u * aligned(sizeof(eo_features)) + needed)
        return eo_model_limit(words, "bytes of scratch", (uint32_t)(2u * aligned(sizeof(eo_features)) + needed),
                              (uint32_t)agent->config.scratch_bytes);
    while (eo_step_next(&walk, &step) == EO_OK && count < EO_FEATURES_MAX_STEPS) {
        if ((size_t)(end - (const uint8_t *)numbers) < step.parameters.left * sizeof *numbers)
            return fault(words, EO_TOO_SMALL, "too little scratch memory");
        steps[count] = (eo_features_step){(const char *)step.op.bytes, step.op.size, numbers, step.parameters.left};
        count++;
        while (eo_integer_next(&step.parameters, numbers) == EO_OK)
            numbers++;
    }
    memset(&input, 0, sizeof input);
    input.shape.rank = manifest->input.rank;
    memcpy(input.shape.sizes, manifest->input.shape, sizeof manifest->input.shape);
    input.scale_mantissa = manifest->input.scale_mantissa;
    input.scale_exponent = manifest->input.scale_exponent;
    input.zero_point = manifest->input.zero_point;
    raw.shape = input.shape;
    raw.type = agent->config.sample_type;
    if (manifest->has_source) {
        raw.shape.rank = manifest->source.rank;
        memcpy(raw.shape.sizes, manifest->source.shape, sizeof manifest->source.shape);
    }
    const eo_status status = eo_features_open(scratch_of(agent, slot).chain, steps, count, &raw, &input);
    return status == EO_OK ? EO_OK : fault(words, status, "preprocessing");
}

eo_status eo_model_counting(const eo_agent_state *agent, uint8_t slot, eo_observe_plan *plan, eo_manifest *manifest) {
    const eo_model *model = &agent->models[slot];
    eo_status status =
        eo_observe_plan_open(plan, agent->port->flash.base + model->observe_at, model->observe_bytes);
    if (status == EO_OK)
        status = eo_model_manifest(agent, &model->kept, manifest);
    return status == EO_OK ? eo_observe_plan_shape(plan, manifest->input.shape, manifest->input.rank) : status;
}

eo_status eo_model_open(eo_agent_state *agent, uint8_t slot, eo_text *words) {
    eo_model *model = &agent->models[slot];
    const eo_infer *infer = agent->config.infer;
    const uint8_t *base = agent->port->flash.base;
    size_t arena = 0;
    eo_manifest manifest;
    eo_observe_plan plan;
    agent->loaded = EO_NO_SLOT;
    eo_status status = infer->arena_bytes(agent->config.infer_context, base + model->model_at, model->model_bytes,
                                          &arena);
    if (status != EO_OK) {
        eo_text_put(words, "model: ");
        return fault(words, status, eo_status_text(status));
    }
    if (arena > agent->config.arena_bytes)
        return eo_model_limit(words, "bytes of arena", (uint32_t)arena, (uint32_t)agent->config.arena_bytes);
    status = eo_model_counting(agent, slot, &plan, &manifest);
    if (status == EO_OK && plan.class_count != model->labels)
        status = EO_RANGE;
    if (status != EO_OK) {
        eo_text_put(words, "counting: ");
        return fault(words, status, eo_status_text(status));
    }
    status = open_chain(agent, slot, &manifest, words);
    if (status != EO_OK)
        return status;
    const size_t scratch = scratch_of(agent, slot).bytes;
    return scratch <= agent->config.scratch_bytes
               ? EO_OK
               : eo_model_limit(words, "bytes of scratch", (uint32_t)scratch, (uint32_t)agent->config.scratch_bytes);
}

bool eo_model_keeps_state(const eo_agent_state *agent, uint8_t slot) {
    const eo_model *model = &agent->models[slot];
    return agent->config.infer->keeps_state(agent->config.infer_context, agent->port->flash.base + model->model_at,
                                            model->model_bytes);
}

eo_status eo_model_infer(eo_agent_state *agent, uint8_t slot, const int8_t *input, size_t input_bytes,
                         const int8_t **scores, size_t *count) {
    eo_model *model = &agent->models[slot];
    const eo_infer *infer = agent->config.infer;
    void *context = agent->config.infer_context;
    const scratch_map map = scratch_of(agent, slot);
    eo_status status = EO_OK;
    if (agent->loaded != slot)
        status = infer->open(context, agent->port->flash.base + model->model_at, model->model_bytes,
                             agent->config.arena, agent->config.arena_bytes);
    if (status == EO_OK) {
        agent->loaded = slot;
        status = infer->run(context, input, input_bytes, map.output, model->output_values);
    }
    if (status != EO_OK) {
        agent->loaded = EO_NO_SLOT;
        return status;
    }
    *scores = map.output;
    *count = model->output_values;
    if (model->output_kind == EO_OUTPUT_RECONSTRUCTION) {
        int8_t pair[2];
        (void)eo_reconstruction_scores(&model->reconstruction, input, map.output, pair);
        memcpy(map.output, pair, sizeof pair < model->output_values ? sizeof pair : model->output_values);
        *count = 2;
    }
    return EO_OK;
}

eo_status eo_model_test(eo_agent_state *agent, uint8_t slot, uint8_t number, eo_text *words) {
    const eo_model *model = &agent->models[slot];
    eo_view input, expected;
    const int8_t *scores;
    size_t count;
    eo_status status = EO_OK;
    if (number == 0)
        status = eo_selftest_open(&agent->vectors, agent->port->flash.base + model->vectors_at, model->vectors_bytes);
    if (status == EO_OK)
        status = eo_selftest_next(&agent->vectors, &input, &expected);
    if (status == EO_NOT_FOUND && number > 0)
        return status;
    if (status == EO_OK && input.size != model->input_values)
        status = EO_MALFORMED;
    if (status == EO_OK)
        status = eo_model_infer(agent, slot, (const int8_t *)input.bytes, input.size, &scores, &count);
    if (status == EO_OK)
        status = eo_selftest_judge(&agent->vectors, expected, scores, count);
    if (status == EO_OK)
        return EO_OK;
    eo_text_put(words, "self-test vector ");
    eo_text_put_number(words, number);
    eo_text_put(words, ": ");
    eo_text_put(words, eo_status_text(status));
    return status == EO_NOT_FOUND ? EO_MALFORMED : status;
}

eo_view eo_model_label(const eo_agent_state *agent, uint8_t slot, uint8_t index) {
    eo_manifest manifest;
    eo_view label = {NULL, 0};
    if (eo_model_manifest(agent, &agent->models[slot].kept, &manifest) != EO_OK)
        return label;
    for (uint8_t i = 0; i <= index; i++)
        if (eo_text_next(&manifest.labels, &label) != EO_OK)
            label.size = 0;
    return label;
}
