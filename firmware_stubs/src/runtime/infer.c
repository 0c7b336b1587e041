/* This runtime as the agent calls it: an eo_infer whose context is an eo_plan_infer. */
#include <string.h>

#include "edgeops/runtime.h"

static eo_status arena_bytes_of(void *context, const void *model, size_t size, size_t *arena_bytes)
{
    eo_plan plan;
    eo_status status = eo_plan_open(&plan, model, size);
    (void)context;
    *arena_bytes = status == EO_OK ? plan.header.arena_bytes : 0;
    return status;
}

static eo_status open_plan(void *context, const void *model, size_t size, void *arena, size_t arena_bytes)
{
    eo_plan_infer *infer = context;
    eo_status status = eo_plan_open(&infer->plan, model, size);
    infer->arena = NULL;
    if (status == EO_OK) {
        status = eo_plan_reset_state(&infer->plan, arena, arena_bytes);
    }
    if (status == EO_OK) {
        infer->arena = arena;
        infer->arena_bytes = arena_bytes;
    }
    return status;
}

static eo_status run_plan(void *context, const int8_t *input, size_t input_bytes, int8_t *output, size_t output_bytes)
{
    const eo_plan_infer *infer = context;
    if (infer->arena == NULL || input_bytes != infer->plan.header.input.bytes ||
        output_bytes != infer->plan.header.output.bytes) {
        return EO_ARGUMENT;
    }
    memcpy(eo_plan_input(&infer->plan, infer->arena), input, input_bytes);
    eo_status status = eo_plan_run(&infer->plan, infer->arena, infer->arena_bytes);
    if (status == EO_OK) {
        memcpy(output, eo_plan_output(&infer->plan, infer->arena), output_bytes);
    }
    return status;
}

static int keeps_state(void *context, const void *model, size_t size)
{
    eo_plan plan;
    (void)context;
    return eo_plan_open(&plan, model, size) == EO_OK && plan.header.state_bytes != 0;
}

const eo_infer eo_plan_runtime = {"plan", arena_bytes_of, open_plan, run_plan, keeps_state};
