/* What the command line says, beyond words and numbers. */
#ifndef EDGEOPS_PORT_MPS2_ARGUMENTS_H
#define EDGEOPS_PORT_MPS2_ARGUMENTS_H

#include <stddef.h>
#include <stdint.h>

typedef enum argument_kind {
    ARGUMENT_TEXT,
    ARGUMENT_NUMBER,  /* decimal, 32 bits */
    ARGUMENT_ADDRESS, /* a.b.c.d:port */
    ARGUMENT_SAMPLES, /* what inputs are */
} argument_kind;

/* One setting that an image knows. */
typedef struct argument_rule {
    const char *name;
    argument_kind kind;
    size_t room; /* for a text with its end */
    int needed;
} argument_rule;

/* Whether the command line has all that is needed, nothing that is unknown, and values that can be read. 0, or -1 with
 * a line for a person that names the setting and what is possible. */
int argument_check(const argument_rule *rules, size_t count);

/* `name=a.b.c.d:port`. 0, or -1 where that is not there. */
int argument_address(const char *name, uint8_t address[4], uint16_t *port);

#endif
