/* What goes out besides reports: who it is, what it is doing, and what has happened. */
#include <string.h>

#include "agent/agent_state.h"

static const uint8_t own_topics[] = {EO_TOPIC_TRUST, EO_TOPIC_DESIRED, EO_TOPIC_RECEIPT};

static eo_status own_topic(const eo_agent_state *agent, char topic[EO_TOPIC_BYTES], eo_topic_kind kind) {
    return eo_topic_write(topic, EO_TOPIC_BYTES, agent->config.fleet, agent->config.device, kind);
}

eo_status eo_uplink_publish(eo_agent_state *agent, eo_topic_kind kind, size_t size) {
    char topic[EO_TOPIC_BYTES];
    const eo_status status = own_topic(agent, topic, kind);
    const int retained = kind == EO_TOPIC_STATE || kind == EO_TOPIC_PRESENCE;
    return status == EO_OK ? agent->port->publish(agent->port->context, topic, agent->buffer, size, retained) : status;
}

eo_status eo_uplink_presence(eo_agent_state *agent, bool online) {
    size_t size;
    const eo_status status = eo_presence_encode(agent->buffer, sizeof agent->buffer, &size, agent->memory.boot, online);
    return status == EO_OK ? eo_uplink_publish(agent, EO_TOPIC_PRESENCE, size) : status;
}

void eo_uplink_event(eo_agent_state *agent, uint8_t source, uint8_t event, uint8_t target, const uint8_t *manifest,
                     const char *reason) {
    eo_queued_event queued;
    memset(&queued, 0, sizeof queued);
    queued.uptime_ms = agent->uptime;
    queued.number = ++agent->event_number;
    queued.generation = agent->memory.update.generation;
    queued.source = source;
    queued.event = event;
    queued.target = target;
    queued.has_manifest = manifest != NULL;
    if (manifest != NULL)
        memcpy(queued.manifest, manifest, sizeof queued.manifest);
    eo_event_queue_put(&agent->events, &queued, reason);
    eo_say(agent, eo_lifecycle_name(target),
           reason != NULL ? reason : eo_transition_name(event));
}

static eo_status send_event(eo_agent_state *agent) {
    eo_queued_event queued;
    const char *reason;
    size_t size;
    if (!eo_event_queue_first(&agent->events, &queued, &reason))
        return EO_NOT_FOUND;
    const eo_event event = {
        .boot = agent->memory.boot,
        .number = queued.number,
        .model = agent->memory.model,
        .generation = queued.generation,
        .source = eo_lifecycle_name(queued.source),
        .target = eo_lifecycle_name(queued.target),
        .event = eo_transition_name(queued.event),
        .manifest = queued.has_manifest ? queued.manifest : NULL,
        .reason = reason,
        .uptime_ms = queued.uptime_ms,
    };
    eo_status status = eo_event_encode(agent->buffer, sizeof agent->buffer, &size, &event);
    if (status == EO_OK)
        status = eo_uplink_publish(agent, EO_TOPIC_EVENT, size);
    if (status != EO_AGAIN)
        eo_event_queue_remove_first(&agent->events);
    return status;
}

static eo_status send_state(eo_agent_state *agent) {
    const eo_update_state *update = &agent->memory.update;
    size_t size;
    const uint8_t shadow_of = eo_update_digest(update, EO_CANDIDATE) != NULL ? agent->candidate : agent->confirmed;
    const eo_model_state model = {
        .model = agent->memory.model,
        .lifecycle = eo_lifecycle_name(update->lifecycle),
        .generation = update->generation,
        .confirmed = eo_update_digest(update, EO_CONFIRMED),
        .previous = eo_update_digest(update, EO_PREVIOUS),
        .candidate = eo_update_digest(update, EO_CANDIDATE),
        .reason = update->reason[0] != '\0' ? update->reason
                  : agent->held             ? "it waits for its place in the spread"
                                            : NULL,
        .security_counter = update->security_counter,
        .attempts = update->attempts,
        .retry_in_ms = update->retry && !eo_due(agent, agent->retry_at) ? agent->retry_at - agent->now : 0,
        .shadow = agent->shadow_slot != EO_NO_SLOT && agent->shadow_slot == shadow_of ? &agent->shadow : NULL,
        .artifact = agent->confirmed != EO_NO_SLOT
                        ? agent->port->flash.base + agent->models[agent->confirmed].artifact_at
                        : NULL,
    };
    const eo_state state = {
        .boot = agent->memory.boot,
        .session = agent->memory.boot,
        .agent = EO_AGENT_VERSION_TEXT,
        .runtime = agent->config.infer->runtime,
        .target = agent->config.target,
        .free_bytes = agent->map.slot_bytes,
        .model = agent->memory.model[0] != '\0' ? &model : NULL,
        .received_bytes = agent->received_bytes,
        .takes = agent->config.infer->runtime,
    };
    const eo_status status = eo_state_encode(agent->buffer, sizeof agent->buffer, &size, &state);
    return status == EO_OK ? eo_uplink_publish(agent, EO_TOPIC_STATE, size) : status;
}

bool eo_uplink_work(eo_agent_state *agent) {
    if (!agent->online)
        return false;
    for (uint8_t i = 0; i < sizeof own_topics; i++)
        if ((agent->subscribe & (1u << i)) != 0) {
            char topic[EO_TOPIC_BYTES];
            eo_status status = own_topic(agent, topic, (eo_topic_kind)own_topics[i]);
            if (status == EO_OK)
                status = agent->port->subscribe(agent->port->context, topic, 1);
            if (status == EO_AGAIN)
                return false;
            agent->subscribe &= (uint8_t)~(1u << i);
            return true;
        }
    if (!eo_buffer_free(agent))
        return false;
    if (agent->greet) {
        if (eo_uplink_presence(agent, true) == EO_AGAIN)
            return false;
        agent->greet = false;
        return true;
    }
    const eo_status event = send_event(agent);
    if (event != EO_NOT_FOUND)
        return event == EO_OK;
    if (!agent->state_dirty)
        return false;
    if (send_state(agent) == EO_AGAIN)
        return false;
    agent->state_dirty = false;
    return true;
}
