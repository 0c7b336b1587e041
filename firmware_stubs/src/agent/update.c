#include "agent/update.h"

#include <string.h>

#include "agent/text.h"

#define MAX_TRIAL_BOOTS 2u  /* a trial that was cut off in so many starts of the agent is an unhealthy one */
#define MAX_VERIFY_BOOTS 3u /* a model that ends the agent when it is opened must not end it for ever */
#define ASIDE_AFTER 3u      /* failures in a row after which the device says that it puts the version aside */
#define MAX_ATTEMPTS 60000u

/* The n-th of texts that follow one another. */
static const char *nth(const char *texts, uint8_t n) {
    while (n-- > 0)
        texts += strlen(texts) + 1u;
    return texts;
}

#define NAME(name) #name "\0"

const char *eo_lifecycle_name(uint8_t state) {
    return nth(EO_LIFECYCLE_STATES(NAME), state < EO_STATE_COUNT ? state : EO_STATE_COUNT);
}

const char *eo_transition_name(uint8_t event) {
    return nth(EO_LIFECYCLE_EVENTS(NAME), event < EO_EVENT_COUNT ? event : EO_EVENT_COUNT);
}

#undef NAME

eo_lifecycle eo_lifecycle_next(uint8_t state, uint8_t event) {
    static const uint8_t rows[][2] = {
#define ROW(from, by, to) {EO_STATE_##from << 4 | EO_EVENT_##by, EO_STATE_##to},
        EO_LIFECYCLE_ROWS(ROW)
#undef ROW
    };
    typedef char both_fit_into_a_byte[EO_STATE_COUNT <= 16 && EO_EVENT_COUNT <= 16 ? 1 : -1];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (event < EO_EVENT_COUNT && rows[i][0] == (state << 4 | event))
            return (eo_lifecycle)rows[i][1];
    return (eo_lifecycle)(EO_STATE_COUNT + 0 * sizeof(both_fit_into_a_byte));
}

const uint8_t *eo_update_digest(const eo_update_state *state, eo_remembered which) {
    return ((state->has >> which) & 1u) != 0 ? state->digests[which] : NULL;
}

bool eo_update_names(const eo_update_state *state, eo_remembered which, const uint8_t *manifest) {
    const uint8_t *digest = eo_update_digest(state, which);
    return digest != NULL && manifest != NULL && memcmp(digest, manifest, sizeof state->digests[0]) == 0;
}

bool eo_update_undecided(const eo_update_state *state) {
    return state->lifecycle >= EO_STATE_OFFERED && state->lifecycle <= EO_STATE_TRIAL;
}

bool eo_update_restoring(const eo_update_state *state) {
    return state->lifecycle == EO_STATE_OFFERED &&
           eo_update_names(state, EO_PREVIOUS, eo_update_digest(state, EO_CANDIDATE));
}

static eo_update_action *add(eo_update_actions *actions, uint8_t kind) {
    eo_update_action *action = &actions->list[actions->count++]; /* no event leads to more than EO_MAX_ACTIONS */
    memset(action, 0, sizeof *action);
    action->kind = kind;
    return action;
}

static void set(eo_update_state *state, eo_remembered which, const uint8_t *manifest) {
    const uint8_t bit = (uint8_t)(1u << which);
    state->has = (uint8_t)(manifest != NULL ? state->has | bit : state->has & ~bit);
    if (manifest != NULL)
        memcpy(state->digests[which], manifest, sizeof state->digests[0]);
}

/* One digest takes the place of another; where there is none, there is none then. */
static void take(eo_update_state *state, eo_remembered which, eo_remembered from) {
    set(state, which, eo_update_digest(state, from));
}

static void forget(eo_update_state *state, eo_remembered which) {
    set(state, which, NULL);
}

/* One row of the table. The reason is cleared, except that the caller set `reason` in the state before. */
static eo_status move(eo_update_state *state, uint8_t event, bool has_reason, eo_update_actions *actions) {
    const eo_lifecycle target = eo_lifecycle_next(state->lifecycle, event);
    if (target == EO_STATE_COUNT)
        return EO_LIFECYCLE;
    eo_update_action *action = add(actions, EO_ACTION_TRANSITION);
    action->source = state->lifecycle;
    action->event = event;
    action->target = (uint8_t)target;
    action->has_manifest = eo_update_digest(state, EO_CANDIDATE) != NULL;
    action->has_reason = has_reason;
    memcpy(action->manifest, state->digests[EO_CANDIDATE], sizeof action->manifest);
    state->lifecycle = (uint8_t)target;
    if (!has_reason)
        state->reason[0] = '\0';
    if (eo_update_undecided(state))
        add(actions, EO_ACTION_BEGIN)->target = (uint8_t)target;
    return EO_OK;
}

/* A row that is not the last of its step: what it asks for is not begun. */
static void pass(eo_update_state *state, uint8_t event, eo_update_actions *actions) {
    (void)move(state, event, false, actions);
    if (actions->count > 0 && actions->list[actions->count - 1].kind == EO_ACTION_BEGIN)
        actions->count--;
}

/* Ends what is under way, if anything is. */
static void supersede(eo_update_state *state, eo_update_actions *actions) {
    if (!eo_update_undecided(state))
        return;
    (void)move(state, EO_EVENT_superseded, false, actions);
    add(actions, EO_ACTION_DROP);
}

/* What is wanted runs already: end whatever is under way, and say so. */
static void stay_confirmed(eo_update_state *state, eo_update_actions *actions) {
    supersede(state, actions);
    take(state, EO_CANDIDATE, EO_CONFIRMED);
    state->attempts = 0;
    state->retry = 0;
    state->trial_boots = 0;
    pass(state, EO_EVENT_offered, actions);
    (void)move(state, EO_EVENT_restored, false, actions);
    forget(state, EO_CANDIDATE);
}

/* The candidate is what runs now, and the confirmed one was so before. */
static void promote(eo_update_state *state) {
    take(state, EO_PREVIOUS, EO_CONFIRMED);
    take(state, EO_CONFIRMED, EO_CANDIDATE);
    forget(state, EO_CANDIDATE);
    state->attempts = 0;
}

static void say(eo_update_state *state, const char *reason, const char *ending) {
    eo_text text = eo_text_begin(state->reason, EO_REASON_BYTES + 1u);
    eo_text_put_bytes(&text, reason, eo_text_cut(reason, EO_REASON_BYTES - strlen(ending)));
    eo_text_put(&text, ending);
}

static uint32_t retry_seconds(uint32_t attempts) {
    return attempts > 10u ? 3600u : 5u << (attempts - 1u);
}

static eo_status refuse(eo_update_state *state, uint8_t event, const char *reason, eo_update_actions *actions) {
    if (eo_lifecycle_next(state->lifecycle, event) == EO_STATE_COUNT)
        return EO_LIFECYCLE;
    if (event != EO_EVENT_failed) {
        say(state, reason, "");
        (void)move(state, event, true, actions);
        take(state, EO_REFUSED, EO_CANDIDATE);
        forget(state, EO_CANDIDATE);
        add(actions, EO_ACTION_DROP);
        return EO_OK;
    }
    state->attempts = (uint16_t)(state->attempts < MAX_ATTEMPTS ? state->attempts + 1u : MAX_ATTEMPTS);
    const uint32_t seconds = retry_seconds(state->attempts);
    char aside[64] = "";
    if (state->attempts >= ASIDE_AFTER) {
        eo_text text = eo_text_begin(aside, sizeof aside);
        eo_text_put(&text, "; put aside for ");
        eo_text_put_number(&text, seconds);
        eo_text_put(&text, " s after ");
        eo_text_put_number(&text, state->attempts);
        eo_text_put(&text, " failures in a row");
    }
    say(state, reason, aside);
    (void)move(state, event, true, actions);
    state->retry = 1;
    state->trial_boots = 0;
    add(actions, EO_ACTION_DROP);
    add(actions, EO_ACTION_RETRY_IN)->milliseconds = 1000u * seconds;
    return EO_OK;
}

static void offer(eo_update_state *state, const eo_update_event *event, eo_update_actions *actions) {
    const bool again = event->attempt > state->attempt;
    state->generation = event->generation;
    state->attempt = event->attempt;
    if (event->manifest == NULL) {
        supersede(state, actions);
        forget(state, EO_CANDIDATE);
        state->retry = 0;
        return;
    }
    if (again && eo_update_names(state, EO_REFUSED, event->manifest))
        forget(state, EO_REFUSED);
    if (eo_update_names(state, EO_CONFIRMED, event->manifest)) {
        if (state->lifecycle != EO_STATE_CONFIRMED)
            stay_confirmed(state, actions);
        return;
    }
    if (eo_update_names(state, EO_CANDIDATE, event->manifest) &&
        (eo_update_undecided(state) || (state->retry && !again))) {
        state->shadow = event->shadow; /* it is on its way, or put aside for a while */
        if (again)
            state->attempts = 0;
        return;
    }
    if (eo_update_names(state, EO_PREVIOUS, event->manifest) && (again || event->shadow > 0))
        /* A rollout, and no way back: it has to prove itself anew, though its slot needs no download. */
        forget(state, EO_PREVIOUS);
    const bool refused = eo_update_names(state, EO_REFUSED, event->manifest);
    if (refused && (state->lifecycle == EO_STATE_REJECTED || state->lifecycle == EO_STATE_ROLLED_BACK))
        return;
    supersede(state, actions);
    set(state, EO_CANDIDATE, event->manifest);
    state->candidate_bytes = event->manifest_bytes;
    state->attempts = 0;
    state->retry = 0;
    state->trial_boots = 0;
    state->shadow = event->shadow;
    if (!refused) {
        (void)move(state, EO_EVENT_offered, false, actions);
        return;
    }
    /* The control side must hear that it is refused, and not wait for it. */
    pass(state, EO_EVENT_offered, actions);
    (void)refuse(state, EO_EVENT_rejected, "it was rejected or rolled back before", actions);
}

static eo_status progress(eo_update_state *state, uint8_t name, eo_update_actions *actions) {
    if (name == EO_EVENT_restored) {
        if (!eo_update_restoring(state))
            return EO_LIFECYCLE;
        (void)move(state, name, false, actions);
        promote(state);
        state->trial_boots = 0;
        return EO_OK;
    }
    const eo_status status = move(state, name, false, actions);
    if (status != EO_OK)
        return status;
    if (name == EO_EVENT_verified) {
        forget(state, EO_PREVIOUS); /* its slot now holds the candidate */
    } else if (name == EO_EVENT_shadow || name == EO_EVENT_activated) {
        state->trial_good = 0;
        state->trial_errors = 0;
        state->trial_boots = 1;
    }
    return EO_OK;
}

static eo_status restarted(eo_update_state *state, eo_update_actions *actions) {
    if (state->lifecycle == EO_STATE_FAILED && state->retry) {
        const uint32_t seconds = retry_seconds(state->attempts > 0 ? state->attempts : 1u);
        add(actions, EO_ACTION_RETRY_IN)->milliseconds = 1000u * seconds;
        return EO_OK;
    }
    if (!eo_update_undecided(state))
        return EO_OK;
    const bool trial = state->lifecycle == EO_STATE_TRIAL;
    const bool running = trial || state->lifecycle == EO_STATE_SHADOWING;
    const bool opening = state->lifecycle == EO_STATE_VERIFYING || eo_update_restoring(state);
    if (running && state->trial_boots >= MAX_TRIAL_BOOTS)
        return refuse(state, EO_EVENT_unhealthy,
                      trial ? "the agent did not survive its trial"
                            : "the agent did not survive its run beside the active model",
                      actions);
    if (opening && state->trial_boots + 1u >= MAX_VERIFY_BOOTS)
        return refuse(state, EO_EVENT_rejected, "the agent did not survive opening it", actions);
    if ((running || opening) && state->trial_boots < 255u)
        state->trial_boots++;
    return move(state, EO_EVENT_restarted, false, actions);
}

static void damaged(eo_update_state *state, const uint8_t *manifest, eo_update_actions *actions) {
    if (eo_update_names(state, EO_CONFIRMED, manifest)) {
        take(state, EO_CONFIRMED, EO_PREVIOUS);
        forget(state, EO_PREVIOUS);
        if (eo_update_names(state, EO_CONFIRMED, eo_update_digest(state, EO_CANDIDATE)))
            stay_confirmed(state, actions);
    } else if (eo_update_names(state, EO_PREVIOUS, manifest)) {
        forget(state, EO_PREVIOUS);
    }
}

static eo_status too_many(eo_update_state *state, uint32_t errors, const char *where, uint32_t allowed,
                          eo_update_actions *actions) {
    char words[80];
    eo_text text = eo_text_begin(words, sizeof words);
    eo_text_put_number(&text, errors);
    eo_text_put(&text, " errors ");
    eo_text_put(&text, where);
    eo_text_put(&text, " where ");
    eo_text_put_number(&text, allowed);
    eo_text_put(&text, " are allowed");
    return refuse(state, EO_EVENT_unhealthy, words, actions);
}

static eo_status judge_trial(eo_update_state *state, const eo_update_event *event, eo_update_actions *actions) {
    const bool enough = state->trial_good >= event->inferences ||
                        (event->seconds > 0 && event->elapsed_ms / 1000u >= event->seconds);
    if (state->lifecycle != EO_STATE_TRIAL || state->trial_good == 0 || !enough)
        return EO_OK;
    (void)move(state, EO_EVENT_healthy, false, actions);
    promote(state);
    if (event->security_counter > state->security_counter)
        state->security_counter = event->security_counter;
    return EO_OK;
}

eo_status eo_update_step(eo_update_state *state, const eo_update_event *event, eo_update_actions *actions) {
    actions->count = 0;
    switch (event->kind) {
    case EO_UPDATE_OFFER:
        offer(state, event, actions);
        return EO_OK;
    case EO_UPDATE_RESTARTED:
        return restarted(state, actions);
    case EO_UPDATE_CLOSED:
        state->trial_boots = 0;
        return EO_OK;
    case EO_UPDATE_DAMAGED:
        damaged(state, event->manifest, actions);
        return EO_OK;
    case EO_UPDATE_RETRY_DUE:
        if (state->lifecycle != EO_STATE_FAILED || !state->retry || eo_update_digest(state, EO_CANDIDATE) == NULL)
            return EO_OK;
        state->retry = 0;
        return move(state, EO_EVENT_offered, false, actions);
    case EO_UPDATE_PROGRESSED:
        return progress(state, event->name, actions);
    case EO_UPDATE_REFUSED:
        return refuse(state, event->name, event->reason, actions);
    case EO_UPDATE_SHADOWED:
        if (state->lifecycle != EO_STATE_SHADOWING)
            return EO_OK;
        if (event->errors > event->max_errors)
            return too_many(state, event->errors, "beside the active model", event->max_errors, actions);
        return event->inferences >= state->shadow ? progress(state, EO_EVENT_activated, actions) : EO_OK;
    case EO_UPDATE_INFERRED:
        if (state->lifecycle != EO_STATE_TRIAL)
            return EO_OK;
        state->trial_good += event->ok ? 1u : 0u;
        state->trial_errors += event->ok ? 0u : 1u;
        if (state->trial_errors > event->max_errors)
            return too_many(state, state->trial_errors, "in its trial", event->max_errors, actions);
        return judge_trial(state, event, actions);
    case EO_UPDATE_WAITED:
        return judge_trial(state, event, actions);
    default:
        return EO_ARGUMENT;
    }
}
