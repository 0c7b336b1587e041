/* The ten functions of a port on a POSIX machine: a file as flash, libmosquitto as network, a file of inputs. */
#ifndef EDGEOPS_POSIX_PORT_H
#define EDGEOPS_POSIX_PORT_H

#include <mosquitto.h>
#include <stdbool.h>
#include <stdio.h>

#include "edgeops/agent.h"
#include "enrolment.h"
#include "flash_file.h"

typedef struct posix_port {
    eo_port port;
    eo_agent *agent;
    flash_file flash;
    const enrolment *enrolled; /* set before the network is opened */
    struct mosquitto *client;
    bool connected;
    bool told_offline; /* said once, until it is connected again */
    int pending;      /* messages that the broker has not acknowledged */
    uint64_t try_at;  /* the next attempt to connect */
    FILE *inputs;     /* NULL: there are none */
    uint32_t every_ms;
    uint64_t input_at;
    bool input_failed; /* and that was said */
} posix_port;

void posix_port_begin(posix_port *posix, eo_agent *agent);
/* One line on stdout: who this is, what it does, and which model it has. */
void posix_port_say(const posix_port *posix, const char *doing);
/* Connects, or tries again where that is due; waits at most `milliseconds` for what the network brings. */
void posix_port_network(posix_port *posix, uint32_t milliseconds);
/* Prepares the connection; 0, or -1 with a line for a person on stderr. */
int posix_port_open_network(posix_port *posix);
/* Waits until the broker has what was published, or a second; then disconnects. */
void posix_port_close_network(posix_port *posix);

#endif
