/* MQTT 3.1.1 as an agent needs it, over any stream of bytes: clean sessions, QoS 1 both ways, a will, keep-alive.
 *
 * What is published waits in an outbox until the broker has acknowledged it, and is sent again after a reconnection.
 * What comes in is handed on in pieces as they arrive: no message is ever held in memory as a whole.
 *
 * Why not lwIP's own client: in 2.1.3 it loses payload bytes where a message continues in the next TCP segment
 * (mqtt_parse_incoming writes over what it has not yet delivered), its will ends at the first zero byte, and it
 * forgets what was not acknowledged when the connection ends. */
#ifndef EDGEOPS_PORT_MPS2_MQTT_H
#define EDGEOPS_PORT_MPS2_MQTT_H

#include <stddef.h>
#include <stdint.h>

#include "edgeops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifndef MQTT_TOPIC_BYTES
#define MQTT_TOPIC_BYTES 192 /* with its end; a message with a longer topic is acknowledged and skipped */
#endif
#ifndef MQTT_OUTBOX_BYTES
#define MQTT_OUTBOX_BYTES 4096
#endif
#define MQTT_ACKS 20 /* what Mosquitto has in flight by default */

/* All of it stays valid as long as the client is used. */
typedef struct mqtt_config {
    const char *client_id;
    const char *user; /* or NULL */
    const char *password;
    const char *will_topic; /* or NULL; the will is retained, QoS 1 */
    const uint8_t *will;
    size_t will_bytes;
    uint16_t keep_alive_s;

    void *context; /* of what follows */
    /* How many bytes `write` takes now; it takes all of them or, answering other than EO_OK, none. */
    size_t (*room)(void *context);
    eo_status (*write)(void *context, const void *bytes, size_t size);
    /* The broker accepted this client. */
    void (*accepted)(void *context);
    /* A message: first its topic and its length, then its bytes in pieces. */
    void (*begin)(void *context, const char *topic, size_t total);
    void (*part)(void *context, const uint8_t *bytes, size_t size);
} mqtt_config;

typedef struct mqtt_client {
    const mqtt_config *config;
    uint8_t state;
    uint8_t pinging;
    uint16_t last_id;
    uint64_t sent_ms, received_ms;

    uint8_t stage; /* of the packet that is coming in */
    uint8_t header;
    uint8_t shift;
    uint8_t skipped;
    uint16_t id, topic_bytes, at;
    uint32_t left;
    uint8_t body[4];
    char topic[MQTT_TOPIC_BYTES];

    uint16_t acks[MQTT_ACKS];
    uint8_t ack_count;
    size_t outbox_bytes, outbox_sent;
    uint8_t outbox[MQTT_OUTBOX_BYTES];
} mqtt_client;

void mqtt_init(mqtt_client *client, const mqtt_config *config);

/* The stream is open: says CONNECT. EO_AGAIN, EO_TOO_SMALL (names too long for the outbox). */
eo_status mqtt_opened(mqtt_client *client, uint64_t now_ms);

/* The stream has ended. Publications that were not acknowledged are kept, subscriptions are not. */
void mqtt_closed(mqtt_client *client);

/* Bytes came. Other than EO_OK: close the stream (EO_MALFORMED, EO_UNSUPPORTED, EO_IO: the broker refused). */
eo_status mqtt_received(mqtt_client *client, const uint8_t *bytes, size_t size, uint64_t now_ms);

/* Sends what waits, and keeps the connection alive. EO_IO: the broker is silent, close the stream. */
eo_status mqtt_poll(mqtt_client *client, uint64_t now_ms);

/* Says goodbye, so that the broker does not publish the will. */
void mqtt_disconnect(mqtt_client *client);

int mqtt_is_accepted(const mqtt_client *client);

/* QoS 1. EO_AGAIN: not connected, or the outbox has no room; EO_TOO_SMALL: the outbox never has room for that. */
eo_status mqtt_publish(mqtt_client *client, const char *topic, const void *payload, size_t size, int retained);
eo_status mqtt_subscribe(mqtt_client *client, const char *topic, int subscribed);

/* Whether everything that was published is acknowledged. */
int mqtt_is_idle(const mqtt_client *client);

#ifdef __cplusplus
}
#endif
#endif
