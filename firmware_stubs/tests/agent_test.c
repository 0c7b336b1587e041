/* A device's life against a broker in memory: updates, refusals, rolling back, reports, what an open broker can do. */
#include "fake_device.h"

static fake_device *confirmed_on_1(void) {
    fake_device *device = fake_device_new();
    device->verbose = getenv("VERBOSE") != NULL;
    device->desired = "desired/1";
    CHECK(fake_start(device) == EO_OK);
    fake_connect(device, true);
    CHECK(fake_until(device, "CONFIRMED", 1, 2000));
    return device;
}

static const uint8_t *digest(const fake_device *device, const char *name) {
    return fake_message(device, name)->payload;
}

static eo_agent_info info_of(const fake_device *device) {
    eo_agent_info info;
    eo_agent_get_info(&device->agent, &info);
    return info;
}

static void a_new_device_takes_its_first_version(void) {
    fake_device *device = confirmed_on_1();
    CHECK(memcmp(info_of(device).confirmed, digest(device, "digest/1"), 32) == 0);
    CHECK(device->published[EO_TOPIC_PRESENCE] == 1);
    CHECK(device->published[EO_TOPIC_STATE] > 1);
    for (int i = 0; i < 30; i++)
        fake_turn(device);
    CHECK(device->published[EO_TOPIC_EVENT] == 6); /* offered, accepted, complete, verified, activated, healthy */
    CHECK(device->topic_count == 3); /* chunks are subscribed to no longer than they lack */
    free(device);
}

static void an_update_runs_beside_the_old_version_until_it_is_tried(void) {
    fake_device *device = confirmed_on_1();
    fake_desire(device, "desired/2");
    uint32_t inputs = device->inputs, counted = info_of(device).inferences;
    while (!fake_is(device, "TRIAL", 0)) {
        CHECK(info_of(device).running_version == 1);
        fake_turn(device);
    }
    CHECK(device->inputs - inputs > 20 && info_of(device).inferences - counted > 20);
    CHECK(fake_until(device, "CONFIRMED", 2, 2000));
    free(device);
}

static void a_failed_self_test_leaves_the_old_version_in_charge(void) {
    fake_device *device = confirmed_on_1();
    fake_desire(device, "desired/3");
    CHECK(fake_until(device, "REJECTED", 1, 2000));
    CHECK(strncmp(info_of(device).reason, "self-test vector 0: ", 20) == 0);
    CHECK(fake_until(device, "REJECTED", 1, 50));
    free(device);
}

static void a_trial_with_errors_is_rolled_back(void) {
    fake_device *device = confirmed_on_1();
    fake_desire(device, "desired/2");
    while (!fake_is(device, "TRIAL", 0))
        fake_turn(device);
    /* the arena is destroyed before each input: every inference of the candidate fails */
    for (int i = 0; i < 40 && fake_is(device, "TRIAL", 0); i++) {
        device->infer.arena = NULL;
        fake_turn(device);
    }
    CHECK(fake_is(device, "ROLLED_BACK", 1));
    CHECK(strcmp(info_of(device).reason, "2 errors in its trial where 1 are allowed") == 0);
    device->operations = 0;
    CHECK(fake_until(device, "ROLLED_BACK", 1, 100));
    free(device);
}

static void going_back_needs_no_download(void) {
    fake_device *device = confirmed_on_1();
    fake_desire(device, "desired/2");
    CHECK(fake_until(device, "CONFIRMED", 2, 2000));
    for (size_t i = 0; i < device->message_count; i++)
        if (strstr(device->messages[i].name, "/blob/") != NULL)
            device->messages[i].name[0] = 'x'; /* the broker forgot all chunks */
    fake_desire(device, "desired/back");
    CHECK(fake_until(device, "CONFIRMED", 1, 200));
    free(device);
}

static void the_application_is_told_what_the_model_says(void) {
    fake_device *device = confirmed_on_1();
    const uint32_t before = device->predictions;
    const uint32_t counted = info_of(device).inferences;
    for (int i = 0; i < 10; i++)
        fake_turn(device);
    CHECK(device->predictions > before);
    CHECK(device->predictions - before == info_of(device).inferences - counted);
    CHECK(device->predicted_version == 1);
    CHECK(device->labels_fit);
    free(device);
}

static void a_restart_goes_on_with_the_confirmed_version_offline(void) {
    fake_device *device = confirmed_on_1();
    const uint32_t boot = info_of(device).boot;
    CHECK(fake_start(device) == EO_OK);
    CHECK(info_of(device).boot == boot + 1);
    CHECK(info_of(device).running_version == 1);
    for (int i = 0; i < 10; i++)
        fake_turn(device);
    CHECK(info_of(device).inferences > 5);
    free(device);
}

static void two_starts_that_a_trial_did_not_survive_roll_it_back(void) {
    fake_device *device = confirmed_on_1();
    fake_desire(device, "desired/2");
    while (!fake_is(device, "TRIAL", 0))
        fake_turn(device);
    CHECK(fake_start(device) == EO_OK);
    CHECK(fake_until(device, "TRIAL", 2, 5));
    CHECK(fake_start(device) == EO_OK);
    CHECK(fake_is(device, "ROLLED_BACK", 1));
    CHECK(strcmp(info_of(device).reason, "the agent did not survive its trial") == 0);
    free(device);
}

static void a_stop_on_purpose_is_no_crash(void) {
    fake_device *device = confirmed_on_1();
    fake_desire(device, "desired/2");
    while (!fake_is(device, "TRIAL", 0))
        fake_turn(device);
    for (int i = 0; i < 4; i++) {
        CHECK(fake_until(device, "TRIAL", 2, 3));
        eo_agent_stop(&device->agent);
        CHECK(fake_start(device) == EO_OK);
    }
    fake_connect(device, true);
    CHECK(fake_until(device, "CONFIRMED", 2, 200));
    free(device);
}

static void a_shadow_run_comes_before_the_trial(void) {
    fake_device *device = confirmed_on_1();
    fake_desire(device, "desired/shadow");
    CHECK(fake_until(device, "SHADOWING", 1, 2000));
    CHECK(fake_until(device, "TRIAL", 2, 100));
    CHECK(fake_until(device, "CONFIRMED", 2, 100));
    free(device);
}

static void altered_chunks_end_an_update_and_harm_nothing(void) {
    fake_device *device = confirmed_on_1();
    device->alters_chunks = true;
    fake_desire(device, "desired/2");
    CHECK(fake_until(device, "FAILED", 1, 500));
    CHECK(strstr(info_of(device).reason, "does not match its digest") != NULL);
    device->alters_chunks = false;
    CHECK(fake_until(device, "CONFIRMED", 2, 2000)); /* after the back-off, by itself */
    free(device);
}

static void chunks_altered_in_mid_download_are_fetched_again(void) {
    fake_device *device = confirmed_on_1();
    fake_desire(device, "desired/2");
    CHECK(fake_until(device, "DOWNLOADING", 1, 500));
    while (info_of(device).chunks_missing > 4)
        fake_turn(device);
    device->alters_chunks = true;
    for (int i = 0; i < 2; i++)
        fake_turn(device);
    device->alters_chunks = false;
    CHECK(fake_until(device, "CONFIRMED", 2, 2000));
    free(device);
}

static void a_chunk_that_the_link_cut_off_comes_again(void) {
    fake_device *device = confirmed_on_1();
    for (int i = 0; i < 6; i++) {
        device->cuts_chunks = true;
        if (i == 0)
            fake_desire(device, "desired/2");
        for (int turn = 0; turn < 7; turn++)
            fake_turn(device);
    }
    device->cuts_chunks = false;
    CHECK(fake_until(device, "CONFIRMED", 2, 2000));
    free(device);
}

static void a_broker_without_chunks_is_waited_for(void) {
    fake_device *device = confirmed_on_1();
    for (size_t i = 0; i < device->message_count; i++)
        if (strstr(device->messages[i].name, "/blob/") != NULL)
            device->messages[i].name[0] = 'x';
    fake_desire(device, "desired/2");
    CHECK(fake_until(device, "FAILED", 1, 6200));
    CHECK(strcmp(info_of(device).reason, "no chunk came within 60 s") == 0);
    for (size_t i = 0; i < device->message_count; i++)
        if (strstr(device->messages[i].name, "/blob/") != NULL)
            device->messages[i].name[0] = 'e';
    CHECK(fake_until(device, "CONFIRMED", 2, 6000));
    free(device);
}

static void messages_that_are_not_signed_change_nothing(void) {
    fake_device *device = confirmed_on_1();
    const message *desired = fake_message(device, "desired/2");
    uint8_t bytes[512];
    for (size_t at = 0; at < desired->size; at++) {
        memcpy(bytes, desired->payload, desired->size);
        bytes[at] ^= 0x10;
        eo_agent_message(&device->agent, "edgeops/v1/plant/device/cam-01/desired", bytes, desired->size);
        CHECK(fake_is(device, "CONFIRMED", 1));
    }
    eo_agent_message(&device->agent, "edgeops/v1/plant/device/cam-02/desired", desired->payload, desired->size);
    eo_agent_message(&device->agent, "edgeops/v1/plant/device/cam-01/desired", desired->payload, desired->size - 1);
    memset(bytes, 0, sizeof bytes);
    for (size_t size = 0; size < 40; size++) {
        eo_agent_message(&device->agent, "edgeops/v1/plant/trust", bytes, size);
        eo_agent_message(&device->agent, "edgeops/v1/plant/device/cam-01/receipt", bytes, size);
    }
    CHECK(fake_is(device, "CONFIRMED", 1));
    fake_desire(device, "desired/1"); /* an older generation than the newest changes nothing either */
    fake_desire(device, "desired/2");
    fake_desire(device, "desired/1");
    CHECK(fake_until(device, "CONFIRMED", 2, 2000));
    free(device);
}

static void a_long_message_is_refused(void) {
    fake_device *device = confirmed_on_1();
    uint8_t part[100] = {0};
    eo_agent_message_begin(&device->agent, "edgeops/v1/plant/device/cam-01/desired", 4000);
    for (int i = 0; i < 40; i++)
        eo_agent_message_part(&device->agent, part, sizeof part);
    fake_desire(device, "desired/2");
    CHECK(fake_until(device, "CONFIRMED", 2, 2000));
    free(device);
}

/* {1: boot, 2: {"tiny": sequence}} */
static void receipt(fake_device *device, uint32_t boot, uint8_t sequence) {
    const uint8_t bytes[] = {0xa2, 1, 0x1a, (uint8_t)(boot >> 24), (uint8_t)(boot >> 16), (uint8_t)(boot >> 8), (uint8_t)boot,
                             2,    0xa1, 0x64, 't', 'i', 'n', 'y', sequence};
    eo_agent_message(&device->agent, "edgeops/v1/plant/device/cam-01/receipt", bytes, sizeof bytes);
}

static void reports_are_kept_until_a_receipt_covers_them(void) {
    fake_device *device = confirmed_on_1();
    const uint32_t boot = info_of(device).boot;
    while (info_of(device).reports_waiting < 5)
        fake_turn(device);
    const uint32_t sent = device->published[EO_TOPIC_REPORT];
    CHECK(sent >= 4);
    receipt(device, boot, 3);
    CHECK(info_of(device).reports_waiting == 2);
    receipt(device, boot + 1, 20); /* of another boot */
    CHECK(info_of(device).reports_waiting == 2);
    CHECK(fake_start(device) == EO_OK); /* what waits survives a restart, and is sent again */
    CHECK(info_of(device).reports_waiting == 2);
    device->published[EO_TOPIC_REPORT] = 0;
    fake_connect(device, true);
    for (int i = 0; i < 8; i++)
        fake_turn(device);
    CHECK(device->published[EO_TOPIC_REPORT] == 2);
    for (int i = 0; i < 20; i++)
        fake_turn(device);
    receipt(device, boot, 20);
    receipt(device, boot + 1, 23);
    CHECK(info_of(device).reports_waiting == 0);
    free(device);
}

static void offline_the_oldest_reports_go_first(void) {
    fake_device *device = confirmed_on_1();
    fake_connect(device, false);
    for (int i = 0; i < 5000; i++)
        fake_turn(device);
    const uint32_t waiting = info_of(device).reports_waiting;
    CHECK(waiting > 20 && waiting < 500);
    device->published[EO_TOPIC_REPORT] = 0;
    fake_connect(device, true);
    for (int i = 0; i < 3000 && device->published[EO_TOPIC_REPORT] < waiting; i++) {
        device->now += 1000; /* batches of 16 a second */
        fake_turn(device);
    }
    CHECK(device->published[EO_TOPIC_REPORT] >= waiting);
    free(device);
}

static void inputs_that_fail_are_counted_and_end_nothing(void) {
    fake_device *device = confirmed_on_1();
    device->bad_inputs = true;
    for (int i = 0; i < 30; i++)
        fake_turn(device);
    device->bad_inputs = false;
    CHECK(fake_until(device, "CONFIRMED", 1, 30));
    fake_desire(device, "desired/2");
    CHECK(fake_until(device, "CONFIRMED", 2, 2000));
    free(device);
}

static void a_busy_network_loses_nothing(void) {
    fake_device *device = confirmed_on_1();
    fake_desire(device, "desired/2");
    for (int i = 0; i < 3000 && !fake_is(device, "CONFIRMED", 2); i++) {
        device->no_room = i % 3 != 0;
        fake_turn(device);
    }
    CHECK(fake_is(device, "CONFIRMED", 2));
    free(device);
}

static void a_flash_that_fails_keeps_the_model_running(void) {
    fake_device *device = confirmed_on_1();
    device->broken = true;
    fake_desire(device, "desired/2");
    const uint32_t counted = info_of(device).inferences;
    for (int i = 0; i < 500; i++)
        fake_turn(device);
    CHECK(info_of(device).running_version == 1);
    CHECK(info_of(device).inferences - counted > 400);
    device->broken = false;
    CHECK(fake_until(device, "CONFIRMED", 2, 5000));
    free(device);
}

static void a_damaged_slot_falls_back_to_the_version_before(void) {
    fake_device *device = confirmed_on_1();
    fake_desire(device, "desired/2");
    CHECK(fake_until(device, "CONFIRMED", 2, 2000));
    /* in both slots lies the same plan: the later one is the second version's */
    uint8_t *flash = (uint8_t *)device->flash, *found = NULL;
    for (uint32_t at = 0; at + 4 < FLASH_BYTES; at += 4)
        if (memcmp(flash + at, "EOPL", 4) == 0)
            found = flash + at;
    CHECK(found != NULL);
    if (found != NULL)
        found[200] ^= 4;
    CHECK(fake_start(device) == EO_OK);
    const uint32_t version = info_of(device).running_version;
    CHECK(version == 1 || version == 2);
    if (version == 2) { /* it was the slot of version 1: then the other one */
        found[200] ^= 4;
        for (uint32_t at = 0; at + 4 < FLASH_BYTES && flash + at < found; at += 4)
            if (memcmp(flash + at, "EOPL", 4) == 0)
                flash[at + 200] ^= 4;
        CHECK(fake_start(device) == EO_OK);
    }
    CHECK(info_of(device).running_version == 1);
    fake_connect(device, true);
    CHECK(fake_until(device, "CONFIRMED", 2, 3000)); /* it is still what is desired: fetched anew */
    free(device);
}

static void memory_and_geometry_are_checked(void) {
    fake_device *device = fake_device_new();
    device->port.flash.bytes = 8u * ERASE_BYTES;
    CHECK(fake_start(device) == EO_TOO_SMALL);
    device->port.flash.bytes = FLASH_BYTES;
    device->port.flash.program_bytes = 12;
    CHECK(fake_start(device) == EO_ARGUMENT);
    device->port.flash.program_bytes = PROGRAM_BYTES;
    device->broken = true;
    CHECK(fake_start(device) == EO_IO);
    free(device);
}

int main(void) {
    a_new_device_takes_its_first_version();
    an_update_runs_beside_the_old_version_until_it_is_tried();
    a_failed_self_test_leaves_the_old_version_in_charge();
    a_trial_with_errors_is_rolled_back();
    going_back_needs_no_download();
    the_application_is_told_what_the_model_says();
    a_restart_goes_on_with_the_confirmed_version_offline();
    two_starts_that_a_trial_did_not_survive_roll_it_back();
    a_stop_on_purpose_is_no_crash();
    a_shadow_run_comes_before_the_trial();
    altered_chunks_end_an_update_and_harm_nothing();
    chunks_altered_in_mid_download_are_fetched_again();
    a_chunk_that_the_link_cut_off_comes_again();
    a_broker_without_chunks_is_waited_for();
    messages_that_are_not_signed_change_nothing();
    a_long_message_is_refused();
    reports_are_kept_until_a_receipt_covers_them();
    offline_the_oldest_reports_go_first();
    inputs_that_fail_are_counted_and_end_nothing();
    a_busy_network_loses_nothing();
    a_flash_that_fails_keeps_the_model_running();
    a_damaged_slot_falls_back_to_the_version_before();
    memory_and_geometry_are_checked();
    return failures == 0 ? 0 : 1;
}
