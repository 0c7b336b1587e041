/* What a board gives: ten functions. Everything else is the same on every device.
 *
 * Flash is memory-mapped for reading (models run in place from it) and written through program and erase. */
#ifndef EDGEOPS_PORT_H
#define EDGEOPS_PORT_H

#include <stddef.h>
#include <stdint.h>

#include "edgeops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct eo_flash_geometry {
    const uint8_t *base;    /* where the agent's part of the flash is mapped, a multiple of 8 */
    uint32_t bytes;         /* of that part, a multiple of erase_bytes */
    uint32_t erase_bytes;   /* the smallest piece that can be erased */
    uint32_t program_bytes; /* the smallest piece that can be written, a power of two, at most 32; each once only
                               between two erases of its block, so that flash with error correction serves */
} eo_flash_geometry;

typedef struct eo_port {
    void *context;
    eo_flash_geometry flash;

    /* 1. Read the agent's flash; most ports copy from flash.base. */
    eo_status (*flash_read)(void *context, uint32_t at, void *bytes, size_t size);
    /* 2. Write erased flash; at and size are multiples of program_bytes. */
    eo_status (*flash_program)(void *context, uint32_t at, const void *bytes, size_t size);
    /* 3. Erase one block to 0xFF; at is a multiple of erase_bytes. */
    eo_status (*flash_erase)(void *context, uint32_t at);
    /* 4. Milliseconds since the start, monotonic, 64 bits. */
    uint64_t (*uptime_ms)(void *context);
    /* 5. Unpredictable bytes, for the first boot number only. */
    eo_status (*random)(void *context, void *bytes, size_t size);
    /* 6. Publish with QoS 1. The payload may be gone after the call. EO_AGAIN: no room or no connection; try later. */
    eo_status (*publish)(void *context, const char *topic, const void *payload, size_t size, int retained);
    /* 7. Subscribe (QoS 1), or end a subscription. What comes goes to eo_agent_message. EO_AGAIN as above. */
    eo_status (*subscribe)(void *context, const char *topic, int subscribed);
    /* 8. The next raw input, as the manifest's source describes it: int16 or uint8 samples, see features.h.
     * EO_AGAIN while there is none. */
    eo_status (*input)(void *context, void *values, size_t size);
    /* 9. One line for a person; may do nothing. */
    void (*log)(void *context, const char *line);
    /* 10. Start again. Does not return on a board. */
    void (*reset)(void *context);
} eo_port;

#ifdef __cplusplus
}
#endif
#endif
