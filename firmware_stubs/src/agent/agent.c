/* The agent's public functions: start, poll, what comes in. */
#include <string.h>

#include "agent/agent_state.h"

#define IDLE_MS 10u

/* Fails to compile where EO_AGENT_FIXED_BYTES is too small. */
typedef char eo_agent_memory_is_large_enough[sizeof(eo_agent_state) <= sizeof(eo_agent) ? 1 : -1];

static bool is_usable(const eo_agent_config *config) {
    return eo_name_check(config->fleet) && eo_name_check(config->device) &&
           (config->model == NULL || eo_name_check(config->model)) &&
           ((uintptr_t)config->arena | (uintptr_t)config->scratch) % 8u == 0;
}

eo_status eo_agent_start(eo_agent *memory, const eo_agent_config *config) {
    eo_agent_state *agent = eo_state_of(memory);
    eo_trust_root root;
    eo_status status;
    if (!is_usable(config))
        return EO_ARGUMENT;
    memset(agent, 0, sizeof *agent);
    agent->config = *config;
    agent->port = config->port;
    if (agent->config.sample_type == 0)
        agent->config.sample_type = EO_SAMPLE_INT16;
    eo_tick(agent);
    agent->confirmed = agent->candidate = agent->running = EO_NO_SLOT;
    agent->loaded = agent->shadow_slot = EO_NO_SLOT;
    status = eo_flash_map_of(&agent->map, &agent->port->flash);
    if (status == EO_OK)
        status = eo_memory_load(agent);
    if (status != EO_OK)
        return status;
    status = agent->trust.number > 0 ? eo_current_root(agent, &root)
                                     : eo_trust_first(&root, config->trust, config->trust_bytes);
    if (status == EO_OK && !eo_view_is(root.fleet, config->fleet))
        status = EO_ARGUMENT;
    if (status != EO_OK)
        return status;
    if (config->model != NULL) {
        const size_t size = strlen(config->model) + 1u;
        if (agent->memory.model[0] == '\0')
            memcpy(agent->memory.model, config->model, size);
        if (memcmp(agent->memory.model, config->model, size) != 0)
            return EO_ARGUMENT; /* its reports would be sent under the other's name */
    }
    const bool first = agent->journal.number == 0;
    eo_memory_save(agent);
    if (agent->unsaved) {
        /* The next start finds the same number in the flash: this one takes another, so that the keys of reports and
         * events do not come again. */
        uint32_t apart;
        if (first || agent->port->random(agent->port->context, &apart, sizeof apart) != EO_OK)
            return EO_IO;
        agent->memory.boot += apart & 0xFFFFFFu;
    }
    eo_report_start(agent);
    eo_driver_start(agent);
    return EO_OK;
}

uint32_t eo_agent_poll(eo_agent *memory) {
    eo_agent_state *agent = eo_state_of(memory);
    eo_tick(agent);
    if (agent->stopped)
        return IDLE_MS;
    bool busy = eo_uplink_work(agent);
    /* A window is closed before the slot of its model can be used for another. */
    if (eo_report_close(agent)) {
        busy = busy || eo_report_send(agent) || eo_driver_work(agent);
        if (eo_report_close(agent))
            busy = eo_predict(agent) || busy;
    }
    return busy || agent->begin != EO_STATE_IDLE ? 0 : IDLE_MS;
}

void eo_agent_connected(eo_agent *memory, int online) {
    eo_agent_state *agent = eo_state_of(memory);
    const bool was = agent->online;
    eo_tick(agent);
    agent->online = online != 0;
    agent->stream.what = EO_IN_NOTHING; /* the rest of a message does not come any more */
    if (!agent->online || !was)
        eo_fetch_offline(agent);
    if (!agent->online || was)
        return;
    agent->subscribe = 7u;
    agent->greet = true;
    agent->state_dirty = true;
    agent->fetch.progress_at = agent->now;
    eo_report_connected(agent);
}

void eo_agent_message_begin(eo_agent *memory, const char *topic, size_t total) {
    eo_agent_state *agent = eo_state_of(memory);
    eo_stream *stream = &agent->stream;
    eo_topic parsed;
    eo_tick(agent);
    stream->what = EO_IN_SKIPPED;
    stream->total = (uint32_t)total;
    stream->came = 0;
    if (total > UINT32_MAX ||
        eo_topic_parse(&parsed, topic, strlen(topic), agent->config.fleet, agent->config.device) != EO_OK)
        return;
    stream->kind = (uint8_t)parsed.kind;
    switch (parsed.kind) {
    case EO_TOPIC_BLOB:
        if (eo_fetch_begin(agent, &parsed, stream->total))
            stream->what = EO_IN_CHUNK;
        break;
    case EO_TOPIC_DESIRED:
    case EO_TOPIC_TRUST:
    case EO_TOPIC_RECEIPT:
        if (total == 0)
            break; /* retained ones are cleared so */
        if (total <= sizeof agent->buffer)
            stream->what = EO_IN_BUFFER;
        else
            eo_say(agent, "dropped a message", eo_status_text(EO_TOO_SMALL));
        break;
    default:
        break;
    }
}

void eo_agent_message_part(eo_agent *memory, const void *bytes, size_t size) {
    eo_agent_state *agent = eo_state_of(memory);
    eo_stream *stream = &agent->stream;
    if (stream->what == EO_IN_NOTHING)
        return;
    if (size > stream->total - stream->came)
        size = stream->total - stream->came;
    if (stream->what == EO_IN_BUFFER)
        memcpy(agent->buffer + stream->came, bytes, size);
    else if (stream->what == EO_IN_CHUNK)
        eo_fetch_part(agent, bytes, size);
    stream->came += (uint32_t)size;
    if (stream->came < stream->total)
        return;
    const uint8_t what = stream->what;
    eo_tick(agent);
    if (what == EO_IN_BUFFER)
        eo_inbox_take(agent, (eo_topic_kind)stream->kind, stream->total);
    else if (what == EO_IN_CHUNK)
        eo_fetch_end(agent);
    stream->what = EO_IN_NOTHING;
}

void eo_agent_message(eo_agent *agent, const char *topic, const void *payload, size_t size) {
    eo_agent_message_begin(agent, topic, size);
    eo_agent_message_part(agent, payload, size);
}

eo_status eo_agent_will(const eo_agent *memory, char *topic, size_t topic_bytes, uint8_t payload[EO_PRESENCE_BYTES],
                        size_t *payload_bytes) {
    const eo_agent_state *agent = eo_const_state_of(memory);
    const eo_status status = eo_presence_encode(payload, EO_PRESENCE_BYTES, payload_bytes, agent->memory.boot, false);
    return status == EO_OK ? eo_topic_write(topic, topic_bytes, agent->config.fleet, agent->config.device,
                                            EO_TOPIC_PRESENCE)
                           : status;
}

eo_status eo_agent_client_id(const eo_agent *memory, char *id, size_t id_bytes) {
    const eo_agent_state *agent = eo_const_state_of(memory);
    if (id_bytes == 0)
        return EO_TOO_SMALL;
    eo_text text = eo_text_begin(id, id_bytes);
    eo_text_put(&text, "edgeops-");
    eo_text_put(&text, agent->config.fleet);
    eo_text_put(&text, "-");
    eo_text_put(&text, agent->config.device);
    return text.left > 1u ? EO_OK : EO_TOO_SMALL; /* cut off, or as if */
}

void eo_agent_stop(eo_agent *memory) {
    eo_agent_state *agent = eo_state_of(memory);
    eo_tick(agent);
    agent->stream.what = EO_IN_NOTHING;
    agent->reporting.close = true;
    (void)eo_report_close(agent);
    while (eo_report_send(agent) && agent->reporting.again_left == 0)
        ; /* until the port has no room, or a batch is out: the rest comes at the next start */
    if (eo_driver_in_trial(agent) || eo_driver_shadowing(agent))
        eo_driver_event(agent, EO_UPDATE_CLOSED, 0, NULL);
    agent->state_dirty = true;
    while (eo_uplink_work(agent))
        ;
    if (agent->online)
        (void)eo_uplink_presence(agent, false);
    agent->stopped = true;
}

void eo_agent_get_info(const eo_agent *memory, eo_agent_info *info) {
    const eo_agent_state *agent = eo_const_state_of(memory);
    const eo_update_state *update = &agent->memory.update;
    uint32_t oldest;
    memset(info, 0, sizeof *info);
    info->boot = agent->memory.boot;
    info->lifecycle = eo_lifecycle_name(update->lifecycle);
    info->reason = update->reason;
    info->has_confirmed = eo_update_digest(update, EO_CONFIRMED) != NULL;
    memcpy(info->confirmed, update->digests[EO_CONFIRMED], sizeof info->confirmed);
    info->running_version = agent->running == EO_NO_SLOT ? 0 : agent->models[agent->running].version;
    info->trial = eo_driver_in_trial(agent);
    info->inferences = agent->inferences;
    info->reports_waiting = eo_report_ring_waiting(&agent->reporting.ring, 0, &oldest);
    info->chunks_missing = agent->fetch.missing;
}
