/* run_plan [--kernels dsp|portable] PLAN INPUT OUTPUT
 *
 * Runs an execution plan on raw input bytes. INPUT holds one or more inputs, one after the other; each is one
 * inference, in their order, and OUTPUT gets their outputs. `-` is standard input or output.
 * Exit status: 0; 1 where a file or the plan is not usable; 2 for wrong arguments. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edgeops/runtime.h"

#define MOST_PLAN_BYTES (64u << 20)

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "run_plan: %s: %s\n", what, why);
    return 1;
}

/* The file's bytes, at an address for any type; NULL, with a message, where it cannot be read or is too large. */
static void *read_file(const char *path, size_t most, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fail(path, "cannot be opened");
        return NULL;
    }
    size_t room = 1u << 16, used = 0;
    unsigned char *bytes = malloc(room);
    while (bytes != NULL) {
        used += fread(bytes + used, 1, room - used, file);
        if (used < room || room > most) {
            break;
        }
        room *= 2;
        unsigned char *more = realloc(bytes, room);
        if (more == NULL) {
            free(bytes);
        }
        bytes = more;
    }
    const char *why = bytes == NULL ? "no memory" : ferror(file) ? "cannot be read" : used > most ? "too large" : NULL;
    fclose(file);
    if (why != NULL) {
        fail(path, why);
        free(bytes);
        return NULL;
    }
    *size = used;
    return bytes;
}

static int run(const eo_plan *plan, const eo_kernel *kernels, void *arena, FILE *input, FILE *output,
               const char *input_path, const char *output_path)
{
    const eo_plan_header *header = &plan->header;
    eo_status status = eo_plan_reset_state(plan, arena, header->arena_bytes);
    size_t inferences = 0;
    while (status == EO_OK) {
        size_t got = fread(eo_plan_input(plan, arena), 1, header->input.bytes, input);
        if (ferror(input)) {
            return fail(input_path, "cannot be read");
        }
        if (got == 0 && inferences > 0) {
            return 0;
        }
        if (got != header->input.bytes) {
            char why[96];
            snprintf(why, sizeof why, "ends inside input %zu; one input has %lu bytes", inferences,
                     (unsigned long)header->input.bytes);
            return fail(input_path, why);
        }
        status = eo_plan_run_with(plan, kernels, arena, header->arena_bytes);
        if (status == EO_OK &&
            (fwrite(eo_plan_output(plan, arena), 1, header->output.bytes, output) != header->output.bytes ||
             fflush(output) != 0)) { /* at once: the next input may depend on it */
            return fail(output_path, "cannot be written");
        }
        inferences++;
    }
    return fail("the plan does not run", eo_status_text(status));
}

static int run_files(const char *plan_path, const char *input_path, const char *output_path, const eo_kernel *kernels)
{
    size_t size = 0;
    void *bytes = read_file(plan_path, MOST_PLAN_BYTES, &size);
    if (bytes == NULL) {
        return 1;
    }
    int result = 1;
    eo_plan plan;
    eo_status status = eo_plan_open(&plan, bytes, size);
    void *arena = status == EO_OK ? calloc(1, eo_plan_arena_bytes(&plan)) : NULL;
    FILE *input = NULL, *output = NULL;
    if (status != EO_OK) {
        fail(plan_path, eo_status_text(status));
    } else if (arena == NULL) {
        fail(plan_path, "no memory for its arena");
    } else if ((input = strcmp(input_path, "-") == 0 ? stdin : fopen(input_path, "rb")) == NULL) {
        fail(input_path, "cannot be opened");
    } else if ((output = strcmp(output_path, "-") == 0 ? stdout : fopen(output_path, "wb")) == NULL) {
        fail(output_path, "cannot be written");
    } else {
        result = run(&plan, kernels, arena, input, output, input_path, output_path);
    }
    if (output != NULL && fclose(output) != 0 && result == 0) {
        result = fail(output_path, "cannot be written");
    }
    if (input != NULL) {
        fclose(input);
    }
    free(arena);
    free(bytes);
    return result;
}

int main(int argc, char **argv)
{
    const eo_kernel *kernels = eo_kernels_portable;
    if (argc == 6 && strcmp(argv[1], "--kernels") == 0) {
        if (strcmp(argv[2], "dsp") == 0) {
            kernels = eo_kernels_dsp;
        } else if (strcmp(argv[2], "portable") != 0) {
            argc = 0;
        }
        argv += 2;
        argc -= 2;
    }
    if (argc != 4) {
        fputs("usage: run_plan [--kernels dsp|portable] PLAN INPUT OUTPUT\n", stderr);
        return 2;
    }
    return run_files(argv[1], argv[2], argv[3], kernels);
}
