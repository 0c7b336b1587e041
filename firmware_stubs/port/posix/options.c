/* Reads the command line, and names the option that is wrong with what it may be. */
#define _POSIX_C_SOURCE 200809L

#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_FLASH (1024u * 1024u)
#define LARGEST (1024u * 1024u * 1024u)

static const char usage[] =
    "usage: edgeops_agent --enrolment AGENT.TOML [--flash FILE] [--flash-bytes N] [--inputs FILE] [--samples TYPE]\n"
    "                     [--every MS] [--target CLASS] [--arena-bytes N]\n"
    "  --enrolment    agent.toml of `edgeops device enroll`, with trust.cose beside it\n"
    "  --flash        the file that stands for the flash (default: flash.bin in the data folder of agent.toml)\n"
    "  --flash-bytes  its size, a multiple of 4096 (default 1048576)\n"
    "  --inputs       raw inputs, one after the other, again and again; none without it\n"
    "  --samples      what they are: uint8, int16 or float32 (default int16)\n"
    "  --every        pause between two inputs in milliseconds (default 100)\n"
    "  --target       target class (default: that of agent.toml, else mcu)\n"
    "  --arena-bytes  working memory for the model (default 262144)\n";

static int misused(const char *name, const char *value, const char *possible) {
    fprintf(stderr, "Error: %s%s%s: %s. Fix: edgeops_agent --help\n", name, value != NULL ? " " : "",
            value != NULL ? value : "", possible);
    return 2;
}

/* A whole number without anything before or behind it. */
static int read_number(const char *name, const char *text, uint32_t *number) {
    char *end;
    errno = 0;
    const unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' || value > LARGEST)
        return misused(name, text, "must be a whole number, at most 1073741824");
    *number = (uint32_t)value;
    return 0;
}

static int read_samples(const char *text, eo_sample_type *type) {
    if (strcmp(text, "uint8") == 0)
        *type = EO_SAMPLE_UINT8;
    else if (strcmp(text, "int16") == 0)
        *type = EO_SAMPLE_INT16;
    else if (strcmp(text, "float32") == 0)
        *type = EO_SAMPLE_FLOAT32;
    else
        return misused("--samples", text, "must be uint8, int16 or float32");
    return 0;
}

static int read_one(options *given, const char *name, const char *value) {
    const struct {
        const char *name;
        const char **text;
        uint32_t *number;
    } known[] = {{"--enrolment", &given->enrolment, NULL}, {"--flash", &given->flash, NULL},
                 {"--inputs", &given->inputs, NULL},       {"--target", &given->target, NULL},
                 {"--samples", NULL, NULL},                {"--flash-bytes", NULL, &given->flash_bytes},
                 {"--every", NULL, &given->every_ms},      {"--arena-bytes", NULL, &given->arena_bytes}};
    size_t at = 0;
    while (at < sizeof known / sizeof known[0] && strcmp(known[at].name, name) != 0)
        at++;
    if (at == sizeof known / sizeof known[0])
        return misused(name, NULL, "is not an option");
    if (value == NULL || *value == '\0')
        return misused(name, NULL, "needs a value");
    if (known[at].number != NULL)
        return read_number(name, value, known[at].number);
    if (known[at].text == NULL)
        return read_samples(value, &given->samples);
    *known[at].text = value;
    return 0;
}

int options_read(options *given, int count, char **words) {
    *given = (options){NULL, NULL, NULL, NULL, DEFAULT_FLASH, 100, 262144, EO_SAMPLE_INT16, 0};
    for (int i = 1; i < count; i++)
        if (strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0) {
            given->help = 1;
            fputs(usage, stdout);
            return 0;
        }
    for (int i = 1; i < count; i += 2) {
        const int status = read_one(given, words[i], i + 1 < count ? words[i + 1] : NULL);
        if (status != 0)
            return status;
    }
    if (given->enrolment == NULL)
        return misused("--enrolment", NULL, "is missing");
    if (given->flash_bytes == 0 || given->flash_bytes % ERASE_BYTES != 0) {
        char text[12];
        snprintf(text, sizeof text, "%lu", (unsigned long)given->flash_bytes);
        return misused("--flash-bytes", text, "must be a multiple of 4096");
    }
    return 0;
}
