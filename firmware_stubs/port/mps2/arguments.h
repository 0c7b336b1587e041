/* What the command line says, beyond words and numbers. */
#ifndef EDGEOPS_PORT_MPS2_ARGUMENTS_H
#define EDGEOPS_PORT_MPS2_ARGUMENTS_H

#include <stdint.h>

/* `name=a.b.c.d:port`. 0, or -1 where that is not there. */
int argument_address(const char *name, uint8_t address[4], uint16_t *port);

#endif
