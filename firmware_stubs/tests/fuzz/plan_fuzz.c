/* Whatever the bytes are: eo_plan_open refuses them, or the plan runs, with both sets of kernels, within plan and
 * arena. Both lie in memory of just their size, so that the sanitizers see a byte too much. */
#include <stdlib.h>
#include <string.h>

#include "edgeops/runtime.h"

#define MOST_ARENA (1u << 16)
#define MOST_WORK 2000000u /* products of one inference; more takes time and shows nothing new */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t work_of(const uint8_t *record)
{
    eo_op_conv conv;
    eo_op_fully_connected dense;
    eo_op_pool pool;
    eo_op_svdf svdf;
    eo_op_lstm lstm;
    switch (record[0]) {
    case EO_OP_CONV_2D:
    case EO_OP_DEPTHWISE_CONV_2D:
        memcpy(&conv, record, sizeof conv);
        return (uint64_t)conv.out_h * conv.out_w * conv.out_c * ((uint64_t)conv.k_h * conv.k_w + 1) *
               (record[0] == EO_OP_CONV_2D ? conv.in_c : 1u);
    case EO_OP_FULLY_CONNECTED:
        memcpy(&dense, record, sizeof dense);
        return (uint64_t)dense.rows * dense.in * dense.out;
    case EO_OP_AVERAGE_POOL_2D:
    case EO_OP_MAX_POOL_2D:
        memcpy(&pool, record, sizeof pool);
        return (uint64_t)pool.out_h * pool.out_w * pool.channels * ((uint64_t)pool.k_h * pool.k_w + 1);
    case EO_OP_SVDF:
        memcpy(&svdf, record, sizeof svdf);
        return (uint64_t)svdf.filters * ((uint64_t)svdf.in + svdf.memory);
    case EO_OP_LSTM:
        memcpy(&lstm, record, sizeof lstm);
        return 4 * (uint64_t)lstm.steps * lstm.units * ((uint64_t)lstm.in + lstm.units);
    default:
        return MOST_ARENA; /* the arena bounds it */
    }
}

static int is_small(const eo_plan *plan)
{
    uint64_t work = 0;
    const uint8_t *record = plan->bytes + plan->header.ops_at;
    for (uint32_t i = 0; i < plan->header.op_count && work < MOST_WORK; i++) {
        uint16_t bytes;
        memcpy(&bytes, record + 2, sizeof bytes);
        uint64_t more = work_of(record);
        work += more < MOST_WORK ? more : MOST_WORK;
        record += bytes;
    }
    return plan->header.arena_bytes <= MOST_ARENA && work < MOST_WORK;
}

static void run(const eo_plan *plan, const eo_kernel *kernels)
{
    uint32_t bytes = plan->header.arena_bytes;
    uint8_t *arena = malloc(bytes);
    if (arena == NULL) {
        return;
    }
    for (uint32_t i = 0; i < bytes; i++) {
        arena[i] = (uint8_t)(i * 167u + 13u);
    }
    for (int i = 0; i < 2; i++) {
        if (eo_plan_reset_state(plan, arena, bytes) != EO_OK ||
            eo_plan_run_with(plan, kernels, arena, bytes) != EO_OK) {
            abort();
        }
    }
    free(arena);
}

static eo_status try_plan(const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size > 0 ? size : 1);
    if (bytes == NULL) {
        return EO_FULL;
    }
    if (size > 0) {
        memcpy(bytes, data, size);
    }
    eo_plan plan;
    eo_status status = eo_plan_open(&plan, bytes, size);
    if (status == EO_OK && is_small(&plan)) {
        run(&plan, eo_kernels_portable);
        run(&plan, eo_kernels_dsp);
    }
    free(bytes);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)try_plan(data, size);
    return 0;
}
