/* The lifecycle events that a device has still to send, in order; the oldest go first when there is no room. */
#ifndef EDGEOPS_AGENT_EVENT_QUEUE_H
#define EDGEOPS_AGENT_EVENT_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "edgeops/config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One event; its reason follows it in the queue. */
typedef struct eo_queued_event {
    uint64_t uptime_ms;
    uint32_t number;
    uint32_t generation;
    uint8_t source, event, target; /* also of what is no transition: damage is told with two equal states */
    uint8_t has_manifest;
    uint16_t reason_bytes; /* with its end; 0 without */
    uint16_t reserved;
    uint8_t manifest[32];
} eo_queued_event;

typedef struct eo_event_queue {
    uint16_t used;
    uint8_t bytes[EO_EVENT_QUEUE_BYTES];
} eo_event_queue;

/* `reason` may be NULL. */
void eo_event_queue_put(eo_event_queue *queue, eo_queued_event *event, const char *reason);
/* The oldest, and its reason or NULL; false where there is none. */
bool eo_event_queue_first(const eo_event_queue *queue, eo_queued_event *event, const char **reason);
void eo_event_queue_remove_first(eo_event_queue *queue);

#ifdef __cplusplus
}
#endif
#endif
