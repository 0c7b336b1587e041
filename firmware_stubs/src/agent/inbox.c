/* Takes desired states, trust roots and receipts; what does not verify or decode is dropped and logged. */
#include <string.h>

#include "agent/agent_state.h"

static eo_status take_desired(eo_agent_state *agent, size_t size) {
    eo_memory *memory = &agent->memory;
    eo_trust_root root;
    eo_desired desired;
    eo_status status = eo_current_root(agent, &root);
    if (status == EO_OK)
        status = eo_desired_open(&desired, &root, agent->buffer, size, memory->model[0] != '\0' ? memory->model : NULL);
    if (status != EO_OK)
        return status;
    if (!eo_view_is(desired.fleet, agent->config.fleet) || !eo_view_is(desired.device, agent->config.device))
        return EO_ARGUMENT;
    /* The newest of the last start counts once more: what it asks for may have been lost with a damaged slot. */
    if (desired.generation < memory->generation || (desired.generation == memory->generation && agent->followed))
        return EO_OK;
    if (desired.named && memory->model[0] == '\0') {
        if (desired.model.size > EO_NAME_BYTES)
            return EO_RANGE;
        memcpy(memory->model, desired.model.bytes, desired.model.size);
        memory->model[desired.model.size] = '\0';
        if (!eo_name_check(memory->model)) {
            memory->model[0] = '\0';
            return EO_MALFORMED;
        }
    }
    const bool newer = desired.generation > memory->generation;
    agent->followed = true;
    memory->generation = desired.generation;
    if (!desired.named) {
        eo_memory_save(agent);
        return EO_OK;
    }
    memory->window_inferences = desired.report.window_inferences;
    memory->interval_ms = desired.report.interval_ms;
    memory->observe_permille = desired.report.observe_permille;
    memory->spread_ms = desired.spread_ms;
    agent->reporting.close = agent->reporting.close || newer; /* a window holds one policy only */
    const eo_update_event offer = {
        .kind = EO_UPDATE_OFFER,
        .manifest = desired.manifest,
        .manifest_bytes = desired.manifest_bytes,
        .attempt = desired.attempt,
        .generation = desired.generation,
        .shadow = desired.shadow_inferences,
    };
    eo_driver_apply(agent, &offer);
    return EO_OK;
}

static eo_status take_trust(eo_agent_state *agent, size_t size) {
    eo_trust_root current, next;
    eo_status status = eo_current_root(agent, &current);
    if (status == EO_OK)
        status = eo_trust_next(&current, &next, agent->buffer, size);
    if (status == EO_AGAIN)
        return EO_OK; /* the one that counts already */
    return status == EO_OK ? eo_journal_write(&agent->trust, agent->buffer, (uint32_t)size) : status;
}

static eo_status take_receipt(eo_agent_state *agent, size_t size) {
    eo_receipt receipt;
    const eo_status status = eo_receipt_decode(&receipt, agent->buffer, size, agent->memory.model);
    if (status == EO_OK)
        eo_report_receipt(agent, &receipt);
    return status;
}

void eo_inbox_take(eo_agent_state *agent, eo_topic_kind kind, size_t size) {
    const eo_status status = kind == EO_TOPIC_DESIRED ? take_desired(agent, size)
                             : kind == EO_TOPIC_TRUST ? take_trust(agent, size)
                                                      : take_receipt(agent, size);
    if (status != EO_OK)
        eo_say(agent, "dropped a message", eo_status_text(status));
}
