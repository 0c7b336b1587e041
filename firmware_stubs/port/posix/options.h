/* The command line of edgeops_agent. */
#ifndef EDGEOPS_POSIX_OPTIONS_H
#define EDGEOPS_POSIX_OPTIONS_H

#include <stdint.h>

#include "edgeops/features.h"

#define ERASE_BYTES 4096u /* --flash-bytes is a multiple of it */

typedef struct options {
    const char *enrolment, *flash, *inputs, *target; /* NULL where nothing is said */
    uint32_t flash_bytes, every_ms, arena_bytes;
    eo_sample_type samples;
    int help;
} options;

/* 0, or 2 (misuse) with a line for a person on stderr. Where help is asked for, it has been printed. */
int options_read(options *given, int count, char **words);

#endif
