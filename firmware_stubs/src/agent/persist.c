/* What survives a restart: the journal with the update's state, and the trust root. */
#include <string.h>

#include "agent/agent_state.h"

#define FORMAT 1u

uint32_t eo_slot_at(const eo_agent_state *agent, uint8_t slot) {
    return agent->map.slots_at + slot * agent->map.slot_bytes;
}

void eo_tick(eo_agent_state *agent) {
    agent->uptime = agent->port->uptime_ms(agent->port->context);
    agent->now = (uint32_t)agent->uptime;
}

void eo_say(const eo_agent_state *agent, const char *what, const char *words) {
    char line[96];
    eo_text text = eo_text_begin(line, sizeof line);
    eo_text_put(&text, what);
    eo_text_put(&text, ": ");
    eo_text_put(&text, words);
    if (agent->port->log != NULL)
        agent->port->log(agent->port->context, line);
}

eo_status eo_memory_load(eo_agent_state *agent) {
    const eo_port *port = agent->port;
    eo_memory *memory = &agent->memory;
    eo_journal_open(&agent->journal, port, agent->map.journal_at, agent->map.journal_bytes, (uint32_t)sizeof *memory);
    eo_journal_open(&agent->trust, port, agent->map.trust_at, agent->map.trust_bytes, EO_MESSAGE_BYTES);
    uint32_t size = agent->journal.newest_size;
    memset(memory, 0, sizeof *memory);
    if (agent->journal.number > 0) {
        if (size > sizeof *memory)
            size = (uint32_t)sizeof *memory;
        const eo_status status = eo_flash_read(port, agent->journal.newest_at, memory, size);
        if (status != EO_OK)
            return EO_IO;
    }
    if (memory->format != FORMAT || memory->update.lifecycle >= EO_STATE_COUNT) {
        /* The first number is random, so that a device whose flash was wiped does not repeat old reports' keys. */
        memset(memory, 0, sizeof *memory);
        if (port->random(port->context, &memory->boot, sizeof memory->boot) != EO_OK)
            return EO_IO;
        memory->boot &= 0x3FFFFFFFu;
        memory->format = FORMAT;
        memory->interval_ms = 60000;
        memory->observe_permille = 1000;
    }
    memory->model[EO_NAME_BYTES] = '\0';
    memory->update.reason[EO_REASON_BYTES] = '\0';
    memory->boot++;
    return EO_OK;
}

void eo_memory_save(eo_agent_state *agent) {
    const size_t reason = strlen(agent->memory.update.reason) + 1u;
    const uint32_t size = (uint32_t)(offsetof(eo_memory, update) + offsetof(eo_update_state, reason) + reason);
    agent->state_dirty = true;
    if (eo_journal_write(&agent->journal, &agent->memory, size) == EO_OK) {
        agent->unsaved = false;
        return;
    }
    if (!agent->unsaved)
        eo_say(agent, "state not written", eo_status_text(EO_IO));
    agent->unsaved = true;
    agent->unsaved_at = agent->now;
}

eo_status eo_current_root(const eo_agent_state *agent, eo_trust_root *root) {
    if (agent->trust.number > 0)
        return eo_trust_open(root, agent->port->flash.base + agent->trust.newest_at, agent->trust.newest_size);
    return eo_trust_open(root, agent->config.trust, agent->config.trust_bytes);
}
