/* Carries out what the update machine asks for, one piece at a time; the same as device_agent/model_host.py. */
#include <string.h>

#include "agent/agent_state.h"

#define SAVE_AGAIN_MS 1000u

/* What is being done about the state that the machine is in. */
enum { DOING_NOTHING, DOING_LOOK_FOR_MANIFEST, DOING_FETCH, DOING_VERIFY };

bool eo_driver_in_trial(const eo_agent_state *agent) {
    return agent->candidate != EO_NO_SLOT && agent->running == agent->candidate;
}

bool eo_driver_shadowing(const eo_agent_state *agent) {
    return agent->memory.update.lifecycle == EO_STATE_SHADOWING && agent->candidate != EO_NO_SLOT;
}

static void carry_out(eo_agent_state *agent, const eo_update_action *action) {
    switch (action->kind) {
    case EO_ACTION_TRANSITION:
        eo_uplink_event(agent, action->source, action->event, action->target,
                        action->has_manifest ? action->manifest : NULL,
                        action->has_reason ? agent->memory.update.reason : NULL);
        if (action->target == EO_STATE_CONFIRMED) {
            if (agent->candidate != EO_NO_SLOT)
                agent->confirmed = agent->candidate;
            agent->running = agent->confirmed;
            agent->candidate = EO_NO_SLOT;
            eo_fetch_stop(agent);
        }
        break;
    case EO_ACTION_BEGIN:
        agent->begin = action->target;
        break;
    case EO_ACTION_DROP:
        agent->candidate = EO_NO_SLOT;
        agent->running = agent->confirmed;
        eo_fetch_stop(agent);
        break;
    default:
        agent->retry = true;
        agent->retry_at = agent->now + action->milliseconds;
    }
}

void eo_driver_apply(eo_agent_state *agent, const eo_update_event *event) {
    /* The actions carry a digest each: some 280 bytes. */
    eo_update_actions actions;
    const uint8_t before = agent->memory.update.lifecycle;
    if (eo_update_step(&agent->memory.update, event, &actions) != EO_OK)
        return; /* what the table does not allow changes nothing */
    /* A trial's running count is not worth a write per inference: it starts again after a power cut. */
    if (actions.count > 0 || event->kind <= EO_UPDATE_DAMAGED)
        eo_memory_save(agent);
    if (agent->memory.update.lifecycle != before) {
        agent->begin = EO_STATE_IDLE;
        agent->phase = DOING_NOTHING;
    }
    for (uint8_t i = 0; i < actions.count; i++)
        carry_out(agent, &actions.list[i]);
}

void eo_driver_event(eo_agent_state *agent, uint8_t kind, uint8_t name, const void *manifest_or_reason) {
    eo_update_event event;
    memset(&event, 0, sizeof event);
    event.kind = kind;
    event.name = name;
    event.manifest = manifest_or_reason;
    event.reason = manifest_or_reason;
    eo_driver_apply(agent, &event);
}

void eo_driver_candidate(eo_agent_state *agent, uint8_t kind, bool ok) {
    const eo_model *model = &agent->models[agent->candidate];
    eo_update_event event;
    memset(&event, 0, sizeof event);
    event.kind = kind;
    event.ok = ok;
    event.inferences = kind == EO_UPDATE_SHADOWED ? agent->shadow.inferences : model->trial.inferences;
    event.errors = agent->shadow.errors;
    event.max_errors = model->trial.max_errors;
    event.seconds = model->trial.seconds;
    event.security_counter = model->security_counter;
    event.elapsed_ms = agent->now - agent->trial_began;
    eo_driver_apply(agent, &event);
}

void eo_driver_progress(eo_agent_state *agent, uint8_t name) {
    eo_driver_event(agent, EO_UPDATE_PROGRESSED, name, NULL);
}

void eo_driver_refuse(eo_agent_state *agent, uint8_t name, const char *reason) {
    eo_driver_event(agent, EO_UPDATE_REFUSED, name, reason);
}

void eo_driver_damaged(eo_agent_state *agent, const uint8_t *digest, const char *words) {
    const uint8_t here = agent->memory.update.lifecycle;
    uint8_t copy[32];
    memcpy(copy, digest, sizeof copy); /* it is the state's own, which changes */
    eo_uplink_event(agent, here, EO_EVENT_damaged, here, copy, words);
    eo_driver_event(agent, EO_UPDATE_DAMAGED, 0, copy);
}

/* Damage and a flash that fails may be over at the next try; what is wrong with the right bytes never is. */
static void give_up(eo_agent_state *agent, eo_status status, const char *words) {
    const bool again = status == EO_IO || status == EO_DIGEST || status == EO_NOT_FOUND;
    eo_driver_refuse(agent, again ? EO_EVENT_failed : EO_EVENT_rejected, words);
}

/* ---- the manifest ---- */

/* A version whose hole a later one closed does not come back. */
static eo_status check_counter(const eo_agent_state *agent, uint32_t counter, eo_text *words) {
    const uint32_t reached = agent->memory.update.security_counter;
    return counter < reached ? eo_model_limit(words, "security counter", reached, counter) : EO_OK;
}

static eo_status check_fit(const eo_agent_state *agent, const eo_manifest *manifest, uint32_t envelope_bytes,
                           eo_text *words) {
    eo_slot_layout layout;
    if (!eo_view_is(manifest->model, agent->memory.model)) {
        eo_text_put(words, "the manifest is of another model");
        return EO_RANGE;
    }
    if (check_counter(agent, manifest->security_counter, words) != EO_OK)
        return EO_RANGE;
    const uint16_t *needs = manifest->min_agent; /* this is EO_AGENT_VERSION_TEXT */
    if (needs[0] > 0 || needs[1] > 1u || (needs[1] == 1u && needs[2] > 0)) {
        eo_text_put(words, "this agent is older than it needs");
        return EO_RANGE;
    }
    if (!manifest->fits) {
        eo_text_put(words, "no artifact for this runtime and target");
        return EO_UNSUPPORTED;
    }
    if (manifest->artifact.arena_bytes > agent->config.arena_bytes)
        return eo_model_limit(words, "bytes of arena", manifest->artifact.arena_bytes,
                              (uint32_t)agent->config.arena_bytes);
    switch (eo_slot_layout_of(&layout, agent->port, 0, agent->map.slot_bytes, envelope_bytes, manifest)) {
    case EO_OK:
        return EO_OK;
    case EO_FULL:
        return eo_model_limit(words, "bytes of flash", layout.bytes, agent->map.slot_bytes);
    default: /* too many of them, or no multiple of what the flash writes at a time */
        eo_text_put(words, "its chunks do not suit this device");
        return EO_RANGE;
    }
}

/* The candidate's envelope is in the flash, at fetch.kept, with the right digest: whether it may be taken. A trust root
 * and a decoded manifest: some 500 bytes of stack, below which signatures are checked. */
static void take_manifest(eo_agent_state *agent) {
    eo_kept_manifest *kept = &agent->fetch.kept;
    const uint8_t *envelope = agent->port->flash.base + kept->at;
    char reason[EO_REASON_BYTES];
    eo_text words = eo_text_begin(reason, sizeof reason);
    eo_trust_root root;
    eo_manifest manifest;
    eo_view payload = {NULL, 0};
    eo_status status = eo_current_root(agent, &root);
    if (status == EO_OK)
        status = eo_verify(&root, envelope, kept->size, "manifest", EO_ROLE_RELEASE, &payload);
    if (status == EO_OK) {
        kept->payload_at = (uint32_t)(payload.bytes - agent->port->flash.base);
        kept->payload_size = payload.size;
        status = eo_model_manifest(agent, kept, &manifest);
    }
    if (status != EO_OK) {
        eo_text_put(&words, "the manifest: ");
        eo_text_put(&words, eo_status_text(status));
        eo_driver_refuse(agent, EO_EVENT_rejected, reason);
        return;
    }
    if (check_fit(agent, &manifest, kept->size, &words) != EO_OK) {
        eo_driver_refuse(agent, EO_EVENT_rejected, reason);
        return;
    }
    const uint32_t area = agent->map.manifest_at;
    if (kept->at == eo_manifest_place(agent->port, area) && eo_manifest_seal(agent->port, area, kept) != EO_OK) {
        eo_driver_refuse(agent, EO_EVENT_failed, "the flash failed");
        return;
    }
    eo_driver_progress(agent, EO_EVENT_accepted);
}

void eo_driver_manifest_came(eo_agent_state *agent) {
    agent->phase = DOING_LOOK_FOR_MANIFEST;
}

/* It came before, or has just come; otherwise it is asked for. */
static void look_for_manifest(eo_agent_state *agent) {
    const uint8_t *candidate = agent->memory.update.digests[EO_CANDIDATE];
    eo_fetch *fetch = &agent->fetch;
    const uint32_t area = agent->map.manifest_at;
    const bool came = fetch->kept.payload_at == 0 && fetch->kept.size > 0 &&
                      memcmp(fetch->manifest, candidate, 32) == 0 &&
                      fetch->kept.at == eo_manifest_place(agent->port, area);
    agent->phase = DOING_FETCH;
    if (came || eo_model_slot(agent, candidate, &fetch->kept) != EO_NO_SLOT ||
        eo_manifest_find(agent->port, area, area + agent->map.manifest_bytes, candidate, &fetch->kept))
        take_manifest(agent);
    else
        eo_fetch_manifest(agent);
}

/* ---- opening and testing ---- */

static void verify_begin(eo_agent_state *agent) {
    agent->phase = DOING_VERIFY;
    agent->verify = EO_VERIFY_DIGESTS;
    agent->verify_part = 0;
}

/* The slot of a digest cannot be read, or not be run. */
static void verify_failed(eo_agent_state *agent, uint8_t slot, eo_status status, const char *words) {
    const bool restoring = eo_update_restoring(&agent->memory.update);
    agent->phase = DOING_NOTHING;
    if (restoring && (status == EO_DIGEST || status == EO_NOT_FOUND || status == EO_IO)) {
        eo_driver_damaged(agent, agent->memory.update.digests[EO_CANDIDATE], words);
        agent->phase = DOING_LOOK_FOR_MANIFEST; /* it is fetched like any other */
        return;
    }
    if (slot != EO_NO_SLOT && status == EO_DIGEST) /* all of it comes anew the next time */
        (void)agent->port->flash_erase(agent->port->context, eo_slot_at(agent, slot));
    give_up(agent, status, words);
}

static void verify_work(eo_agent_state *agent) {
    eo_update_state *update = &agent->memory.update;
    char reason[EO_REASON_BYTES];
    eo_text words = eo_text_begin(reason, sizeof reason);
    eo_kept_manifest kept;
    const uint8_t slot = eo_model_slot(agent, update->digests[EO_CANDIDATE], &kept);
    eo_status status = slot == EO_NO_SLOT || slot == agent->confirmed ? EO_NOT_FOUND : EO_OK;
    if (status != EO_OK) {
        eo_text_put(&words, "no slot holds its manifest");
    } else if (agent->verify == EO_VERIFY_DIGESTS) {
        if (agent->verify_part == 0)
            status = eo_model_place(agent, slot, &kept, &words);
        if (status == EO_OK) /* one that was confirmed before comes here without its manifest being taken anew */
            status = check_counter(agent, agent->models[slot].security_counter, &words);
        if (status == EO_OK)
            status = eo_model_digest(agent, slot, (uint8_t)(EO_PART_OBSERVE + agent->verify_part), &words);
        if (++agent->verify_part == EO_PART_COUNT - EO_PART_OBSERVE)
            agent->verify = EO_VERIFY_OPEN;
    } else if (agent->verify == EO_VERIFY_OPEN) {
        status = eo_model_open(agent, slot, &words);
        agent->verify = EO_VERIFY_VECTORS;
        agent->verify_part = 0;
    } else {
        status = eo_model_test(agent, slot, agent->verify_part++, &words);
        if (status == EO_NOT_FOUND) { /* all passed */
            agent->phase = DOING_NOTHING;
            agent->candidate = slot;
            memcpy(agent->models[slot].id, update->digests[EO_CANDIDATE], sizeof agent->models[slot].id);
            eo_driver_progress(agent, eo_update_restoring(update) ? EO_EVENT_restored : EO_EVENT_verified);
            return;
        }
    }
    if (status != EO_OK)
        verify_failed(agent, slot, status, reason);
}

/* Opens what a slot holds, its digests checked: at the start, or for a candidate that goes on where it was. */
static eo_status open_slot(eo_agent_state *agent, const uint8_t *digest, uint8_t *opened, eo_text *words) {
    eo_kept_manifest kept;
    const uint8_t slot = eo_model_slot(agent, digest, &kept);
    if (slot == EO_NO_SLOT) {
        eo_text_put(words, "no slot holds its manifest");
        return EO_NOT_FOUND;
    }
    eo_status status = eo_model_place(agent, slot, &kept, words);
    for (uint8_t part = EO_PART_OBSERVE; part < EO_PART_COUNT && status == EO_OK; part++)
        status = eo_model_digest(agent, slot, part, words);
    if (status == EO_OK)
        status = eo_model_open(agent, slot, words);
    memcpy(agent->models[slot].id, digest, sizeof agent->models[slot].id);
    if (status == EO_OK)
        *opened = slot;
    return status;
}

void eo_driver_start(eo_agent_state *agent) {
    eo_update_state *update = &agent->memory.update;
    char reason[EO_REASON_BYTES];
    while (eo_update_digest(update, EO_CONFIRMED) != NULL) {
        eo_text words = eo_text_begin(reason, sizeof reason);
        if (open_slot(agent, update->digests[EO_CONFIRMED], &agent->confirmed, &words) == EO_OK)
            break;
        eo_driver_damaged(agent, update->digests[EO_CONFIRMED], reason); /* what ran before takes its place */
    }
    agent->running = agent->confirmed;
    eo_driver_event(agent, EO_UPDATE_RESTARTED, 0, NULL);
}

/* The candidate, opened again after a restart; one that cannot go on is unhealthy. */
static bool reopened(eo_agent_state *agent) {
    char reason[EO_REASON_BYTES];
    eo_text words = eo_text_begin(reason, sizeof reason);
    if (agent->candidate == EO_NO_SLOT &&
        open_slot(agent, agent->memory.update.digests[EO_CANDIDATE], &agent->candidate, &words) != EO_OK) {
        eo_driver_refuse(agent, EO_EVENT_unhealthy, reason);
        return false;
    }
    return true;
}

static void begin(eo_agent_state *agent, uint8_t lifecycle) {
    eo_update_state *update = &agent->memory.update;
    switch (lifecycle) {
    case EO_STATE_OFFERED:
        agent->retry = false;
        agent->shadow_slot = EO_NO_SLOT;
        if (eo_update_restoring(update))
            verify_begin(agent);
        else
            agent->phase = DOING_LOOK_FOR_MANIFEST;
        break;
    case EO_STATE_DOWNLOADING:
        agent->phase = DOING_FETCH;
        eo_fetch_blobs(agent);
        break;
    case EO_STATE_VERIFYING:
        verify_begin(agent);
        break;
    case EO_STATE_STAGED:
        if (update->shadow == 0 || agent->confirmed == EO_NO_SLOT)
            eo_driver_progress(agent, EO_EVENT_activated);
        else if (eo_model_keeps_state(agent, agent->confirmed) || eo_model_keeps_state(agent, agent->candidate))
            /* both take the one arena in turn: each input would begin without what the one before left */
            eo_driver_refuse(agent, EO_EVENT_rejected, "a model that keeps state cannot run beside another");
        else
            eo_driver_progress(agent, EO_EVENT_shadow);
        break;
    case EO_STATE_SHADOWING:
        if (!reopened(agent))
            break;
        if (agent->confirmed == EO_NO_SLOT) /* damaged meanwhile: there is nothing to run beside */
            eo_driver_progress(agent, EO_EVENT_activated);
        else
            eo_shadow_begin(agent);
        break;
    case EO_STATE_TRIAL:
        if (reopened(agent)) {
            agent->running = agent->candidate;
            agent->trial_began = agent->now;
        }
        break;
    default:
        break;
    }
}

bool eo_driver_work(eo_agent_state *agent) {
    if (agent->unsaved && agent->now - agent->unsaved_at >= SAVE_AGAIN_MS) {
        eo_memory_save(agent);
        return true;
    }
    if (agent->retry && eo_due(agent, agent->retry_at)) {
        agent->retry = false;
        eo_driver_event(agent, EO_UPDATE_RETRY_DUE, 0, NULL);
        return true;
    }
    if (eo_driver_in_trial(agent) && agent->models[agent->candidate].trial.seconds > 0)
        eo_driver_candidate(agent, EO_UPDATE_WAITED, false);
    eo_shadow_tick(agent);
    if (agent->unsaved) /* what the new state asks for waits until the state is written */
        return false;
    if (agent->begin != EO_STATE_IDLE) {
        const uint8_t lifecycle = agent->begin;
        agent->begin = EO_STATE_IDLE;
        begin(agent, lifecycle);
        return true;
    }
    /* What the broker was asked for before is ended first, under its own name. */
    if (agent->phase == DOING_LOOK_FOR_MANIFEST && agent->fetch.asks_used == 0) {
        look_for_manifest(agent);
        return true;
    }
    if (agent->phase == DOING_VERIFY) {
        verify_work(agent);
        return true;
    }
    return eo_fetch_work(agent);
}
