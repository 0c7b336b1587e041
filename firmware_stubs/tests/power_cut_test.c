/* Power goes away at the n-th flash operation, for every n of a whole update, in every way in which a write or an erase
 * can be torn: after the restart a model runs at once, and the update ends confirmed. */
#include "fake_device.h"

/* From here on power may be gone at any operation; false when it went. */
static bool update(fake_device *device) {
    if (setjmp(device->power) != 0)
        return false;
    fake_desire(device, "desired/again");
    CHECK(fake_until(device, "CONFIRMED", 2, 3000));
    for (int i = 0; i < 25; i++) /* and some reports, one of which turns a sector over now and then */
        fake_turn(device);
    return true;
}

/* The device as it comes up again; the start itself writes, and may be cut off too. */
static bool restart(fake_device *device) {
    if (setjmp(device->power) != 0)
        return false;
    CHECK(fake_start(device) == EO_OK);
    return true;
}

static void check_after_restart(fake_device *device, const uint8_t *first, const uint8_t *second, uint32_t boot) {
    eo_agent_info info;
    eo_agent_get_info(&device->agent, &info);
    CHECK(info.running_version == 1 || info.running_version == 2);
    CHECK(info.has_confirmed);
    CHECK(memcmp(info.confirmed, first, 32) == 0 || memcmp(info.confirmed, second, 32) == 0);
    CHECK(info.boot == boot || info.boot == boot + 1u); /* the number of a start that was cut off is free still */
    const uint32_t before = info.inferences;
    for (int i = 0; i < 3; i++)
        fake_turn(device); /* without a network */
    eo_agent_get_info(&device->agent, &info);
    CHECK(info.inferences > before);
}

int main(void) {
    fake_device *device = fake_device_new();
    static uint8_t snapshot[FLASH_BYTES];
    const uint8_t *first = fake_message(device, "digest/1")->payload;
    const uint8_t *second = fake_message(device, "digest/2")->payload;
    uint32_t cuts = 0;
    /* both slots have been used before, so that there is something to erase */
    device->desired = "desired/1";
    CHECK(restart(device));
    fake_connect(device, true);
    CHECK(fake_until(device, "CONFIRMED", 1, 3000));
    fake_desire(device, "desired/3");
    CHECK(fake_until(device, "REJECTED", 1, 3000));
    fake_desire(device, "desired/back");
    CHECK(fake_until(device, "CONFIRMED", 1, 3000));
    memcpy(snapshot, device->flash, sizeof snapshot);
#ifdef __SANITIZE_ADDRESS__
    const uint32_t stride = 13u; /* the sanitizers are for what is done, not for where power goes away */
#else
    const uint32_t stride = 1u;
#endif
    for (int how = 0; how < TEARS && failures == 0; how++)
        for (uint32_t n = 1;; n += stride) {
            device->how = (tear)how;
            memcpy(device->flash, snapshot, sizeof snapshot);
            device->fails_at = 0;
            device->desired = "desired/back";
            CHECK(restart(device));
            eo_agent_info info;
            eo_agent_get_info(&device->agent, &info);
            uint32_t boot = info.boot;
            fake_connect(device, true);
            device->desired = "desired/again";
            device->operations = 0;
            device->fails_at = n;
            const bool whole = update(device);
            if (!whole) {
                cuts++;
                /* the start after it is cut off as well, at its first operation */
                device->operations = 0;
                device->fails_at = 1;
                if (restart(device)) {
                    eo_agent_get_info(&device->agent, &info);
                    boot = info.boot;
                }
                device->fails_at = 0;
                CHECK(restart(device));
                check_after_restart(device, first, second, boot + 1u);
                fake_connect(device, true);
                CHECK(fake_until(device, "CONFIRMED", 2, 8000));
                eo_agent_get_info(&device->agent, &info);
                CHECK(memcmp(info.confirmed, second, 32) == 0);
            }
            if (failures > 0) {
                printf("at operation %u, torn in way %d\n", (unsigned)n, how);
                break;
            }
            if (whole)
                break;
        }
    printf("%u power cuts\n", (unsigned)cuts);
    CHECK(cuts > 4u * 200u / stride);
    free(device);
    return failures == 0 ? 0 : 1;
}
