/* The update machine: pure, driven by the table in lifecycle_table.h; the same steps as device_agent/update.py.
 *
 * Events go in, a new state and actions come out; no clock, no flash, no network. What must survive a power cut is the
 * state itself: the agent writes it down before it carries the actions out. */
#ifndef EDGEOPS_AGENT_UPDATE_H
#define EDGEOPS_AGENT_UPDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/lifecycle_table.h"
#include "edgeops/config.h"
#include "edgeops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum eo_lifecycle {
#define EO_LIFECYCLE_ENUM(name) EO_STATE_##name,
    EO_LIFECYCLE_STATES(EO_LIFECYCLE_ENUM)
#undef EO_LIFECYCLE_ENUM
        EO_STATE_COUNT
} eo_lifecycle;

typedef enum eo_transition {
#define EO_LIFECYCLE_ENUM(name) EO_EVENT_##name,
    EO_LIFECYCLE_EVENTS(EO_LIFECYCLE_ENUM)
#undef EO_LIFECYCLE_ENUM
        EO_EVENT_COUNT
} eo_transition;

/* As the protocol calls them. */
const char *eo_lifecycle_name(uint8_t state);
const char *eo_transition_name(uint8_t event);
/* The state after `event`, EO_STATE_COUNT where the table has no such row. */
eo_lifecycle eo_lifecycle_next(uint8_t state, uint8_t event);

/* Which manifests are remembered. */
typedef enum eo_remembered {
    EO_CONFIRMED, /* runs, and was healthy */
    EO_PREVIOUS,  /* was so before */
    EO_CANDIDATE, /* is being taken */
    EO_REFUSED,   /* was rejected or rolled back last */
    EO_REMEMBERED
} eo_remembered;

/* All that is remembered about a model's updates; digests are of manifests, each there where `has` says so. The layout
 * is the one in the flash: plain numbers, without holes. All zero is the beginning. */
typedef struct eo_update_state {
    uint32_t generation;
    uint32_t security_counter;
    uint32_t trial_good, trial_errors;
    uint32_t shadow; /* so many inputs the candidate sees beside the confirmed model before its trial */
    uint16_t candidate_bytes;
    uint16_t attempts; /* failures in a row */
    uint16_t attempt;  /* of the desired state */
    uint8_t lifecycle;
    uint8_t has; /* bit n: there is a digests[n] */
    uint8_t trial_boots;
    uint8_t retry;
    uint8_t reserved[2];
    uint8_t digests[EO_REMEMBERED][32];
    char reason[EO_REASON_BYTES + 4];
} eo_update_state;

/* The digest, NULL where there is none. */
const uint8_t *eo_update_digest(const eo_update_state *state, eo_remembered which);
/* Whether it is this one. */
bool eo_update_names(const eo_update_state *state, eo_remembered which, const uint8_t *manifest);
/* Whether what is offered was confirmed here before: its slot may need no more than to be opened. */
bool eo_update_restoring(const eo_update_state *state);
bool eo_update_undecided(const eo_update_state *state);

typedef enum eo_update_event_kind {
    EO_UPDATE_OFFER,     /* a desired state names a manifest, or none (NULL) */
    EO_UPDATE_RESTARTED, /* the agent has started */
    EO_UPDATE_CLOSED,    /* the agent stops on purpose */
    EO_UPDATE_DAMAGED,   /* the slot of `manifest` cannot be read any more */
    EO_UPDATE_RETRY_DUE, /* the back-off after a failure is over */
    EO_UPDATE_PROGRESSED, /* accepted, complete, damaged, verified, shadow, activated or restored */
    EO_UPDATE_REFUSED,    /* rejected (never will), failed (may try again), unhealthy */
    EO_UPDATE_SHADOWED,   /* what the candidate did so far beside the active model */
    EO_UPDATE_INFERRED,   /* one inference of the candidate in its trial */
    EO_UPDATE_WAITED      /* time went by in its trial */
} eo_update_event_kind;

typedef struct eo_update_event {
    uint8_t kind;
    uint8_t name;            /* of PROGRESSED and REFUSED */
    bool ok;                 /* of INFERRED */
    const uint8_t *manifest; /* of OFFER and DAMAGED */
    uint16_t manifest_bytes; /* of OFFER, and the next three */
    uint16_t attempt;
    uint32_t generation;
    uint32_t shadow;
    const char *reason;   /* of REFUSED; not the state's own */
    uint32_t inferences;  /* of SHADOWED: seen; of INFERRED and WAITED: wanted by the manifest's trial */
    uint32_t errors;      /* of SHADOWED */
    uint32_t max_errors;  /* of the manifest's trial */
    uint32_t seconds;     /* likewise */
    uint32_t security_counter; /* of the manifest */
    uint32_t elapsed_ms;       /* since the trial began */
} eo_update_event;

typedef enum eo_update_action_kind {
    EO_ACTION_TRANSITION, /* a row of the table was taken: tell the control side */
    EO_ACTION_BEGIN,      /* carry out what the new state asks for; always the last */
    EO_ACTION_DROP,       /* stop fetching, close the candidate, run the confirmed model */
    EO_ACTION_RETRY_IN    /* send RETRY_DUE after so many milliseconds */
} eo_update_action_kind;

typedef struct eo_update_action {
    uint8_t kind;
    uint8_t source, event, target; /* of a transition; of BEGIN the target */
    bool has_manifest;
    bool has_reason; /* it is in the state */
    uint32_t milliseconds;
    uint8_t manifest[32];
} eo_update_action;

#define EO_MAX_ACTIONS 6
typedef struct eo_update_actions {
    uint8_t count;
    eo_update_action list[EO_MAX_ACTIONS];
} eo_update_actions;

/* The next state and what to do. EO_LIFECYCLE, and nothing changed, for an event that the table does not allow. */
eo_status eo_update_step(eo_update_state *state, const eo_update_event *event, eo_update_actions *actions);

#ifdef __cplusplus
}
#endif
#endif
