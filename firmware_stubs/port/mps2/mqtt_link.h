/* The MQTT client over lwIP: connects, and connects again with growing pauses after the connection was lost. */
#ifndef EDGEOPS_PORT_MPS2_MQTT_LINK_H
#define EDGEOPS_PORT_MPS2_MQTT_LINK_H

#include "mqtt.h"

typedef struct mqtt_link_config {
    uint8_t address[4]; /* of the broker */
    uint16_t port;
    const char *client_id;
    const char *user; /* or NULL */
    const char *password;
    const char *will_topic; /* or NULL */
    const uint8_t *will;
    size_t will_bytes;

    void *context; /* of what follows */
    void (*connected)(void *context, int online);
    /* The broker cannot be reached, or the connection has ended: once, until it is accepted again. Or NULL. */
    void (*offline)(void *context, const char *why);
    void (*begin)(void *context, const char *topic, size_t total);
    void (*part)(void *context, const uint8_t *bytes, size_t size);
} mqtt_link_config;

#define MQTT_LINK_LONGEST_WAIT_S 24u /* from one attempt to the next */

struct tcp_pcb;

typedef struct mqtt_link {
    const mqtt_link_config *config;
    struct tcp_pcb *tcp;
    uint8_t online;
    uint8_t told_offline;
    uint32_t pause_ms;
    uint64_t due_ms; /* the next attempt, or the end of this one */
    uint64_t accepted_ms;
    mqtt_config client_config;
    mqtt_client client;
} mqtt_link;

/* After net_start. The configuration stays valid as long as the link is used. */
void mqtt_link_start(mqtt_link *link, const mqtt_link_config *config);

/* Takes in what came, sends what waits, connects when it is time. The callbacks come from here. */
void mqtt_link_poll(mqtt_link *link);

/* Goodbye: no will is published. */
void mqtt_link_stop(mqtt_link *link);

#endif
