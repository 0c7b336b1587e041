/* Runs an execution plan. No heap, no recursion, no floating point in the int8 path; the caller gives the arena. */
#ifndef EDGEOPS_RUNTIME_H
#define EDGEOPS_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#include "edgeops/plan.h"
#include "edgeops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A verified plan. */
typedef struct eo_plan {
    const uint8_t *bytes;
    eo_plan_header header;
} eo_plan;

/* Checks every offset, shape and range of `bytes` (multiple of 4, at most size bytes) and opens the plan, so that no
 * run can read or write outside of plan and arena, whatever the plan says. Bounded: one pass over the op records.
 * EO_MALFORMED, EO_UNSUPPORTED, EO_RANGE, EO_ARGUMENT (alignment). */
eo_status eo_plan_open(eo_plan *plan, const void *bytes, size_t size);

/* Bytes of arena that a run needs. */
size_t eo_plan_arena_bytes(const eo_plan *plan);

/* Sets what is kept between inferences to its beginning; once before the first run. */
eo_status eo_plan_reset_state(const eo_plan *plan, void *arena, size_t arena_bytes);

/* Where the input goes in (it is overwritten by a run) and the output comes out, inside of the arena. */
void *eo_plan_input(const eo_plan *plan, void *arena);
const void *eo_plan_output(const eo_plan *plan, const void *arena);

/* Runs one op record. Constants are in the plan, tensors in the arena; the record has been verified. */
typedef void (*eo_kernel)(const uint8_t *plan, const void *record, uint8_t *arena);

/* One kernel for each op code; NULL where a build leaves one out. A vendor fills a table of its own. */
extern const eo_kernel eo_kernels_portable[EO_OP_END];
extern const eo_kernel eo_kernels_dsp[EO_OP_END]; /* for cores with the DSP extension; elsewhere it is emulated */

/* One inference with the kernels of `kernels`. As eo_plan_run, and EO_UNSUPPORTED where one is left out. */
eo_status eo_plan_run_with(const eo_plan *plan, const eo_kernel *kernels, void *arena, size_t arena_bytes);

/* One inference with the build's kernels: the table that EO_KERNELS names where the build defines it (a vendor's),
 * otherwise those for the DSP extension where the core has it and EO_KERNELS_portable is not defined, otherwise the
 * portable ones. EO_TOO_SMALL for an arena that is too small, EO_ARGUMENT where it is not at a multiple of 4. */
eo_status eo_plan_run(const eo_plan *plan, void *arena, size_t arena_bytes);

/* The seam to other runtimes (TFLM with CMSIS-NN, a vendor's): what the agent calls. */
typedef struct eo_infer {
    const char *runtime; /* as in a manifest's artifact: "plan" */
    /* Working memory that these model bytes need; fails where they are no model that can be run. */
    eo_status (*arena_bytes)(void *context, const void *model, size_t size, size_t *arena_bytes);
    /* Opens the model; `arena` stays the runtime's until the next open. */
    eo_status (*open)(void *context, const void *model, size_t size, void *arena, size_t arena_bytes);
    /* One inference of the model that was opened last: int8 in, int8 out, in C order. */
    eo_status (*run)(void *context, const int8_t *input, size_t input_bytes, int8_t *output, size_t output_bytes);
    /* Whether these model bytes, which were opened before, keep something from one inference to the next: then the
     * model cannot share the arena with another in a shadow run. */
    int (*keeps_state)(void *context, const void *model, size_t size);
} eo_infer;

/* This runtime behind that seam: the context is an eo_plan_infer that the caller keeps, the model bytes are a plan. */
typedef struct eo_plan_infer {
    eo_plan plan;
    void *arena;
    size_t arena_bytes;
} eo_plan_infer;
extern const eo_infer eo_plan_runtime;

#ifdef __cplusplus
}
#endif
#endif
