/* A device on a bench, for tests: flash that fails when it is told to, a broker that holds the messages of
 * tests/vectors/update, inputs that never end, and a clock that goes when it is asked. */
#ifndef EDGEOPS_TESTS_FAKE_DEVICE_H
#define EDGEOPS_TESTS_FAKE_DEVICE_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edgeops/agent.h"
#include "check.h"

#define FLASH_BYTES 53248u
#define ERASE_BYTES 1024u
#define PROGRAM_BYTES 8u
#define MAX_MESSAGES 64
#define MAX_TOPICS 32
#define VECTORS "../tests/vectors/update/messages.bin"

typedef enum tear { TEAR_NOTHING_DONE, TEAR_HALF_DONE, TEAR_OTHER_HALF_DONE, TEAR_ALL_DONE, TEARS } tear;

typedef struct message {
    char name[160];
    const uint8_t *payload;
    size_t size;
} message;

typedef struct fake_device {
    eo_port port;
    eo_agent agent;
    eo_plan_infer infer;
    uint64_t arena[1024];
    uint64_t scratch[1024];
    uint64_t flash[FLASH_BYTES / 8];
    /* what the flash does */
    uint32_t operations;
    uint32_t fails_at; /* the operation at which power goes away; 0: never */
    tear how;
    jmp_buf power;
    bool broken; /* every write fails, and power stays */
    uint32_t weak_at; /* the operation that fails while power stays; 0: none */
    uint32_t erase_ms;
    uint8_t random;
    /* the network */
    message messages[MAX_MESSAGES];
    size_t message_count;
    char topics[MAX_TOPICS][160];
    size_t topic_count;
    int waiting[MAX_TOPICS]; /* messages to be delivered */
    size_t waiting_count;
    bool alters_chunks; /* an open broker: what comes is not what was published */
    bool cuts_chunks;   /* the link goes away in the middle of the next chunk */
    bool no_room;       /* publish and subscribe answer EO_AGAIN */
    const char *desired;
    uint32_t published[EO_TOPIC_BLOB + 1];
    uint8_t last[EO_TOPIC_BLOB + 1][2560];
    size_t last_size[EO_TOPIC_BLOB + 1];
    /* the world */
    const char *model; /* that it is told to serve */
    uint64_t now;
    uint32_t inputs;
    bool has_input;
    bool verbose;
    bool bad_inputs;
    uint32_t predictions;
    uint32_t predicted_version; /* of the last one */
    bool labels_fit;            /* each prediction's label was that of its highest score */
} fake_device;

/* Not every test uses all of it. */
#define BENCH static __attribute__((unused))

static eo_status fake_read(void *context, uint32_t at, void *bytes, size_t size) {
    const fake_device *device = context;
    if (at > FLASH_BYTES || size > FLASH_BYTES - at) {
        printf("read outside of the flash: %u + %u\n", (unsigned)at, (unsigned)size);
        abort();
    }
    memcpy(bytes, (const uint8_t *)device->flash + at, size);
    return EO_OK;
}

/* Changes what an operation changes, as far as it comes. */
static eo_status change(fake_device *device, uint32_t at, const uint8_t *bytes, uint32_t size) {
    uint8_t *flash = (uint8_t *)device->flash + at;
    uint32_t first = 0, end = size;
    const bool fails = ++device->operations == device->fails_at;
    if (device->broken || device->operations == device->weak_at)
        return EO_IO;
    if (fails) {
        first = device->how == TEAR_OTHER_HALF_DONE ? size / 2u : 0;
        end = device->how == TEAR_NOTHING_DONE ? 0 : device->how == TEAR_HALF_DONE ? size / 2u : size;
    }
    for (uint32_t i = first; i < end; i++)
        flash[i] = bytes == NULL ? 0xFFu : bytes[i];
    if (fails)
        longjmp(device->power, 1);
    return EO_OK;
}

static eo_status fake_program(void *context, uint32_t at, const void *bytes, size_t size) {
    fake_device *device = context;
    if (at % PROGRAM_BYTES != 0 || size % PROGRAM_BYTES != 0 || at > FLASH_BYTES || size > FLASH_BYTES - at) {
        printf("a write that is no unit: %u + %u\n", (unsigned)at, (unsigned)size);
        abort();
    }
    for (size_t i = 0; i < size; i++)
        if (((uint8_t *)device->flash)[at + i] != 0xFFu) {
            printf("a unit is written twice: %u\n", (unsigned)at);
            abort();
        }
    return change(device, at, bytes, (uint32_t)size);
}

static eo_status fake_erase(void *context, uint32_t at) {
    if (at % ERASE_BYTES != 0 || at >= FLASH_BYTES) {
        printf("an erase that is no block: %u\n", (unsigned)at);
        abort();
    }
    ((fake_device *)context)->now += ((fake_device *)context)->erase_ms;
    return change(context, at, NULL, ERASE_BYTES);
}

static uint64_t fake_uptime(void *context) {
    return ((fake_device *)context)->now;
}

static eo_status fake_random(void *context, void *bytes, size_t size) {
    memset(bytes, ((fake_device *)context)->random, size);
    return EO_OK;
}

static eo_status fake_publish(void *context, const char *topic, const void *payload, size_t size, int retained) {
    fake_device *device = context;
    eo_topic parsed;
    if (device->no_room)
        return EO_AGAIN;
    if (eo_topic_parse(&parsed, topic, strlen(topic), "plant", "cam-01") != EO_OK) {
        printf("published to %s\n", topic);
        abort();
    }
    const int kept = parsed.kind == EO_TOPIC_PRESENCE || parsed.kind == EO_TOPIC_STATE;
    CHECK(kept == retained);
    device->published[parsed.kind]++;
    memcpy(device->last[parsed.kind], payload, size);
    device->last_size[parsed.kind] = size;
    return EO_OK;
}

static eo_status fake_subscribe(void *context, const char *topic, int subscribed) {
    fake_device *device = context;
    if (device->no_room)
        return EO_AGAIN;
    for (size_t i = 0; i < device->topic_count; i++)
        if (strcmp(device->topics[i], topic) == 0) {
            CHECK(!subscribed); /* never twice */
            memmove(device->topics[i], device->topics[i + 1], (device->topic_count - i - 1) * sizeof device->topics[0]);
            device->topic_count--;
            return EO_OK;
        }
    CHECK(subscribed);
    CHECK(device->topic_count < 3u + EO_CHUNKS_IN_FLIGHT);
    if (!subscribed || device->topic_count == MAX_TOPICS)
        return EO_OK;
    strcpy(device->topics[device->topic_count++], topic);
    const char *last = strrchr(topic, '/') + 1;
    for (size_t i = 0; i < device->message_count; i++) {
        const char *name = device->messages[i].name;
        if (strcmp(name, topic) == 0 || (strcmp(last, "trust") == 0 && strcmp(name, "trust") == 0) ||
            (strcmp(last, "desired") == 0 && device->desired != NULL && strcmp(name, device->desired) == 0))
            device->waiting[device->waiting_count++] = (int)i;
    }
    return EO_OK;
}

static eo_status fake_input(void *context, void *values, size_t size) {
    fake_device *device = context;
    uint8_t *to = values;
    if (!device->has_input)
        return EO_AGAIN;
    device->has_input = false;
    device->inputs++;
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)((device->inputs * 7u + i * 5u) % 17u);
    return device->bad_inputs ? EO_IO : EO_OK;
}

static void fake_log(void *context, const char *line) {
    if (((const fake_device *)context)->verbose)
        printf("    %s\n", line);
}

BENCH const message *fake_message(const fake_device *device, const char *name) {
    for (size_t i = 0; i < device->message_count; i++)
        if (strcmp(device->messages[i].name, name) == 0)
            return &device->messages[i];
    printf("there is no message %s\n", name);
    exit(2);
}

/* A new device with an empty flash. */
BENCH fake_device *fake_device_new(void) {
    fake_device *device = calloc(1, sizeof *device);
    static uint8_t *file;
    static size_t size;
    if (file == NULL) {
        FILE *from = fopen(getenv("EDGEOPS_UPDATE_VECTORS") != NULL ? getenv("EDGEOPS_UPDATE_VECTORS") : VECTORS, "rb");
        file = malloc(1u << 20);
        if (from == NULL || file == NULL) {
            printf("%s: not found; run this from the folder firmware_stubs\n", VECTORS);
            exit(2);
        }
        size = fread(file, 1, 1u << 20, from);
        fclose(from);
    }
    for (size_t at = 0; at + 8 <= size;) {
        uint32_t sizes[2];
        memcpy(sizes, file + at, sizeof sizes);
        message *one = &device->messages[device->message_count++];
        memcpy(one->name, file + at + 8, sizes[0]);
        one->payload = file + at + 8 + sizes[0];
        one->size = sizes[1];
        at += 8 + sizes[0] + sizes[1];
    }
    memset(device->flash, 0xFF, sizeof device->flash);
    device->random = 7;
    device->port = (eo_port){
        .context = device,
        .flash = {(const uint8_t *)device->flash, FLASH_BYTES, ERASE_BYTES, PROGRAM_BYTES},
        .flash_read = fake_read,
        .flash_program = fake_program,
        .flash_erase = fake_erase,
        .uptime_ms = fake_uptime,
        .random = fake_random,
        .publish = fake_publish,
        .subscribe = fake_subscribe,
        .input = fake_input,
        .log = fake_log,
    };
    return device;
}

/* The application, which is told what the model says. */
BENCH void fake_predicted(void *application, const eo_agent_prediction *prediction) {
    fake_device *device = (fake_device *)application;
    static const char *const labels[] = {"zero", "one", "two", "three", "four"}; /* of the tiny model */
    size_t best = 0;
    for (size_t i = 1; i < prediction->count; i++)
        best = prediction->scores[i] > prediction->scores[best] ? i : best;
    device->labels_fit = (device->predictions == 0 || device->labels_fit) && best == prediction->predicted &&
                         best < 5 && prediction->label.size == strlen(labels[best]) &&
                         memcmp(prediction->label.bytes, labels[best], prediction->label.size) == 0;
    device->predictions++;
    device->predicted_version = prediction->version;
}

BENCH eo_status fake_start(fake_device *device) {
    const message *trust = fake_message(device, "trust");
    const eo_agent_config config = {
        .port = &device->port,
        .fleet = "plant",
        .device = "cam-01",
        .target = "cortex-m3",
        .model = device->model,
        .trust = trust->payload,
        .trust_bytes = trust->size,
        .infer = &eo_plan_runtime,
        .infer_context = &device->infer,
        .arena = device->arena,
        .arena_bytes = sizeof device->arena,
        .scratch = device->scratch,
        .scratch_bytes = sizeof device->scratch,
        .sample_type = EO_SAMPLE_UINT8,
        .predicted = fake_predicted,
        .application = device,
    };
    memset(&device->agent, 0xA5, sizeof device->agent); /* RAM after a power cut holds anything */
    device->topic_count = device->waiting_count = 0;
    return eo_agent_start(&device->agent, &config);
}

BENCH void fake_connect(fake_device *device, bool online) {
    device->topic_count = device->waiting_count = 0; /* a clean session */
    eo_agent_connected(&device->agent, online);
}

BENCH void fake_deliver(fake_device *device, const message *one, const char *topic) {
    uint8_t bytes[8192];
    memcpy(bytes, one->payload, one->size);
    if (device->alters_chunks && strstr(topic, "/blob/") != NULL)
        bytes[one->size / 2] ^= 1;
    eo_agent_message_begin(&device->agent, topic, one->size);
    for (size_t at = 0; at < one->size; at += 100) {
        if (device->cuts_chunks && at >= 200 && strstr(topic, "/blob/") != NULL) {
            device->cuts_chunks = false;
            fake_connect(device, false);
            fake_connect(device, true);
            return;
        }
        eo_agent_message_part(&device->agent, bytes + at, one->size - at < 100 ? one->size - at : 100);
    }
}

BENCH const char *fake_topic(const fake_device *device, const message *one) {
    (void)device;
    return strcmp(one->name, "trust") == 0             ? "edgeops/v1/plant/trust"
           : strncmp(one->name, "desired/", 8) == 0 ? "edgeops/v1/plant/device/cam-01/desired"
                                                      : one->name;
}

/* What the control side publishes while the device is connected. */
BENCH void fake_desire(fake_device *device, const char *name) {
    device->desired = name;
    const message *one = fake_message(device, name);
    fake_deliver(device, one, fake_topic(device, one));
}

/* One turn: a poll, one message, some time, an input. */
BENCH void fake_turn(fake_device *device) {
    device->has_input = true;
    (void)eo_agent_poll(&device->agent);
    if (device->waiting_count > 0) {
        const message *one = &device->messages[device->waiting[0]];
        device->waiting_count--;
        memmove(device->waiting, device->waiting + 1, device->waiting_count * sizeof device->waiting[0]);
        fake_deliver(device, one, fake_topic(device, one));
    }
    device->now += 10;
}

BENCH bool fake_is(const fake_device *device, const char *lifecycle, uint32_t version) {
    eo_agent_info info;
    eo_agent_get_info(&device->agent, &info);
    return strcmp(info.lifecycle, lifecycle) == 0 && (version == 0 || info.running_version == version);
}

/* Turns until a state is reached; false where it is not within `turns`. */
BENCH bool fake_until(fake_device *device, const char *lifecycle, uint32_t version, int turns) {
    while (turns-- > 0) {
        if (fake_is(device, lifecycle, version))
            return true;
        fake_turn(device);
    }
    return fake_is(device, lifecycle, version);
}

#endif
