/* The C agent on Linux: edgeops_agent --enrolment agent.toml --inputs FILE. */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "posix_port.h"

#define DEFAULT_FLASH (1024u * 1024u)
#define ERASE_BYTES 4096u

static volatile sig_atomic_t stopping;

static void stop(int signal_number) {
    (void)signal_number;
    stopping = 1;
}

static const char usage[] =
    "usage: edgeops_agent --enrolment AGENT.TOML [--flash FILE] [--flash-bytes N] [--inputs FILE] [--samples TYPE]\n"
    "                     [--every MS] [--target CLASS] [--arena-bytes N]\n"
    "  --enrolment    agent.toml of `edgeops device enroll`, with trust.cose beside it\n"
    "  --flash        the file that stands for the flash (default: flash.bin in the data folder of agent.toml)\n"
    "  --inputs       raw inputs, one after the other, again and again; none without it\n"
    "  --samples      what they are: uint8, int16 or float32 (default int16)\n"
    "  --every        pause between two inputs in milliseconds (default 100)\n"
    "  --target       target class (default: that of agent.toml, else mcu)\n"
    "  --arena-bytes  working memory for the model (default 262144)\n";

static int misused(const char *what) {
    fprintf(stderr, "Error: %s\n%s", what, usage);
    return 2;
}

/* A number without anything behind it. */
static int read_number(const char *text, uint32_t *number) {
    char *end;
    errno = 0;
    const unsigned long value = strtoul(text, &end, 10);
    *number = (uint32_t)value;
    return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && value <= 0x40000000u ? 0 : -1;
}

typedef struct options {
    const char *enrolment, *flash, *inputs, *target;
    uint32_t flash_bytes, every_ms, arena_bytes;
    eo_sample_type samples;
} options;

static int read_options(options *given, int count, char **words) {
    *given = (options){NULL, NULL, NULL, NULL, DEFAULT_FLASH, 100, 262144, EO_SAMPLE_INT16};
    for (int i = 1; i < count; i += 2) {
        const char *name = words[i], *value = i + 1 < count ? words[i + 1] : NULL;
        if (value == NULL)
            return misused(name);
        if (strcmp(name, "--enrolment") == 0)
            given->enrolment = value;
        else if (strcmp(name, "--flash") == 0)
            given->flash = value;
        else if (strcmp(name, "--inputs") == 0)
            given->inputs = value;
        else if (strcmp(name, "--target") == 0)
            given->target = value;
        else if (strcmp(name, "--flash-bytes") == 0 && read_number(value, &given->flash_bytes) == 0)
            given->flash_bytes = given->flash_bytes / ERASE_BYTES * ERASE_BYTES;
        else if (strcmp(name, "--every") == 0 && read_number(value, &given->every_ms) == 0)
            ;
        else if (strcmp(name, "--arena-bytes") == 0 && read_number(value, &given->arena_bytes) == 0)
            ;
        else if (strcmp(name, "--samples") == 0 && strcmp(value, "uint8") == 0)
            given->samples = EO_SAMPLE_UINT8;
        else if (strcmp(name, "--samples") == 0 && strcmp(value, "int16") == 0)
            given->samples = EO_SAMPLE_INT16;
        else if (strcmp(name, "--samples") == 0 && strcmp(value, "float32") == 0)
            given->samples = EO_SAMPLE_FLOAT32;
        else
            return misused(name);
    }
    if (given->flash_bytes == 0)
        return misused("--flash-bytes");
    return given->enrolment != NULL ? 0 : misused("--enrolment is missing");
}

/* What a person can do about an agent that does not start. */
static const char *remedy(eo_status status) {
    switch (status) {
    case EO_ARGUMENT:
        return "its names, or a flash of another fleet or model. Fix: check agent.toml, or take another --flash";
    case EO_TOO_SMALL:
        return "the flash has no room for two slots. Fix: a larger --flash-bytes";
    case EO_SIGNATURE:
    case EO_MALFORMED:
        return "the trust root is damaged or not signed. Fix: edgeops device enroll NAME writes it anew";
    default:
        return eo_status_text(status);
    }
}

static int failed(const char *what, const char *why) {
    fprintf(stderr, "Error: %s: %s\n", what, why);
    return 1;
}

int main(int count, char **words) {
    static eo_agent agent;
    static posix_port posix;
    static eo_plan_infer infer;
    static enrolment enrolled;
    static uint64_t scratch[131072];
    options given;
    char flash_path[1100];
    int status = read_options(&given, count, words);
    if (status != 0)
        return status;
    if (enrolment_read(&enrolled, given.enrolment) != 0)
        return 1;
    const struct sigaction action = {.sa_handler = stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL); /* of a broker that goes away, or of whoever read the log */
    snprintf(flash_path, sizeof flash_path, "%s/flash.bin", enrolled.data);
    const char *flash = given.flash != NULL ? given.flash : flash_path;
    if (given.flash == NULL && mkdir(enrolled.data, 0700) != 0 && errno != EEXIST)
        return failed(enrolled.data, strerror(errno));
    if (flash_file_open(&posix.flash, flash, given.flash_bytes, ERASE_BYTES) != 0)
        return failed(flash, errno == EAGAIN || errno == EACCES ? "another agent has it, or it may not be written"
                                                                : strerror(errno));
    if (given.inputs != NULL && (posix.inputs = fopen(given.inputs, "rb")) == NULL)
        return failed(given.inputs, strerror(errno));
    posix.every_ms = given.every_ms;
    void *arena = calloc(given.arena_bytes / 8u + 1u, 8u);
    if (arena == NULL)
        return failed("--arena-bytes", strerror(errno));
    posix_port_begin(&posix, &agent);
    const eo_agent_config config = {
        .port = &posix.port,
        .fleet = enrolled.fleet,
        .device = enrolled.device,
        .target = given.target != NULL ? given.target : enrolled.target,
        .model = enrolled.model[0] != '\0' ? enrolled.model : NULL,
        .trust = enrolled.trust,
        .trust_bytes = enrolled.trust_bytes,
        .infer = &eo_plan_runtime,
        .infer_context = &infer,
        .arena = arena,
        .arena_bytes = given.arena_bytes,
        .scratch = scratch,
        .scratch_bytes = sizeof scratch,
        .sample_type = given.samples,
    };
    const eo_status started = eo_agent_start(&agent, &config);
    if (started != EO_OK)
        return failed("the agent does not start", remedy(started));
    if (posix_port_open_network(&posix, &enrolled) != 0)
        return 1;
    while (!stopping)
        posix_port_network(&posix, eo_agent_poll(&agent));
    eo_agent_stop(&agent);
    posix_port_close_network(&posix);
    return 0;
}
