/* One raw input: front end, inference, counters, and what they mean for a trial or a shadow run. */
#include <string.h>

#include "agent/agent_state.h"

#define SHADOW_TOLD_EVERY_MS 5000u
#define SHADOW_TOLD_SHARES 10u

void eo_shadow_begin(eo_agent_state *agent) {
    memset(&agent->shadow, 0, sizeof agent->shadow);
    agent->shadow_slot = agent->candidate;
    agent->shadow_told = 0;
    agent->shadow_told_at = agent->now;
}

void eo_shadow_tick(eo_agent_state *agent) {
    const uint32_t share = agent->memory.update.shadow / SHADOW_TOLD_SHARES;
    const uint32_t untold = agent->shadow.inferences - agent->shadow_told;
    const bool late = agent->now - agent->shadow_told_at >= SHADOW_TOLD_EVERY_MS;
    if (!eo_driver_shadowing(agent) || untold == 0 || (!late && untold < share))
        return;
    agent->shadow_told = agent->shadow.inferences;
    agent->shadow_told_at = agent->now;
    agent->state_dirty = true;
}

static uint32_t clock_ms(const eo_agent_state *agent) {
    return (uint32_t)agent->port->uptime_ms(agent->port->context);
}

/* Microseconds, UINT32_MAX where it took longer. */
static uint32_t since_us(const eo_agent_state *agent, uint32_t began) {
    const uint32_t spent = clock_ms(agent) - began;
    return spent > UINT32_MAX / 1000u ? UINT32_MAX : spent * 1000u;
}

/* Lets the candidate see the raw input of which the active model said `label`. */
static void see(eo_agent_state *agent, uint8_t predicted, uint32_t active_us) {
    const uint8_t slot = agent->candidate;
    const eo_model *model = &agent->models[slot];
    eo_shadow_counts *counts = &agent->shadow;
    const int8_t *scores;
    const void *raw;
    size_t count, active_bytes, raw_bytes;
    const void *active_raw = eo_model_raw(agent, agent->running, &active_bytes);
    raw = eo_model_raw(agent, slot, &raw_bytes);
    /* Where the two read their input from different places it is moved: places follow from the models' sizes. */
    eo_status status = raw_bytes == active_bytes ? EO_OK : EO_ARGUMENT;
    if (status == EO_OK) {
        memmove((void *)(uintptr_t)raw, active_raw, raw_bytes);
        status = eo_model_quantize(agent, slot);
    }
    const uint32_t began = clock_ms(agent);
    if (status == EO_OK)
        status = eo_model_infer(agent, slot, eo_model_input(agent), model->input_values, &scores, &count);
    counts->inferences++;
    if (status != EO_OK) {
        counts->errors++;
    } else {
        const uint8_t other = eo_judge_scores(scores, count).predicted;
        const eo_view ours = eo_model_label(agent, agent->running, predicted);
        const eo_view theirs = eo_model_label(agent, slot, other);
        if (ours.size != theirs.size || memcmp(ours.bytes, theirs.bytes, ours.size) != 0)
            counts->disagreements++;
        counts->active_us += active_us;
        counts->candidate_us += since_us(agent, began);
    }
    eo_driver_candidate(agent, EO_UPDATE_SHADOWED, false);
}

static void judge_trial(eo_agent_state *agent, bool ok) {
    if (eo_driver_in_trial(agent))
        eo_driver_candidate(agent, EO_UPDATE_INFERRED, ok);
}

static void tell(const eo_agent_state *agent, const eo_counted *counted, const int8_t *scores, size_t count) {
    if (agent->config.predicted == NULL)
        return;
    const eo_agent_prediction prediction = {
        .version = agent->models[agent->running].version,
        .label = eo_model_label(agent, agent->running, counted->predicted),
        .predicted = counted->predicted,
        .confidence_bin = counted->confidence_bin,
        .scores = scores,
        .count = count,
    };
    agent->config.predicted(agent->config.application, &prediction);
}

bool eo_predict(eo_agent_state *agent) {
    eo_reporting *reporting = &agent->reporting;
    const uint8_t slot = agent->running;
    size_t raw_bytes, count;
    const int8_t *scores;
    /* a full window that is not closed yet, or one of another model, does not count this input */
    if (slot == EO_NO_SLOT || reporting->slot != slot || reporting->trial != eo_driver_in_trial(agent) ||
        reporting->window.inferences == EO_MAX_COUNT)
        return false;
    void *raw = eo_model_raw(agent, slot, &raw_bytes);
    const eo_status came = agent->port->input(agent->port->context, raw, raw_bytes);
    if (came == EO_AGAIN)
        return false;
    eo_status status = came == EO_OK ? eo_model_quantize(agent, slot) : came;
    if (status != EO_OK) {
        eo_window_rejected(&reporting->window, came == EO_OK && status == EO_RANGE);
        return came == EO_OK; /* a sensor that fails is not asked again at once */
    }
    const int8_t *input = eo_model_input(agent);
    const uint32_t began = clock_ms(agent);
    status = eo_model_infer(agent, slot, input, agent->models[slot].input_values, &scores, &count);
    if (status != EO_OK) {
        eo_window_error(&reporting->window);
        judge_trial(agent, false);
        return true;
    }
    const uint32_t spent = since_us(agent, began);
    const bool observed = reporting->policy.observe_permille > 0 &&
                          eo_draws_below(&reporting->draws, reporting->policy.observe_permille);
    eo_counted counted;
    (void)eo_window_observe(&reporting->window, &reporting->plan, observed ? input : NULL, scores,
                            spent, &counted);
    agent->inferences++;
    tell(agent, &counted, scores, count);
    if (eo_driver_shadowing(agent))
        see(agent, counted.predicted, spent);
    judge_trial(agent, true);
    return true;
}
