/* A device whose broker is its enemy: messages of any length, in pieces of any size, cut off anywhere, on any topic
 * that it asked for or did not, chunks altered, the link and the power going away. Whatever comes: the flash is written as
 * flash has to be, a version that was not signed never runs, and with an honest broker the update ends well. */
#include "../fake_device.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All of one input; false when power went away in between. */
static bool suffer(fake_device *device, const uint8_t **data, size_t *size) {
    if (setjmp(device->power) != 0)
        return false;
    while (*size >= 4) {
        const uint8_t what = (*data)[0];
        uint8_t bytes[2048];
        const message *one = &device->messages[(*data)[1] % device->message_count];
        const uint8_t at = (*data)[2], how = (*data)[3];
        *data += 4;
        *size -= 4;
        size_t length = one->size < sizeof bytes ? one->size : sizeof bytes;
        memcpy(bytes, one->payload, length);
        switch (what % 8u) {
        case 0: /* altered at one place */
            bytes[at * length / 256u] ^= how;
            break;
        case 1: /* of another length */
            length = length * at / 256u;
            break;
        case 2: /* anything at all */
            length = *size < how ? *size : how;
            memcpy(bytes, *data, length);
            *data += length;
            *size -= length;
            break;
        case 3: { /* announced, and not sent whole */
            eo_agent_message_begin(&device->agent, fake_topic(device, one), length);
            eo_agent_message_part(&device->agent, bytes, length * at / 256u);
            if (how & 1)
                fake_connect(device, false);
            if (how & 2)
                fake_connect(device, true);
            continue;
        }
        case 4:
            for (int i = 0; i < at; i++)
                fake_turn(device);
            continue;
        case 5:
            device->alters_chunks = (how & 1) != 0;
            device->no_room = (how & 2) != 0;
            device->now += how & 4 ? 61000u : 0;
            continue;
        case 6:
            device->how = (tear)(how % TEARS);
            device->operations = 0;
            device->fails_at = at + 1u;
            continue;
        default:
            break;
        }
        eo_agent_message_begin(&device->agent, fake_topic(device, one), length);
        for (size_t from = 0; from < length; from += how % 64u + 1u)
            eo_agent_message_part(&device->agent, bytes + from,
                                  length - from < how % 64u + 1u ? length - from : how % 64u + 1u);
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static fake_device *fresh;
    fake_device *device = fake_device_new();
    if (fresh == NULL) {
        fresh = fake_device_new();
        fresh->desired = "desired/1";
        if (fake_start(fresh) != EO_OK)
            abort();
        fake_connect(fresh, true);
        if (!fake_until(fresh, "CONFIRMED", 1, 3000))
            abort();
    }
    memcpy(device->flash, fresh->flash, sizeof device->flash);
    device->desired = "desired/1";
    if (fake_start(device) != EO_OK)
        abort();
    fake_connect(device, true);
    fake_desire(device, "desired/2");
    const uint8_t *at = data;
    size_t left = size;
    while (!suffer(device, &at, &left)) {
        device->fails_at = 0;
        if (fake_start(device) != EO_OK)
            abort();
        fake_connect(device, true);
    }
    device->alters_chunks = device->no_room = false;
    device->fails_at = 0;
    eo_agent_info info;
    eo_agent_get_info(&device->agent, &info);
    if (info.running_version != 1 && info.running_version != 2)
        abort();
    /* From here on the broker is honest: the newest desired state is taken, whichever the input had brought. */
    fake_connect(device, false);
    fake_connect(device, true);
    fake_desire(device, "desired/again");
    for (int i = 0; i < 20000 && !fake_is(device, "CONFIRMED", 2) && !fake_is(device, "ROLLED_BACK", 0); i++) {
        device->now += 1000; /* also where it had put the version aside for a while */
        fake_turn(device);
    }
    if (!fake_is(device, "CONFIRMED", 2) && !fake_is(device, "ROLLED_BACK", 0)) /* trials that power cut off twice */
        abort();
    if (failures > 0)
        abort();
    free(device);
    return 0;
}
