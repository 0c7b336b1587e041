/* Windows of the running model, and their reports: kept, sent, and sent again until a receipt covers them. */
#include <string.h>

#include "agent/agent_state.h"

#define BATCH 16u
#define BATCH_EVERY_MS 1000u
#define FIRST_PAUSE_MS 15000u
#define LAST_PAUSE_MS 600000u

static void progressed(eo_agent_state *agent) {
    agent->reporting.pause = FIRST_PAUSE_MS;
    agent->reporting.due = agent->now + FIRST_PAUSE_MS;
}

void eo_report_start(eo_agent_state *agent) {
    eo_reporting *reporting = &agent->reporting;
    eo_report_ring_open(&reporting->ring, agent->port, agent->map.reports_at, agent->map.sector_bytes,
                        agent->map.sectors);
    reporting->sequence = 1;
    reporting->slot = EO_NO_SLOT;
    reporting->close = true;
    eo_draws_begin(&reporting->draws, agent->memory.boot);
    progressed(agent);
}

void eo_report_connected(eo_agent_state *agent) {
    eo_reporting *reporting = &agent->reporting;
    memset(&reporting->fresh, 0, sizeof reporting->fresh); /* what waits may never have been sent */
    reporting->again_left = 0;
    reporting->batch_left = BATCH;
    reporting->batch_at = agent->now;
    progressed(agent);
}

void eo_report_receipt(eo_agent_state *agent, const eo_receipt *receipt) {
    if (receipt->named && eo_report_ring_acknowledge(&agent->reporting.ring, receipt->boot, receipt->committed) > 0)
        progressed(agent);
}

/* A cursor counts sectors from the oldest one, which is another when the ring has turned. */
static void turn(eo_report_cursor *cursor, uint32_t sectors) {
    while (sectors-- > 0)
        if (cursor->turn > 0)
            cursor->turn--;
        else
            cursor->place = 0;
}

static void keep(eo_agent_state *agent, uint32_t size) {
    eo_reporting *reporting = &agent->reporting;
    eo_report_ring *ring = &reporting->ring;
    const uint32_t before = ring->sector;
    eo_kept_report kept;
    memset(&kept, 0, sizeof kept);
    kept.start_ms = reporting->window.start_ms;
    kept.duration_ms = agent->uptime - reporting->window.start_ms;
    kept.boot = agent->memory.boot;
    kept.sequence = reporting->sequence++;
    kept.generation = reporting->generation;
    kept.observe_permille = reporting->policy.observe_permille;
    kept.trial = reporting->trial ? 1 : 0;
    memcpy(kept.manifest, agent->models[reporting->slot].id, sizeof kept.manifest);
    uint32_t oldest;
    if (eo_report_ring_waiting(ring, 0, &oldest) == 0)
        progressed(agent);
    if (eo_report_ring_put(ring, &kept, agent->buffer, size, &reporting->dropped) != EO_OK)
        eo_say(agent, "report not kept", eo_status_text(EO_IO));
    const uint32_t turned = (ring->sector + ring->sectors - before) % ring->sectors;
    turn(&reporting->fresh, turned);
    turn(&reporting->again, turned);
}

/* Begins to count for what runs now, under the policy that counts now. */
static void restart(eo_agent_state *agent) {
    eo_reporting *reporting = &agent->reporting;
    const eo_memory *memory = &agent->memory;
    const uint8_t slot = agent->running;
    reporting->policy.window_inferences = memory->window_inferences;
    reporting->policy.interval_ms = memory->interval_ms;
    reporting->policy.observe_permille = (uint16_t)memory->observe_permille;
    reporting->generation = memory->update.generation;
    if (slot != reporting->slot || reporting->trial != eo_driver_in_trial(agent)) {
        eo_manifest manifest;
        reporting->slot = EO_NO_SLOT;
        reporting->trial = eo_driver_in_trial(agent);
        /* that it opens was found out when the model was opened */
        if (slot != EO_NO_SLOT && eo_model_counting(agent, slot, &reporting->plan, &manifest) == EO_OK)
            reporting->slot = slot;
    }
    reporting->close = false;
    eo_window_begin(&reporting->window, agent->uptime);
}

bool eo_report_close(eo_agent_state *agent) {
    eo_reporting *reporting = &agent->reporting;
    if (!reporting->close && reporting->slot == agent->running && reporting->trial == eo_driver_in_trial(agent) &&
        (reporting->slot == EO_NO_SLOT ||
         !eo_window_full(&reporting->window, &reporting->policy, agent->uptime)))
        return true;
    if (reporting->slot != EO_NO_SLOT && !eo_window_empty(&reporting->window)) {
        size_t size;
        if (!eo_buffer_free(agent))
            return false;
        if (eo_window_pack(&reporting->window, &reporting->plan, agent->buffer, sizeof agent->buffer, &size) == EO_OK)
            keep(agent, (uint32_t)size);
        else
            reporting->dropped++;
    }
    restart(agent);
    return true;
}

/* Sends the next report of a cursor: EO_NOT_FOUND where there is none, EO_AGAIN where there is no room for it now. */
static eo_status send_next(eo_agent_state *agent, eo_report_cursor *cursor) {
    eo_reporting *reporting = &agent->reporting;
    eo_report_cursor next = *cursor;
    eo_kept_report kept;
    eo_report report;
    uint32_t oldest;
    size_t size;
    memset(&report, 0, sizeof report);
    eo_status status = eo_report_ring_next(&reporting->ring, &next, &kept, &report.counters.bytes,
                                           &report.counters.size);
    if (status != EO_OK)
        return status;
    (void)eo_report_ring_waiting(&reporting->ring, kept.boot, &oldest);
    report.model = agent->memory.model;
    report.manifest = kept.manifest;
    report.boot = kept.boot;
    report.sequence = kept.sequence;
    report.behind = oldest > 0 && oldest < kept.sequence ? kept.sequence - oldest : 0;
    report.generation = kept.generation;
    report.start_ms = kept.start_ms;
    report.duration_ms = kept.duration_ms;
    report.observe_permille = kept.observe_permille;
    report.dropped = reporting->dropped;
    report.trial = kept.trial != 0;
    status = eo_report_encode(agent->buffer, sizeof agent->buffer, &size, &report);
    if (status == EO_OK)
        status = eo_uplink_publish(agent, EO_TOPIC_REPORT, size);
    if (status == EO_AGAIN)
        return status;
    *cursor = next; /* one that cannot be encoded must not hold up the others */
    return EO_OK;
}

bool eo_report_send(eo_agent_state *agent) {
    eo_reporting *reporting = &agent->reporting;
    uint32_t oldest;
    if (!agent->online || !eo_buffer_free(agent))
        return false;
    if (reporting->again_left > 0) {
        const eo_status status = send_next(agent, &reporting->again);
        if (status == EO_OK)
            reporting->again_left--;
        else if (status == EO_NOT_FOUND)
            reporting->again_left = 0;
        return status == EO_OK;
    }
    if (eo_due(agent, reporting->batch_at)) {
        const eo_status status = send_next(agent, &reporting->fresh);
        if (status == EO_AGAIN)
            return false;
        if (status == EO_OK && --reporting->batch_left == 0) {
            reporting->batch_left = BATCH;
            reporting->batch_at = agent->now + BATCH_EVERY_MS;
        }
        if (status == EO_OK)
            return true;
        reporting->batch_left = BATCH;
        reporting->batch_at = agent->now; /* always near: what lies 24 days back would count as to come */
    }
    if (!eo_due(agent, reporting->due) || eo_report_ring_waiting(&reporting->ring, 0, &oldest) == 0)
        return false;
    memset(&reporting->again, 0, sizeof reporting->again);
    reporting->again_left = BATCH;
    reporting->due = agent->now + reporting->pause;
    reporting->pause = 2u * reporting->pause < LAST_PAUSE_MS ? 2u * reporting->pause : LAST_PAUSE_MS;
    return true;
}
