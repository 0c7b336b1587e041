/* Image: the network and the MQTT client against a real broker, see tests/firmware/test_board_network.py.
 *
 * Subscribes to smoke/in and answers each message with its length and a checksum at smoke/out, retained; a message at
 * smoke/stop ends it with code 0. Command line: broker=<a.b.c.d>:<port> id=<client id>. */
#include <string.h>

#include "arguments.h"
#include "board.h"
#include "clock.h"
#include "mqtt_link.h"
#include "net.h"
#include "semihosting.h"

#define PADDING 1200u /* as long as an agent's longest publication */

static mqtt_link link;
static uint32_t total, got, checksum;
static uint8_t stopped, answer_due, connections, subscriptions_due;

static void on_connected(void *context, int online)
{
    (void)context;
    semihosting_report("online", (uint64_t)online);
    if (online) {
        connections++;
        subscriptions_due = 2;
    }
}

static void on_begin(void *context, const char *topic, size_t bytes)
{
    (void)context;
    stopped = strcmp(topic, "smoke/stop") == 0;
    total = (uint32_t)bytes;
    got = 0;
    checksum = 0;
    answer_due = !stopped && bytes == 0;
}

static void on_part(void *context, const uint8_t *bytes, size_t size)
{
    (void)context;
    for (size_t i = 0; i < size; i++) {
        checksum = checksum * 31u + bytes[i];
    }
    got += (uint32_t)size;
    answer_due = !stopped && got == total;
}

static void publish_answer(void)
{
    uint8_t answer[9 + PADDING] = {0};
    const uint32_t values[2] = {total, checksum};
    memcpy(answer, values, sizeof(values));
    answer[8] = connections;
    if (mqtt_publish(&link.client, "smoke/out", answer, sizeof(answer), 1) == EO_OK) {
        answer_due = 0;
    }
}

int board_main(void)
{
    static const uint8_t will[3] = {1, 0, 2}; /* a zero inside */
    static char id[40];
    static mqtt_link_config config = {
        .client_id = id,
        .will_topic = "smoke/will",
        .will = will,
        .will_bytes = sizeof(will),
        .connected = on_connected,
        .begin = on_begin,
        .part = on_part,
    };
    clock_start();
    if (argument_address("broker", config.address, &config.port) != 0 ||
        semihosting_argument("id", id, sizeof(id)) != 0) {
        semihosting_text("failed=broker= or id=\n");
        return 1;
    }
    if (net_start(semihosting_clock()) != 0) {
        semihosting_text("failed=no network chip\n");
        return 1;
    }
    mqtt_link_start(&link, &config);
    while (!stopped) {
        mqtt_link_poll(&link);
        if (subscriptions_due != 0 &&
            mqtt_subscribe(&link.client, subscriptions_due == 2 ? "smoke/in" : "smoke/stop", 1) == EO_OK) {
            subscriptions_due--;
        }
        if (answer_due) {
            publish_answer();
        }
        net_sleep();
    }
    mqtt_link_poll(&link); /* acknowledges it */
    mqtt_link_stop(&link);
    semihosting_report("stack_bytes", board_stack_bytes());
    return 0;
}
