#define _POSIX_C_SOURCE 200809L

#include "posix_port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_PENDING 20 /* messages in libmosquitto's memory; more wait in the agent */
#define TRY_AGAIN_MS 1000u
#define KEEPALIVE_S 30

static uint64_t uptime_ms(void *context) {
    struct timespec now;
    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)(now.tv_nsec / 1000000);
}

static eo_status flash_read(void *context, uint32_t at, void *bytes, size_t size) {
    return flash_file_read(&((posix_port *)context)->flash, at, bytes, size);
}

static eo_status flash_program(void *context, uint32_t at, const void *bytes, size_t size) {
    return flash_file_program(&((posix_port *)context)->flash, at, bytes, size);
}

static eo_status flash_erase(void *context, uint32_t at) {
    return flash_file_erase(&((posix_port *)context)->flash, at);
}

static eo_status random_bytes(void *context, void *bytes, size_t size) {
    FILE *source = fopen("/dev/urandom", "rb");
    (void)context;
    if (source == NULL)
        return EO_IO;
    const size_t got = fread(bytes, 1, size, source);
    fclose(source);
    return got == size ? EO_OK : EO_IO;
}

static eo_status publish(void *context, const char *topic, const void *payload, size_t size, int retained) {
    posix_port *posix = context;
    /* What is retained always has room: there is little of it, and without a last word the device seems connected. */
    if (!posix->connected || (posix->pending >= MAX_PENDING && !retained))
        return EO_AGAIN;
    /* Nothing is said before what it rests on is on the disk: a boot number that was told must not come again. */
    if (flash_file_sync(&posix->flash) != EO_OK)
        return EO_AGAIN;
    if (mosquitto_publish(posix->client, NULL, topic, (int)size, payload, 1, retained != 0) != MOSQ_ERR_SUCCESS)
        return EO_AGAIN;
    posix->pending++;
    return EO_OK;
}

static eo_status subscribe(void *context, const char *topic, int subscribed) {
    posix_port *posix = context;
    if (!posix->connected)
        return EO_AGAIN;
    const int done = subscribed ? mosquitto_subscribe(posix->client, NULL, topic, 1)
                                : mosquitto_unsubscribe(posix->client, NULL, topic);
    return done == MOSQ_ERR_SUCCESS ? EO_OK : EO_AGAIN;
}

/* The next values of the file, from its beginning again at its end. */
static eo_status input(void *context, void *values, size_t size) {
    posix_port *posix = context;
    const uint64_t now = uptime_ms(NULL);
    if (posix->inputs == NULL || now < posix->input_at)
        return EO_AGAIN;
    posix->input_at = now + posix->every_ms;
    if (fread(values, 1, size, posix->inputs) == size)
        return EO_OK;
    rewind(posix->inputs);
    if (fread(values, 1, size, posix->inputs) == size)
        return EO_OK;
    if (!posix->input_failed)
        fprintf(stderr, "--inputs: cannot be read, or holds less than one input of %zu bytes\n", size);
    posix->input_failed = true;
    return EO_IO;
}

static void log_line(void *context, const char *line) {
    (void)context;
    printf("%s\n", line);
    fflush(stdout);
}

static void reset(void *context) {
    (void)context;
    _exit(75); /* whoever supervises it starts it again */
}

void posix_port_begin(posix_port *posix, eo_agent *agent) {
    posix->agent = agent;
    posix->port = (eo_port){
        .context = posix,
        .flash = {posix->flash.base, posix->flash.bytes, posix->flash.erase_bytes, 8},
        .flash_read = flash_read,
        .flash_program = flash_program,
        .flash_erase = flash_erase,
        .uptime_ms = uptime_ms,
        .random = random_bytes,
        .publish = publish,
        .subscribe = subscribe,
        .input = input,
        .log = log_line,
        .reset = reset,
    };
}

void posix_port_say(const posix_port *posix, const char *doing) {
    const enrolment *enrolled = posix->enrolled;
    const char *model = enrolled->model[0] != '\0' ? enrolled->model : "model";
    eo_agent_info info;
    eo_agent_get_info(posix->agent, &info);
    printf("%s of fleet %s: %s; ", enrolled->device, enrolled->fleet, doing);
    if (info.running_version == 0)
        printf("no model yet\n");
    else
        printf("%s %lu %s\n", model, (unsigned long)info.running_version, info.trial ? "on trial" : "confirmed");
    fflush(stdout);
}

static void say_offline(posix_port *posix, const char *why) {
    if (posix->told_offline)
        return;
    posix->told_offline = true;
    fprintf(stderr, "offline: %s:%d: %s; trying again every %u s\n", posix->enrolled->host, posix->enrolled->port, why,
            TRY_AGAIN_MS / 1000u);
}

static void on_connect(struct mosquitto *client, void *context, int code) {
    posix_port *posix = context;
    (void)client;
    posix->connected = code == 0;
    posix->pending = 0;
    if (code != 0) {
        say_offline(posix, mosquitto_connack_string(code));
        return;
    }
    char doing[240];
    snprintf(doing, sizeof doing, "connected to %s:%d", posix->enrolled->host, posix->enrolled->port);
    posix_port_say(posix, doing);
    posix->told_offline = false;
    eo_agent_connected(posix->agent, 1);
}

static void on_disconnect(struct mosquitto *client, void *context, int code) {
    posix_port *posix = context;
    (void)client;
    if (code != 0) /* not because this agent stops */
        say_offline(posix, "the connection has ended");
    posix->connected = false;
    eo_agent_connected(posix->agent, 0);
}

static void on_publish(struct mosquitto *client, void *context, int number) {
    posix_port *posix = context;
    (void)client;
    (void)number;
    if (posix->pending > 0)
        posix->pending--;
}

static void on_message(struct mosquitto *client, void *context, const struct mosquitto_message *message) {
    posix_port *posix = context;
    (void)client;
    if (message->payloadlen >= 0)
        eo_agent_message(posix->agent, message->topic, message->payload, (size_t)message->payloadlen);
}

int posix_port_open_network(posix_port *posix) {
    const enrolment *const enrolled = posix->enrolled;
    char id[200], topic[EO_TOPIC_BYTES];
    uint8_t will[EO_PRESENCE_BYTES];
    size_t size;
    mosquitto_lib_init();
    if (eo_agent_client_id(posix->agent, id, sizeof id) != EO_OK ||
        eo_agent_will(posix->agent, topic, sizeof topic, will, &size) != EO_OK)
        return -1;
    posix->client = mosquitto_new(id, true, posix);
    if (posix->client == NULL ||
        mosquitto_will_set(posix->client, topic, (int)size, will, 1, true) != MOSQ_ERR_SUCCESS ||
        (enrolled->user[0] != '\0' &&
         mosquitto_username_pw_set(posix->client, enrolled->user, enrolled->password) != MOSQ_ERR_SUCCESS)) {
        fprintf(stderr, "Error: the MQTT client cannot be made\n");
        return -1;
    }
    mosquitto_connect_callback_set(posix->client, on_connect);
    mosquitto_disconnect_callback_set(posix->client, on_disconnect);
    mosquitto_publish_callback_set(posix->client, on_publish);
    mosquitto_message_callback_set(posix->client, on_message);
    const int status = mosquitto_connect(posix->client, enrolled->host, enrolled->port, KEEPALIVE_S);
    if (status != MOSQ_ERR_SUCCESS)
        say_offline(posix, status == MOSQ_ERR_ERRNO ? strerror(errno) : mosquitto_strerror(status));
    return 0;
}

void posix_port_network(posix_port *posix, uint32_t milliseconds) {
    const int status = mosquitto_loop(posix->client, (int)milliseconds, 1);
    if (status == MOSQ_ERR_SUCCESS)
        return;
    const uint64_t now = uptime_ms(NULL);
    if (now >= posix->try_at) {
        posix->try_at = now + TRY_AGAIN_MS;
        (void)mosquitto_reconnect(posix->client);
    } else {
        const struct timespec pause = {0, (long)(milliseconds < 50 ? milliseconds : 50) * 1000000L};
        nanosleep(&pause, NULL);
    }
}

void posix_port_close_network(posix_port *posix) {
    const uint64_t end = uptime_ms(NULL) + 1000u;
    while (posix->connected && posix->pending > 0 && uptime_ms(NULL) < end)
        posix_port_network(posix, 20);
    (void)mosquitto_disconnect(posix->client);
    (void)mosquitto_loop(posix->client, 20, 1);
    mosquitto_destroy(posix->client);
    mosquitto_lib_cleanup();
}
