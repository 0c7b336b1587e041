/* The port of the mps2-an385: what include/edgeops/port.h asks of a board, on an emulated one. */
#ifndef EDGEOPS_PORT_MPS2_PORT_H
#define EDGEOPS_PORT_MPS2_PORT_H

#include "edgeops/port.h"
#include "emulated_flash.h"
#include "mqtt_link.h"

typedef struct mps2_port {
    eo_port port;
    emulated_flash flash;
    mqtt_link *link;
    uint64_t random_state;
    int inputs; /* a file, or -1 */
    uint32_t inputs_bytes, inputs_at;
    uint32_t interval_ms;
    uint64_t input_due_ms;
} mps2_port;

/* Files of the host: the flash's, and one of raw inputs that are replayed one after the other, again and again, or
 * NULL. `interval_ms` passes between two inputs. EO_ARGUMENT: the inputs cannot be read, or are
 * empty; EO_TOO_SMALL: the flash's file is larger than this flash; EO_IO: it cannot be read or written. */
eo_status mps2_port_start(mps2_port *mps2, mqtt_link *link, const char *flash_path, const char *inputs_path,
                          uint32_t interval_ms, uint32_t seed);

#endif
