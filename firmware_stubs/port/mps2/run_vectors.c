/* Image: runs a plan over a file of inputs and writes a file of outputs.
 *
 * The plan was put into the board's flash by the emulator (`-device loader`), so that it runs in place. Command line:
 * plan=<bytes of the plan> inputs=<path> outputs=<path>. Prints what an inference took as name=number lines. */
#include "board.h"
#include "clock.h"
#include "edgeops/runtime.h"
#include "semihosting.h"

#define PATH_BYTES 200

static int failed(const char *what, int code)
{
    semihosting_text("failed=");
    semihosting_text(what);
    semihosting_text("\n");
    return code;
}

static int failed_with(eo_status status)
{
    semihosting_report("status", (uint64_t)status);
    return failed(eo_status_text(status), 2);
}

static int run_all(const eo_plan *plan, uint8_t *arena, size_t arena_bytes, int inputs, int outputs)
{
    const uint32_t input_bytes = plan->header.input.bytes;
    const int32_t length = semihosting_length(inputs);
    if (length < 0 || input_bytes == 0 || (uint32_t)length % input_bytes != 0) {
        return failed("the inputs are not whole", 1);
    }
    const uint32_t count = (uint32_t)length / input_bytes;
    uint64_t sum = 0;
    uint64_t most = 0;
    size_t stack = 0; /* of an inference alone */
    eo_status status = eo_plan_reset_state(plan, arena, arena_bytes);
    for (uint32_t i = 0; i < count && status == EO_OK; i++) {
        if (semihosting_read(inputs, eo_plan_input(plan, arena), input_bytes) != 0) {
            return failed("an input cannot be read", 1);
        }
        const size_t stack_before = board_stack_watch();
        const uint64_t start = clock_ns();
        status = eo_plan_run(plan, arena, arena_bytes);
        const uint64_t took = clock_ns() - start;
        const size_t stack_used = board_stack_bytes() - stack_before;
        stack = stack_used > stack ? stack_used : stack;
        sum += took;
        most = took > most ? took : most;
        if (semihosting_write(outputs, eo_plan_output(plan, arena), plan->header.output.bytes) != 0) {
            return failed("an output cannot be written", 1);
        }
    }
    if (status != EO_OK) {
        return failed_with(status);
    }
    semihosting_report("plan_bytes", plan->header.plan_bytes);
    semihosting_report("arena_bytes", eo_plan_arena_bytes(plan));
    semihosting_report("macs", plan->header.macs);
    semihosting_report("inferences", count);
    semihosting_report("instructions", count == 0 ? 0 : sum / count);
    semihosting_report("instructions_max", most);
    semihosting_report("stack_bytes", stack);
    return 0;
}

int board_main(void)
{
    static char path[PATH_BYTES];
    clock_start();
    const uint32_t plan_bytes = semihosting_argument_number("plan", 0);
    if (plan_bytes == 0 || plan_bytes > (uintptr_t)board_model_end - (uintptr_t)board_model_start) {
        return failed("the plan does not fit this board's flash", 3);
    }
    eo_plan plan;
    const eo_status status = eo_plan_open(&plan, board_model_start, plan_bytes);
    if (status != EO_OK) {
        return failed_with(status);
    }
    const size_t arena_bytes = (size_t)((uintptr_t)board_free_end - (uintptr_t)board_free_start);
    if (eo_plan_arena_bytes(&plan) > arena_bytes) {
        return failed("the arena does not fit this board's RAM", 3);
    }
    if (semihosting_argument("inputs", path, sizeof(path)) != 0) {
        return failed("inputs= is missing", 1);
    }
    const int inputs = semihosting_open(path, SEMIHOSTING_READ);
    if (semihosting_argument("outputs", path, sizeof(path)) != 0) {
        return failed("outputs= is missing", 1);
    }
    const int outputs = semihosting_open(path, SEMIHOSTING_REPLACE);
    if (inputs < 0 || outputs < 0) {
        return failed("inputs or outputs cannot be opened", 1);
    }
    return run_all(&plan, board_free_start, arena_bytes, inputs, outputs);
}
