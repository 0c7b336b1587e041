/* Runs a verified plan: one op record after the other, through one table of kernels. */
#include <string.h>

#include "edgeops/runtime.h"

#if defined(EO_KERNELS)
extern const eo_kernel EO_KERNELS[EO_OP_END];
#elif defined(__ARM_FEATURE_DSP) && !defined(EO_KERNELS_portable)
#define EO_KERNELS eo_kernels_dsp
#else
#define EO_KERNELS eo_kernels_portable
#endif

size_t eo_plan_arena_bytes(const eo_plan *plan)
{
    return plan->header.arena_bytes;
}

void *eo_plan_input(const eo_plan *plan, void *arena)
{
    return (uint8_t *)arena + plan->header.input.at;
}

const void *eo_plan_output(const eo_plan *plan, const void *arena)
{
    return (const uint8_t *)arena + plan->header.output.at;
}

static eo_status check_arena(const eo_plan *plan, const void *arena, size_t arena_bytes)
{
    if (arena == NULL || (uintptr_t)arena % 4 != 0) {
        return EO_ARGUMENT;
    }
    return arena_bytes < plan->header.arena_bytes ? EO_TOO_SMALL : EO_OK;
}

eo_status eo_plan_reset_state(const eo_plan *plan, void *arena, size_t arena_bytes)
{
    eo_status status = check_arena(plan, arena, arena_bytes);
    if (status != EO_OK) {
        return status;
    }
    memset(arena, 0, plan->header.state_bytes);
    for (uint32_t i = 0; i < plan->header.reset_count; i++) {
        eo_plan_reset reset;
        memcpy(&reset, plan->bytes + plan->header.resets_at + i * sizeof reset, sizeof reset);
        memset((uint8_t *)arena + reset.at, (int)reset.value, reset.bytes);
    }
    return EO_OK;
}

eo_status eo_plan_run_with(const eo_plan *plan, const eo_kernel *kernels, void *arena, size_t arena_bytes)
{
    eo_status status = check_arena(plan, arena, arena_bytes);
    const uint8_t *record = plan->bytes + plan->header.ops_at;
    for (uint32_t i = 0; status == EO_OK && i < plan->header.op_count; i++) {
        const eo_op_head *head = (const void *)record;
        if (kernels[head->code] == NULL) {
            return EO_UNSUPPORTED;
        }
        kernels[head->code](plan->bytes, record, arena);
        record += head->record_bytes;
    }
    return status;
}

eo_status eo_plan_run(const eo_plan *plan, void *arena, size_t arena_bytes)
{
    return eo_plan_run_with(plan, EO_KERNELS, arena, arena_bytes);
}
