/* The MQTT client against a scripted broker: pieces of every size, what must survive a lost connection, and bytes that
 * no broker should send. */
#include "../port/mps2/mqtt.c"

#include <stdio.h>
#include <stdlib.h>

static uint8_t wire[65536]; /* what the client wrote */
static size_t wire_bytes, wire_room;
static char heard_topic[MQTT_TOPIC_BYTES];
static uint8_t heard[8192];
static size_t heard_bytes, heard_total, begun;
static int failures;

static void check_that(int right, const char *what, int line)
{
    if (!right) {
        printf("mqtt_test.c:%d: %s\n", line, what);
        failures++;
    }
}
#define CHECK(condition) check_that(condition, #condition, __LINE__)

static size_t test_room(void *context)
{
    (void)context;
    return wire_room - wire_bytes;
}

static eo_status test_write(void *context, const void *bytes, size_t size)
{
    (void)context;
    memcpy(wire + wire_bytes, bytes, size);
    wire_bytes += size;
    return EO_OK;
}

static void test_accepted(void *context)
{
    ++*(int *)context;
}

static void test_begin(void *context, const char *topic, size_t total)
{
    (void)context;
    begun++;
    heard_bytes = 0;
    heard_total = total;
    snprintf(heard_topic, sizeof heard_topic, "%s", topic);
}

static void test_part(void *context, const uint8_t *bytes, size_t size)
{
    (void)context;
    CHECK(heard_bytes + size <= heard_total);
    if (heard_bytes + size <= sizeof heard) {
        memcpy(heard + heard_bytes, bytes, size);
    }
    heard_bytes += size;
}

static int accepted_count;
static const uint8_t will[3] = {1, 0, 2};
static const mqtt_config config = {
    .client_id = "me",
    .will_topic = "gone",
    .will = will,
    .will_bytes = sizeof will,
    .keep_alive_s = 30,
    .context = &accepted_count,
    .room = test_room,
    .write = test_write,
    .accepted = test_accepted,
    .begin = test_begin,
    .part = test_part,
};
#define CONNECT_SIZE 27
static const uint8_t connack[4] = {0x20, 2, 0, 0};

static void connected(mqtt_client *client)
{
    wire_bytes = 0;
    wire_room = sizeof wire;
    CHECK(mqtt_opened(client, 0) == EO_OK);
    CHECK(mqtt_received(client, connack, sizeof connack, 0) == EO_OK);
    CHECK(mqtt_is_accepted(client));
}

static void says_connect_with_a_will_that_has_a_zero_inside(void)
{
    static const uint8_t expected[] = {0x10, 25,  0,   4,   'M', 'Q', 'T', 'T', 4, 0x2E, 0, 30, 0, 2,
                                       'm',  'e', 0,   4,   'g', 'o', 'n', 'e', 0, 3,    1, 0,  2};
    mqtt_client client;
    mqtt_init(&client, &config);
    accepted_count = 0;
    connected(&client);
    CHECK(wire_bytes == sizeof expected && memcmp(wire, expected, sizeof expected) == 0);
    CHECK(accepted_count == 1);
}

/* A PUBLISH of `size` bytes with QoS 1; answers its length. */
static size_t publication(uint8_t *to, const char *topic, size_t size, unsigned id)
{
    const size_t topic_bytes = strlen(topic);
    size_t left = 2 + topic_bytes + 2 + size;
    size_t at = 0;
    to[at++] = 0x32;
    do {
        to[at++] = (uint8_t)((left & 0x7F) | (left > 0x7F ? 0x80 : 0));
        left >>= 7;
    } while (left != 0);
    to[at++] = (uint8_t)(topic_bytes >> 8);
    to[at++] = (uint8_t)topic_bytes;
    memcpy(to + at, topic, topic_bytes);
    at += topic_bytes;
    to[at++] = (uint8_t)(id >> 8);
    to[at++] = (uint8_t)id;
    for (size_t i = 0; i < size; i++) {
        to[at++] = (uint8_t)(i * i % 251);
    }
    return at;
}

static void takes_messages_in_pieces_of_any_size(void)
{
    static uint8_t stream[16384];
    static const size_t sizes[] = {0, 1, 127, 4096};
    static const size_t pieces[] = {1, 2, 3, 127, 128, 129, 1460, sizeof stream};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const size_t once = publication(stream, "a/topic", sizes[s], 258);
        const size_t both = once + publication(stream + once, "a/topic", sizes[s], 259);
        for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
            mqtt_client client;
            mqtt_init(&client, &config);
            connected(&client);
            wire_bytes = 0;
            begun = 0;
            for (size_t at = 0; at < both; at += pieces[p]) {
                const size_t size = both - at < pieces[p] ? both - at : pieces[p];
                CHECK(mqtt_received(&client, stream + at, size, 0) == EO_OK);
            }
            static const uint8_t acks[8] = {0x40, 2, 1, 2, 0x40, 2, 1, 3};
            CHECK(begun == 2 && strcmp(heard_topic, "a/topic") == 0);
            CHECK(heard_total == sizes[s] && heard_bytes == sizes[s]);
            CHECK(memcmp(heard, stream + once - sizes[s], sizes[s]) == 0);
            CHECK(wire_bytes == sizeof acks && memcmp(wire, acks, sizeof acks) == 0);
        }
    }
}

static void skips_and_acknowledges_what_has_a_topic_too_long(void)
{
    static uint8_t stream[1024];
    char topic[MQTT_TOPIC_BYTES + 1];
    memset(topic, 't', sizeof topic - 1);
    topic[sizeof topic - 1] = 0;
    mqtt_client client;
    mqtt_init(&client, &config);
    connected(&client);
    wire_bytes = 0;
    begun = 0;
    CHECK(mqtt_received(&client, stream, publication(stream, topic, 9, 7), 0) == EO_OK);
    CHECK(begun == 0 && wire_bytes == 4 && wire[0] == 0x40);
    CHECK(mqtt_received(&client, stream, publication(stream, topic + 1, 9, 8), 0) == EO_OK);
    CHECK(begun == 1 && heard_bytes == 9);
}

/* A broker that has more in flight than the client keeps acknowledgements. */
static void acknowledges_many_messages_that_come_at_once(void)
{
    enum { MESSAGES = 3 * MQTT_ACKS };
    static uint8_t stream[MESSAGES * 16];
    size_t bytes = 0;
    for (unsigned id = 1; id <= MESSAGES; id++) {
        bytes += publication(stream + bytes, "a", 1, id);
    }
    mqtt_client client;
    mqtt_init(&client, &config);
    connected(&client);
    wire_bytes = 0;
    begun = 0;
    CHECK(mqtt_received(&client, stream, bytes, 0) == EO_OK);
    CHECK(begun == MESSAGES && wire_bytes == MESSAGES * 4u && wire[MESSAGES * 4u - 1] == MESSAGES);
    wire_room = wire_bytes; /* a stream that takes nothing: then there is an end to it */
    CHECK(mqtt_received(&client, stream, bytes, 0) == EO_IO);
}

static void sends_again_what_was_not_acknowledged_when_the_connection_ended(void)
{
    static const uint8_t puback[4] = {0x40, 2, 0, 1};
    static uint8_t first[64];
    mqtt_client client;
    mqtt_init(&client, &config);
    CHECK(mqtt_publish(&client, "x", "one", 3, 0) == EO_AGAIN);
    connected(&client);
    wire_bytes = 0;
    CHECK(mqtt_publish(&client, "x", "one", 3, 0) == EO_OK);
    CHECK(mqtt_publish(&client, "x", "two", 3, 1) == EO_OK);
    CHECK(mqtt_subscribe(&client, "s", 1) == EO_OK);
    CHECK(mqtt_poll(&client, 0) == EO_OK);
    const size_t packet_bytes = 2 + 2 + 1 + 2 + 3;
    CHECK(wire_bytes == 2 * packet_bytes + 2 + 2 + 2 + 1 + 1);
    memcpy(first, wire, 2 * packet_bytes);
    CHECK(mqtt_received(&client, puback, sizeof puback, 0) == EO_OK);
    mqtt_closed(&client);
    connected(&client);
    first[packet_bytes] |= 0x08; /* it may be the second time; the subscription is the agent's to repeat */
    CHECK(wire_bytes == CONNECT_SIZE + packet_bytes);
    CHECK(memcmp(wire + CONNECT_SIZE, first + packet_bytes, packet_bytes) == 0);
    CHECK(!mqtt_is_idle(&client));
    static const uint8_t second[4] = {0x40, 2, 0, 2};
    CHECK(mqtt_received(&client, second, sizeof second, 0) == EO_OK);
    CHECK(mqtt_is_idle(&client));
}

static void says_again_when_the_outbox_is_full_and_can_still_connect(void)
{
    static uint8_t payload[1200];
    mqtt_client client;
    mqtt_init(&client, &config);
    connected(&client);
    wire_room = wire_bytes; /* the stream takes nothing */
    size_t taken = 0;
    while (mqtt_publish(&client, "x", payload, sizeof payload, 0) == EO_OK) {
        taken++;
    }
    CHECK(taken == (MQTT_OUTBOX_BYTES - 512) / (sizeof payload + 8));
    CHECK(mqtt_publish(&client, "x", payload, MQTT_OUTBOX_BYTES, 0) == EO_TOO_SMALL);
    mqtt_closed(&client);
    connected(&client);
}

static void pings_and_gives_a_silent_broker_up(void)
{
    mqtt_client client;
    mqtt_init(&client, &config);
    connected(&client);
    wire_bytes = 0;
    CHECK(mqtt_poll(&client, 29999) == EO_OK && wire_bytes == 0);
    CHECK(mqtt_poll(&client, 30000) == EO_OK && wire_bytes == 2 && wire[0] == 0xC0);
    CHECK(mqtt_poll(&client, 45000) == EO_OK && wire_bytes == 2);
    CHECK(mqtt_poll(&client, 45001) == EO_IO);
}

static void refuses_what_no_broker_says(void)
{
    static const uint8_t wrong[][8] = {
        {0x20, 2, 0, 5},                /* a second CONNACK, and a refusal */
        {0x36, 7, 0, 1, 'x', 0, 1},     /* QoS 3 */
        {0x34, 7, 0, 1, 'x', 0, 1},     /* QoS 2 was not asked for */
        {0x32, 4, 0, 9, 'x', 0},        /* shorter than its topic */
        {0x32, 0},                      /* no topic at all */
        {0x40, 1, 0},                   /* an acknowledgement of half a number */
        {0x10, 0},                      /* only clients say CONNECT */
        {0x30, 0xFF, 0xFF, 0xFF, 0xFF}, /* a length without an end */
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        mqtt_client client;
        mqtt_init(&client, &config);
        connected(&client);
        CHECK(mqtt_received(&client, wrong[i], sizeof wrong[i], 0) != EO_OK);
    }
}

static void survives_any_bytes(void)
{
    static uint8_t bytes[512];
    srand(6);
    for (int round = 0; round < 20000; round++) {
        mqtt_client client;
        mqtt_init(&client, &config);
        connected(&client);
        (void)mqtt_publish(&client, "x", "one", 3, 0);
        (void)mqtt_poll(&client, 0);
        const size_t size = (size_t)rand() % sizeof bytes;
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (uint8_t)(rand() % 4 == 0 ? rand() : rand() % 8);
        }
        bytes[0] = (uint8_t)(rand() % 2 == 0 ? 0x30 + rand() % 4 : rand());
        (void)mqtt_received(&client, bytes, size, 0);
        mqtt_closed(&client);
    }
}

int main(void)
{
    says_connect_with_a_will_that_has_a_zero_inside();
    takes_messages_in_pieces_of_any_size();
    skips_and_acknowledges_what_has_a_topic_too_long();
    acknowledges_many_messages_that_come_at_once();
    sends_again_what_was_not_acknowledged_when_the_connection_ended();
    says_again_when_the_outbox_is_full_and_can_still_connect();
    pings_and_gives_a_silent_broker_up();
    refuses_what_no_broker_says();
    survives_any_bytes();
    return failures != 0;
}
