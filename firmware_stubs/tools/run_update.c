/* Feeds events to the update machine, one a line on stdin, and prints the state and the actions after each:
 * tests/firmware/test_agent_update.py holds them against device_agent/update.py. "-" is no digest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/update.h"

static const uint8_t *digest(const char *letters, uint8_t bytes[32]) {
    if (strcmp(letters, "-") == 0)
        return NULL;
    memset(bytes, letters[0], 32);
    return bytes;
}

static void show_digest(const eo_update_state *state, eo_remembered which) {
    const uint8_t *bytes = eo_update_digest(state, which);
    printf(" %c", bytes != NULL ? bytes[0] : '-');
}

static uint8_t transition(const char *name) {
    for (uint8_t event = 0; event < EO_EVENT_COUNT; event++)
        if (strcmp(eo_transition_name(event), name) == 0)
            return event;
    fprintf(stderr, "run_update: no event %s\n", name);
    exit(2);
}

static void show(const eo_update_state *state, const eo_update_actions *actions, eo_status status) {
    printf("%s %u", status == EO_LIFECYCLE ? "refused" : eo_lifecycle_name(state->lifecycle),
           (unsigned)state->generation);
    show_digest(state, EO_CONFIRMED);
    show_digest(state, EO_PREVIOUS);
    show_digest(state, EO_CANDIDATE);
    show_digest(state, EO_REFUSED);
    printf(" %u %u %u %u %u %u %u %u %u [%s]", (unsigned)state->candidate_bytes, (unsigned)state->security_counter,
           (unsigned)state->trial_good, (unsigned)state->trial_errors, (unsigned)state->trial_boots,
           (unsigned)state->attempts, (unsigned)state->retry, (unsigned)state->shadow, (unsigned)state->attempt,
           state->reason);
    for (unsigned i = 0; i < actions->count; i++) {
        const eo_update_action *action = &actions->list[i];
        switch (action->kind) {
        case EO_ACTION_TRANSITION:
            printf(" %s/%s/%s/%c/%s", eo_lifecycle_name(action->source), eo_transition_name(action->event),
                   eo_lifecycle_name(action->target), action->has_manifest ? action->manifest[0] : '-',
                   action->has_reason ? state->reason : "");
            break;
        case EO_ACTION_BEGIN:
            printf(" begin:%s", eo_lifecycle_name(action->target));
            break;
        case EO_ACTION_DROP:
            printf(" drop");
            break;
        default:
            printf(" retry:%u", (unsigned)action->milliseconds);
        }
    }
    printf("\n");
}

int main(void) {
    eo_update_state state;
    memset(&state, 0, sizeof state);
    char line[1024], words[6][16], text[512];
    while (fgets(line, sizeof line, stdin) != NULL) {
        eo_update_event event;
        eo_update_actions actions;
        uint8_t bytes[32];
        unsigned numbers[6] = {0};
        memset(&event, 0, sizeof event);
        if (strncmp(line, "begin", 5) == 0) {
            memset(&state, 0, sizeof state);
            continue;
        }
        if (sscanf(line, "offer %15s %u %u %u %u", words[0], &numbers[0], &numbers[1], &numbers[2], &numbers[3]) == 5) {
            event.kind = EO_UPDATE_OFFER;
            event.manifest = digest(words[0], bytes);
            event.manifest_bytes = (uint16_t)numbers[0];
            event.generation = numbers[1];
            event.attempt = (uint16_t)numbers[2];
            event.shadow = numbers[3];
        } else if (sscanf(line, "damaged %15s", words[0]) == 1) {
            event.kind = EO_UPDATE_DAMAGED;
            event.manifest = digest(words[0], bytes);
        } else if (sscanf(line, "progressed %15s", words[0]) == 1) {
            event.kind = EO_UPDATE_PROGRESSED;
            event.name = transition(words[0]);
        } else if (sscanf(line, "refused %15s %511[^\n]", words[0], text) == 2) {
            event.kind = EO_UPDATE_REFUSED;
            event.name = transition(words[0]);
            event.reason = text;
        } else if (sscanf(line, "shadowed %u %u %u", &numbers[0], &numbers[1], &numbers[2]) == 3) {
            event.kind = EO_UPDATE_SHADOWED;
            event.inferences = numbers[0];
            event.errors = numbers[1];
            event.max_errors = numbers[2];
        } else if (sscanf(line, "%15s %u %u %u %u %u %u", words[0], &numbers[0], &numbers[1], &numbers[2], &numbers[3],
                          &numbers[4], &numbers[5]) == 7) {
            event.kind = strcmp(words[0], "inferred") == 0 ? EO_UPDATE_INFERRED : EO_UPDATE_WAITED;
            event.ok = numbers[0] != 0;
            event.inferences = numbers[1];
            event.max_errors = numbers[2];
            event.seconds = numbers[3];
            event.security_counter = numbers[4];
            event.elapsed_ms = numbers[5];
        } else if (strncmp(line, "restarted", 9) == 0) {
            event.kind = EO_UPDATE_RESTARTED;
        } else if (strncmp(line, "closed", 6) == 0) {
            event.kind = EO_UPDATE_CLOSED;
        } else if (strncmp(line, "retry_due", 9) == 0) {
            event.kind = EO_UPDATE_RETRY_DUE;
        } else {
            fprintf(stderr, "run_update: what is %s", line);
            return 2;
        }
        const eo_status status = eo_update_step(&state, &event, &actions);
        show(&state, &actions, status);
    }
    return 0;
}
