#include "agent/event_queue.h"

#include <string.h>

#include "agent/text.h"

void eo_event_queue_put(eo_event_queue *queue, eo_queued_event *event, const char *reason) {
    const size_t words = reason == NULL ? 0 : eo_text_cut(reason, EO_REASON_BYTES);
    event->reason_bytes = (uint16_t)(reason == NULL ? 0 : words + 1u);
    const size_t size = sizeof *event + event->reason_bytes;
    while (queue->used + size > sizeof queue->bytes)
        eo_event_queue_remove_first(queue);
    uint8_t *to = queue->bytes + queue->used;
    memcpy(to, event, sizeof *event);
    if (reason != NULL) {
        memcpy(to + sizeof *event, reason, words);
        to[size - 1u] = 0;
    }
    queue->used = (uint16_t)(queue->used + size);
}

bool eo_event_queue_first(const eo_event_queue *queue, eo_queued_event *event, const char **reason) {
    if (queue->used == 0)
        return false;
    memcpy(event, queue->bytes, sizeof *event);
    *reason = event->reason_bytes == 0 ? NULL : (const char *)queue->bytes + sizeof *event;
    return true;
}

void eo_event_queue_remove_first(eo_event_queue *queue) {
    eo_queued_event event;
    const char *reason;
    if (!eo_event_queue_first(queue, &event, &reason))
        return;
    const size_t size = sizeof event + event.reason_bytes;
    queue->used = (uint16_t)(queue->used - size);
    memmove(queue->bytes, queue->bytes + size, queue->used);
}
