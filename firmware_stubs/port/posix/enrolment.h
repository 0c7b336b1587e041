/* What `edgeops device enroll` writes for a device: agent.toml and trust.cose. */
#ifndef EDGEOPS_POSIX_ENROLMENT_H
#define EDGEOPS_POSIX_ENROLMENT_H

#include <stddef.h>
#include <stdint.h>

#include "edgeops/config.h"

typedef struct enrolment {
    char fleet[80], device[80], model[80], target[40];
    char host[200], user[100], password[100];
    int port;
    char data[1024]; /* a folder; paths are taken from the file's own folder */
    char trust_path[2100];
    uint8_t trust[EO_MESSAGE_BYTES];
    size_t trust_bytes;
} enrolment;

/* Reads agent.toml and the trust root that it names. 0, or -1 with a line for a person on stderr. */
int enrolment_read(enrolment *found, const char *path);

#endif
