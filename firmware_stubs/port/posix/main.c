/* The C agent on Linux: edgeops_agent --enrolment agent.toml --inputs FILE. */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "options.h"
#include "posix_port.h"

static volatile sig_atomic_t stopping;

static void stop(int signal_number) {
    (void)signal_number;
    stopping = 1;
}

/* What a person can do about an agent that does not start. */
static const char *remedy(eo_status status) {
    switch (status) {
    case EO_ARGUMENT:
        return "its names, or a flash of another fleet or model. Fix: check agent.toml, or take another --flash";
    case EO_TOO_SMALL:
        return "the flash has no room for two slots. Fix: a larger --flash-bytes";
    default:
        return eo_status_text(status);
    }
}

static int failed(const char *what, const char *why) {
    fprintf(stderr, "Error: %s: %s\n", what, why);
    return 1;
}

static int flash_failed(const flash_file *flash, const char *path) {
    if (errno == EAGAIN || errno == EACCES)
        return failed(path, "another agent has it, or it may not be written");
    if (errno != EFBIG)
        return failed(path, strerror(errno));
    fprintf(stderr, "Error: %s: it has %llu bytes, --flash-bytes says %lu. "
                    "Fix: --flash-bytes as it is, or another --flash\n",
            path, (unsigned long long)flash->found, (unsigned long)flash->bytes);
    return 1;
}

/* A file with something in it; what is neither file nor folder (a device) is taken as it is. */
static int open_inputs(posix_port *posix, const char *path) {
    struct stat found;
    if ((posix->inputs = fopen(path, "rb")) == NULL || fstat(fileno(posix->inputs), &found) != 0)
        return failed(path, strerror(errno));
    if (S_ISDIR(found.st_mode))
        return failed(path, "is a folder. Fix: --inputs names a file of raw inputs, one after the other");
    if (S_ISREG(found.st_mode) && found.st_size == 0)
        return failed(path, "is empty. Fix: --inputs names a file of raw inputs, one after the other");
    return 0;
}

int main(int count, char **words) {
    static eo_agent agent;
    static posix_port posix;
    static eo_plan_infer infer;
    static enrolment enrolled;
    static uint64_t scratch[131072];
    options given;
    char flash_path[1100];
    const int status = options_read(&given, count, words);
    if (status != 0 || given.help)
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
        return flash_failed(&posix.flash, flash);
    if (given.inputs != NULL && open_inputs(&posix, given.inputs) != 0)
        return 1;
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
    if (started == EO_SIGNATURE || started == EO_MALFORMED)
        return failed(enrolled.trust_path,
                      "is not a trust root; enrol the device again. Fix: edgeops device enroll NAME");
    if (started != EO_OK)
        return failed("the agent does not start", remedy(started));
    posix.enrolled = &enrolled;
    posix_port_say(&posix, "starts");
    if (posix_port_open_network(&posix) != 0)
        return 1;
    while (!stopping)
        posix_port_network(&posix, eo_agent_poll(&agent));
    eo_agent_stop(&agent);
    posix_port_close_network(&posix);
    return 0;
}
