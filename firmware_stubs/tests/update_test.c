/* The update machine by itself: what holds of every event in every state, whatever came before. That it takes the same
 * steps as Python's is proved in tests/firmware/test_agent_update.py. */
#include <stdio.h>
#include <string.h>

#include "agent/text.h"
#include "agent/update.h"
#include "check.h"

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Any event, any state that the flash could hold: nothing is written outside, and what is refused changes nothing. */
static void any_event_in_any_state_is_survived(void) {
    uint32_t seed = 1;
    uint8_t digests[3][32];
    memset(digests, 'A', sizeof digests);
    digests[1][31] = digests[2][30] = 'B';
    for (int i = 0; i < 400000; i++) {
        eo_update_state state, before;
        eo_update_event event;
        eo_update_actions actions;
        memset(&state, 0, sizeof state);
        memset(&event, 0, sizeof event);
        state.lifecycle = (uint8_t)(next_random(&seed) % EO_STATE_COUNT);
        state.has = (uint8_t)(next_random(&seed) & 15u);
        state.retry = (uint8_t)(next_random(&seed) & 1u);
        state.trial_boots = (uint8_t)(next_random(&seed) % 256u);
        state.attempts = (uint16_t)next_random(&seed);
        state.attempt = (uint16_t)(next_random(&seed) % 3u);
        state.trial_good = next_random(&seed) % 4u;
        state.shadow = next_random(&seed) % 4u;
        memcpy(state.digests[EO_CONFIRMED], digests[next_random(&seed) % 3u], 32);
        memcpy(state.digests[EO_PREVIOUS], digests[next_random(&seed) % 3u], 32);
        memcpy(state.digests[EO_CANDIDATE], digests[next_random(&seed) % 3u], 32);
        memcpy(state.digests[EO_REFUSED], digests[next_random(&seed) % 3u], 32);
        event.kind = (uint8_t)(next_random(&seed) % (EO_UPDATE_WAITED + 2u));
        static const uint8_t refusals[] = {EO_EVENT_rejected, EO_EVENT_failed, EO_EVENT_unhealthy};
        event.name = (uint8_t)(next_random(&seed) % EO_EVENT_COUNT);
        if (event.kind == EO_UPDATE_REFUSED)
            event.name = refusals[event.name % 3u];
        event.ok = (next_random(&seed) & 1u) != 0;
        event.manifest = next_random(&seed) % 4u == 0 ? NULL : digests[next_random(&seed) % 3u];
        event.attempt = (uint16_t)(next_random(&seed) % 3u);
        event.shadow = next_random(&seed) % 3u;
        event.reason = "a reason";
        event.inferences = next_random(&seed) % 4u;
        event.errors = next_random(&seed) % 3u;
        event.max_errors = next_random(&seed) % 3u;
        before = state;
        const eo_status status = eo_update_step(&state, &event, &actions);
        CHECK(actions.count <= EO_MAX_ACTIONS && state.lifecycle < EO_STATE_COUNT);
        CHECK(memchr(state.reason, 0, sizeof state.reason) != NULL);
        if (status != EO_OK)
            CHECK(memcmp(&before, &state, sizeof state) == 0 && actions.count == 0);
        for (uint8_t k = 0; k < actions.count; k++)
            CHECK(actions.list[k].kind != EO_ACTION_BEGIN || k + 1 == actions.count);
        if (failures > 0)
            return;
    }
}

static void texts_are_cut_between_letters(void) {
    char bytes[8];
    eo_text text = eo_text_begin(bytes, sizeof bytes);
    eo_text_put(&text, "abc");
    eo_text_put_number(&text, 4294967295u);
    CHECK(strcmp(bytes, "abc4294") == 0);
    text = eo_text_begin(bytes, sizeof bytes);
    eo_text_put_number(&text, 0);
    eo_text_put_hex(&text, (const uint8_t *)"\x0f\xa0", 2);
    CHECK(strcmp(bytes, "00fa0") == 0);
    CHECK(eo_text_cut("abc", 5) == 3);
    CHECK(eo_text_cut("a\xc3\xa4", 2) == 1);
    CHECK(eo_text_cut("a\xe2\x82\xac", 3) == 1);
    CHECK(eo_text_cut("a\xc3\xa4", 3) == 3);
}

int main(void) {
    any_event_in_any_state_is_survived();
    texts_are_cut_between_letters();
    return failures == 0 ? 0 : 1;
}
