/* What goes wrong round an agent: memory that wears out, models that come back, weeks that go by, messages that change
 * while something is under way. */
#include "agent/agent_state.h"
#include "fake_device.h"

#define DAY_MS 86400000u

static fake_device *confirmed_on_1(void) {
    fake_device *device = fake_device_new();
    device->verbose = getenv("VERBOSE") != NULL;
    device->desired = "desired/1";
    CHECK(fake_start(device) == EO_OK);
    fake_connect(device, true);
    CHECK(fake_until(device, "CONFIRMED", 1, 2000));
    return device;
}

static eo_agent_info info_of(const fake_device *device) {
    eo_agent_info info;
    eo_agent_get_info(&device->agent, &info);
    return info;
}

static eo_agent_state *inside(fake_device *device) {
    return eo_state_of(&device->agent);
}

static void the_version_before_is_refused_where_the_security_counter_has_risen(void) {
    fake_device *device = confirmed_on_1();
    fake_desire(device, "desired/hardened");
    CHECK(fake_until(device, "CONFIRMED", 4, 2000));
    fake_desire(device, "desired/back");
    CHECK(fake_until(device, "REJECTED", 4, 200));
    CHECK(strcmp(info_of(device).reason, "security counter: 2 needed, 1 here") == 0);
    CHECK(fake_start(device) == EO_OK);
    for (int i = 0; i < 50; i++)
        fake_turn(device);
    CHECK(fake_is(device, "REJECTED", 4));
    free(device);
}

static void a_start_that_cannot_be_written_down_uses_a_number_that_nobody_had(void) {
    fake_device *device = confirmed_on_1();
    const uint32_t before = info_of(device).boot;
    uint32_t numbers[3];
    device->broken = true; /* the journal's blocks are worn */
    for (uint8_t i = 0; i < 3; i++) {
        device->random = (uint8_t)(7u + 16u * i);
        CHECK(fake_start(device) == EO_OK);
        CHECK(info_of(device).running_version == 1);
        numbers[i] = info_of(device).boot;
        CHECK(numbers[i] > before); /* else the control side would take it for an older start */
    }
    CHECK(numbers[0] != numbers[1] && numbers[1] != numbers[2] && numbers[0] != numbers[2]);
    device->broken = false;
    for (int i = 0; i < 200; i++)
        fake_turn(device);
    CHECK(fake_start(device) == EO_OK);
    CHECK(info_of(device).boot == numbers[2] + 1u);
    free(device);
}

static void a_manifest_that_is_replaced_while_it_is_asked_for_is_no_longer_subscribed_to(void) {
    fake_device *device = confirmed_on_1();
    for (size_t i = 0; i < device->message_count; i++)
        if (strstr(device->messages[i].name, "/blob/") != NULL)
            device->messages[i].name[0] = 'x'; /* the broker does not have it yet */
    fake_desire(device, "desired/2");
    for (int i = 0; i < 50; i++)
        fake_turn(device);
    CHECK(device->topic_count == 4); /* its own three, and the manifest */
    fake_desire(device, "desired/3");
    for (int i = 0; i < 50; i++)
        fake_turn(device);
    CHECK(device->topic_count == 4);
    eo_topic topic;
    CHECK(eo_topic_parse(&topic, device->topics[3], strlen(device->topics[3]), "plant", "cam-01") == EO_OK);
    CHECK(memcmp(topic.sha256, fake_message(device, "digest/3")->payload, 32) == 0);
    free(device);
}

/* Hands in a trust root; false where power went away meanwhile. */
static bool rotate(fake_device *device, const message *root) {
    if (setjmp(device->power) != 0)
        return false;
    fake_deliver(device, root, "edgeops/v1/plant/trust");
    return true;
}

/* The new key signs from then on, the old one does not; in the midst of a transfer, over a restart and a power cut. */
static void a_trust_root_that_is_rotated_during_an_update_counts_at_once(void) {
    bool whole = false;
    for (uint32_t cut = 1; !whole; cut++) {
        fake_device *device = confirmed_on_1();
        const message *root = fake_message(device, "trust/2");
        fake_desire(device, "desired/2");
        CHECK(fake_until(device, "DOWNLOADING", 1, 500));
        fake_desire(device, "desired/rotated"); /* signed by a key that is not known yet */
        CHECK(inside(device)->memory.generation == 2);
        device->operations = 0;
        device->fails_at = cut;
        device->how = TEAR_HALF_DONE;
        whole = rotate(device, root);
        device->fails_at = 0;
        CHECK(fake_start(device) == EO_OK);
        fake_connect(device, true);
        CHECK(rotate(device, root));
        fake_desire(device, "desired/back"); /* a higher generation, but the old key */
        CHECK(inside(device)->memory.generation == 2);
        fake_desire(device, "desired/rotated");
        CHECK(inside(device)->memory.generation == 6);
        CHECK(fake_until(device, "CONFIRMED", 2, 3000));
        CHECK(memcmp(info_of(device).confirmed, fake_message(device, "digest/2")->payload, 32) == 0);
        free(device);
    }
}

static void reports_go_out_at_once_after_weeks_on_one_connection(void) {
    fake_device *device = confirmed_on_1();
    for (int day = 0; day < 60; day++) {
        const int failed = failures;
        device->now += DAY_MS;
        for (int i = 0; i < 3; i++)
            fake_turn(device);
        const uint32_t sent = device->published[EO_TOPIC_REPORT];
        const uint32_t waiting = info_of(device).reports_waiting;
        while (info_of(device).reports_waiting == waiting)
            fake_turn(device);
        for (int i = 0; i < 2; i++)
            fake_turn(device);
        CHECK(device->published[EO_TOPIC_REPORT] > sent);
        eo_receipt receipt = {.boot = info_of(device).boot, .named = true, .committed = UINT32_MAX};
        eo_report_receipt(inside(device), &receipt);
        if (failures > failed) {
            printf("on day %d\n", day);
            break;
        }
    }
    free(device);
}

static void a_flash_that_takes_minutes_to_erase_is_no_broker_without_chunks(void) {
    fake_device *device = confirmed_on_1();
    device->erase_ms = 30000;
    fake_desire(device, "desired/2");
    for (int i = 0; i < 2000 && !fake_is(device, "CONFIRMED", 2); i++) {
        CHECK(!fake_is(device, "FAILED", 0));
        fake_turn(device);
    }
    CHECK(fake_is(device, "CONFIRMED", 2));
    free(device);
}

static void a_report_that_could_not_be_written_is_not_waited_for(void) {
    fake_device *device = confirmed_on_1();
    eo_report_ring *ring = &inside(device)->reporting.ring;
    eo_kept_report kept;
    const uint8_t counters[40] = {1};
    uint32_t oldest, dropped = 0;
    memset(&kept, 0, sizeof kept);
    kept.boot = 77;
    kept.sequence = 1;
    CHECK(eo_report_ring_put(ring, &kept, counters, sizeof counters, &dropped) == EO_OK);
    (void)eo_report_ring_acknowledge(ring, 77, 1);
    for (device->weak_at = 1; device->weak_at < 12; device->weak_at++) {
        device->operations = 0;
        kept.sequence++;
        const bool failed = eo_report_ring_put(ring, &kept, counters, sizeof counters, &dropped) != EO_OK;
        const uint32_t lost = kept.sequence;
        kept.sequence++;
        device->operations = 1000;
        CHECK(eo_report_ring_put(ring, &kept, counters, sizeof counters, &dropped) == EO_OK);
        (void)eo_report_ring_waiting(ring, 77, &oldest);
        CHECK(oldest == (failed ? lost + 1u : lost));
        (void)eo_report_ring_acknowledge(ring, 77, lost + 1u);
    }
    free(device);
}

static void with_both_slots_damaged_it_fetches_what_is_desired(void) {
    fake_device *device = confirmed_on_1();
    fake_desire(device, "desired/2");
    CHECK(fake_until(device, "CONFIRMED", 2, 2000));
    for (uint32_t at = 0; at + 4 < FLASH_BYTES; at += 4)
        if (memcmp((uint8_t *)device->flash + at, "EOPL", 4) == 0)
            ((uint8_t *)device->flash)[at + 200] ^= 4;
    CHECK(fake_start(device) == EO_OK);
    CHECK(info_of(device).running_version == 0 && !info_of(device).has_confirmed);
    for (int i = 0; i < 50; i++)
        fake_turn(device);
    fake_connect(device, true);
    CHECK(fake_until(device, "CONFIRMED", 2, 3000));
    free(device);
}

static void the_state_of_a_confirmed_model_announces_no_retry(void) {
    fake_device *device = confirmed_on_1();
    device->alters_chunks = true;
    fake_desire(device, "desired/2");
    CHECK(fake_until(device, "FAILED", 1, 500));
    device->alters_chunks = false;
    fake_desire(device, "desired/back");
    CHECK(fake_until(device, "CONFIRMED", 1, 5));
    for (int i = 0; i < 5; i++)
        fake_turn(device);
    const uint8_t *state = device->last[EO_TOPIC_STATE];
    const uint8_t none[] = {8, 0, 9, 0, 11}; /* attempts, retry_in_ms, then the artifact */
    bool found = false;
    for (size_t at = 0; at + sizeof none <= device->last_size[EO_TOPIC_STATE]; at++)
        found = found || memcmp(state + at, none, sizeof none) == 0;
    CHECK(found);
    free(device);
}

static void a_model_is_not_served_under_another_ones_name(void) {
    fake_device *device = confirmed_on_1();
    device->model = "other";
    CHECK(fake_start(device) == EO_ARGUMENT);
    device->model = "tiny";
    CHECK(fake_start(device) == EO_OK);
    CHECK(info_of(device).running_version == 1);
    free(device);
}

static int always(void *context, const void *model, size_t size) {
    (void)context;
    (void)model;
    (void)size;
    return 1;
}

static void a_model_that_keeps_state_does_not_run_beside_another(void) {
    fake_device *device = confirmed_on_1();
    eo_infer stateful = eo_plan_runtime;
    stateful.keeps_state = always;
    inside(device)->config.infer = &stateful;
    fake_desire(device, "desired/shadow");
    CHECK(fake_until(device, "REJECTED", 1, 2000));
    CHECK(strcmp(info_of(device).reason, "a model that keeps state cannot run beside another") == 0);
    CHECK(fake_until(device, "REJECTED", 1, 100));
    fake_desire(device, "desired/back");
    fake_desire(device, "desired/hardened"); /* an older generation */
    CHECK(fake_until(device, "CONFIRMED", 1, 100));
    free(device);
}

int main(void) {
    the_version_before_is_refused_where_the_security_counter_has_risen();
    a_start_that_cannot_be_written_down_uses_a_number_that_nobody_had();
    a_manifest_that_is_replaced_while_it_is_asked_for_is_no_longer_subscribed_to();
    a_trust_root_that_is_rotated_during_an_update_counts_at_once();
    reports_go_out_at_once_after_weeks_on_one_connection();
    a_flash_that_takes_minutes_to_erase_is_no_broker_without_chunks();
    a_report_that_could_not_be_written_is_not_waited_for();
    with_both_slots_damaged_it_fetches_what_is_desired();
    the_state_of_a_confirmed_model_announces_no_retry();
    a_model_is_not_served_under_another_ones_name();
    a_model_that_keeps_state_does_not_run_beside_another();
    return failures == 0 ? 0 : 1;
}
