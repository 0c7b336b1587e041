/* MQTT 3.1.1, clean sessions, QoS 1: see mqtt.h. */
#include "mqtt.h"

#include <string.h>

enum { CONNECT = 1, CONNACK, PUBLISH, PUBACK, SUBSCRIBE = 8, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP };
enum { STATE_CLOSED, STATE_ASKED, STATE_ACCEPTED };
enum { STAGE_HEADER, STAGE_LENGTH, STAGE_TOPIC_LENGTH, STAGE_TOPIC, STAGE_ID, STAGE_PAYLOAD, STAGE_BODY };

#define DISCONNECT_PACKET 0xE0u
#define FLAG_RETAINED 0x01u
#define FLAG_QOS_1 0x02u
#define FLAGS_QOS 0x06u
#define FLAG_AGAIN 0x08u
#define CONNECT_CLEAN 0x02u
#define CONNECT_WILL 0x2Cu /* a will, QoS 1, retained */
#define CONNECT_PASSWORD 0x40u
#define CONNECT_USER 0x80u
#define CONNECT_HEAD_BYTES 10u
#define ACK_BYTES 4u
#define HEAD_BYTES 4u      /* a type and a length of up to 3 bytes: enough for any outbox */
#define CONNECT_BYTES 512u  /* of the outbox, so that what waits never keeps the client from connecting */
#define WAITING_BYTES (MQTT_OUTBOX_BYTES - CONNECT_BYTES)
#define RESERVED_BYTES 64u /* of the stream's room, for acknowledgements and pings */

void mqtt_init(mqtt_client *client, const mqtt_config *config)
{
    memset(client, 0, sizeof(*client));
    client->config = config;
}

int mqtt_is_accepted(const mqtt_client *client)
{
    return client->state == STATE_ACCEPTED;
}

int mqtt_is_idle(const mqtt_client *client)
{
    return client->outbox_bytes == 0;
}

/* What leaves: packets one after the other in the outbox */

static void put(mqtt_client *client, const void *bytes, size_t size)
{
    if (size != 0) {
        memcpy(client->outbox + client->outbox_bytes, bytes, size);
        client->outbox_bytes += size;
    }
}

static void put_number(mqtt_client *client, size_t number)
{
    const uint8_t bytes[2] = {(uint8_t)(number >> 8), (uint8_t)number};
    put(client, bytes, sizeof(bytes));
}

static void put_bytes(mqtt_client *client, const void *bytes, size_t size)
{
    put_number(client, size);
    put(client, bytes, size);
}

static void put_text(mqtt_client *client, const char *text)
{
    put_bytes(client, text, strlen(text));
}

/* Type, flags and length, if `left` bytes fit behind them below `limit`. */
static eo_status put_head(mqtt_client *client, unsigned header, size_t left, size_t limit)
{
    if (left > limit - HEAD_BYTES) {
        return EO_TOO_SMALL;
    }
    if (client->outbox_bytes + HEAD_BYTES + left > limit) {
        return EO_AGAIN;
    }
    const uint8_t first = (uint8_t)header;
    put(client, &first, 1);
    do {
        const uint8_t digit = (uint8_t)((left & 0x7Fu) | (left > 0x7Fu ? 0x80u : 0u));
        put(client, &digit, 1);
        left >>= 7;
    } while (left != 0);
    return EO_OK;
}

/* A packet of the outbox: where its length ends, and where it ends itself. */
typedef struct packet {
    size_t body, end;
} packet;

static packet packet_at(const mqtt_client *client, size_t at)
{
    size_t left = 0;
    unsigned shift = 0;
    uint8_t digit;
    at++;
    do {
        digit = client->outbox[at++];
        left |= (size_t)(digit & 0x7Fu) << shift;
        shift += 7;
    } while ((digit & 0x80u) != 0);
    return (packet){at, at + left};
}

static unsigned number_at(const mqtt_client *client, size_t at)
{
    return (unsigned)client->outbox[at] << 8 | client->outbox[at + 1];
}

static void take_out(mqtt_client *client, size_t at, size_t end)
{
    memmove(client->outbox + at, client->outbox + end, client->outbox_bytes - end);
    client->outbox_bytes -= end - at;
    if (client->outbox_sent >= end) {
        client->outbox_sent -= end - at;
    }
}

static void acknowledged(mqtt_client *client, unsigned id)
{
    for (size_t at = 0; at < client->outbox_sent;) {
        const packet found = packet_at(client, at);
        const int publication = client->outbox[at] >> 4 == PUBLISH;
        if (number_at(client, publication ? found.body + 2 + number_at(client, found.body) : found.body) == id) {
            take_out(client, at, found.end);
            return;
        }
        at = found.end;
    }
}

static eo_status write_now(mqtt_client *client, const void *bytes, size_t size, uint64_t now_ms)
{
    if (client->config->room(client->config->context) < size) {
        return EO_AGAIN;
    }
    const eo_status status = client->config->write(client->config->context, bytes, size);
    if (status == EO_OK) {
        client->sent_ms = now_ms;
    }
    return status;
}

static void send_waiting(mqtt_client *client, uint64_t now_ms)
{
    while (client->ack_count != 0) {
        const uint16_t id = client->acks[0];
        const uint8_t ack[ACK_BYTES] = {PUBACK << 4, 2, (uint8_t)(id >> 8), (uint8_t)id};
        if (write_now(client, ack, sizeof(ack), now_ms) != EO_OK) {
            return;
        }
        client->ack_count--;
        memmove(client->acks, client->acks + 1, client->ack_count * sizeof(client->acks[0]));
    }
    while (client->state == STATE_ACCEPTED && client->outbox_sent < client->outbox_bytes) {
        const size_t size = packet_at(client, client->outbox_sent).end - client->outbox_sent;
        if (client->config->room(client->config->context) < size + RESERVED_BYTES ||
            write_now(client, client->outbox + client->outbox_sent, size, now_ms) != EO_OK) {
            return;
        }
        client->outbox_sent += size;
    }
}

static uint16_t next_id(mqtt_client *client)
{
    client->last_id = (uint16_t)(client->last_id == UINT16_MAX ? 1u : client->last_id + 1u);
    return client->last_id;
}

eo_status mqtt_publish(mqtt_client *client, const char *topic, const void *payload, size_t size, int retained)
{
    if (client->state != STATE_ACCEPTED) {
        return EO_AGAIN;
    }
    if (size > MQTT_OUTBOX_BYTES) {
        return EO_TOO_SMALL;
    }
    const unsigned header = PUBLISH << 4 | FLAG_QOS_1 | (retained ? FLAG_RETAINED : 0u);
    const eo_status status = put_head(client, header, 2 + strlen(topic) + 2 + size, WAITING_BYTES);
    if (status == EO_OK) {
        put_text(client, topic);
        put_number(client, next_id(client));
        put(client, payload, size);
    }
    return status;
}

eo_status mqtt_subscribe(mqtt_client *client, const char *topic, int subscribed)
{
    if (client->state != STATE_ACCEPTED) {
        return EO_AGAIN;
    }
    const unsigned type = subscribed ? SUBSCRIBE : UNSUBSCRIBE;
    const size_t left = 2 + 2 + strlen(topic) + (subscribed ? 1u : 0u);
    const eo_status status = put_head(client, type << 4 | 2u, left, WAITING_BYTES);
    if (status == EO_OK) {
        static const uint8_t qos = 1;
        put_number(client, next_id(client));
        put_text(client, topic);
        put(client, &qos, subscribed ? 1u : 0u);
    }
    return status;
}

/* The connection */

eo_status mqtt_opened(mqtt_client *client, uint64_t now_ms)
{
    const mqtt_config *const config = client->config;
    size_t left = CONNECT_HEAD_BYTES + 2 + strlen(config->client_id);
    uint8_t flags = CONNECT_CLEAN;
    if (config->will_topic != NULL) {
        flags |= CONNECT_WILL;
        left += 2 + strlen(config->will_topic) + 2 + config->will_bytes;
    }
    if (config->user != NULL) {
        flags |= CONNECT_USER;
        left += 2 + strlen(config->user);
    }
    if (config->password != NULL) {
        flags |= CONNECT_PASSWORD;
        left += 2 + strlen(config->password);
    }
    client->stage = STAGE_HEADER;
    client->pinging = 0;
    client->received_ms = now_ms;
    /* CONNECT goes out before all that waits: it is put together behind it, written, and taken off again. */
    const size_t before = client->outbox_bytes;
    eo_status status = put_head(client, CONNECT << 4, left, MQTT_OUTBOX_BYTES);
    if (status != EO_OK) {
        return status;
    }
    put_text(client, "MQTT");
    const uint8_t level_and_flags[2] = {4, flags};
    put(client, level_and_flags, sizeof(level_and_flags));
    put_number(client, config->keep_alive_s);
    put_text(client, config->client_id);
    if (config->will_topic != NULL) {
        put_text(client, config->will_topic);
        put_bytes(client, config->will, config->will_bytes);
    }
    if (config->user != NULL) {
        put_text(client, config->user);
    }
    if (config->password != NULL) {
        put_text(client, config->password);
    }
    status = write_now(client, client->outbox + before, client->outbox_bytes - before, now_ms);
    client->outbox_bytes = before;
    if (status == EO_OK) {
        client->state = STATE_ASKED;
    }
    return status;
}

void mqtt_closed(mqtt_client *client)
{
    client->state = STATE_CLOSED;
    client->ack_count = 0;
    for (size_t at = 0; at < client->outbox_bytes;) {
        const size_t end = packet_at(client, at).end;
        if (client->outbox[at] >> 4 == PUBLISH) {
            if (at < client->outbox_sent) {
                client->outbox[at] |= FLAG_AGAIN;
            }
            at = end;
        } else {
            take_out(client, at, end);
        }
    }
    client->outbox_sent = 0;
}

void mqtt_disconnect(mqtt_client *client)
{
    static const uint8_t goodbye[2] = {DISCONNECT_PACKET, 0};
    if (client->state == STATE_ACCEPTED) {
        (void)write_now(client, goodbye, sizeof(goodbye), client->sent_ms);
    }
    mqtt_closed(client);
}

eo_status mqtt_poll(mqtt_client *client, uint64_t now_ms)
{
    static const uint8_t ping[2] = {PINGREQ << 4, 0};
    const uint64_t keep_alive_ms = (uint64_t)client->config->keep_alive_s * 1000u;
    if (client->state == STATE_CLOSED) {
        return EO_OK;
    }
    send_waiting(client, now_ms);
    if (keep_alive_ms != 0) {
        if (now_ms - client->received_ms > keep_alive_ms + keep_alive_ms / 2) {
            return EO_IO;
        }
        const uint64_t quiet_since = client->sent_ms < client->received_ms ? client->sent_ms : client->received_ms;
        if (client->state == STATE_ACCEPTED && !client->pinging && now_ms - quiet_since >= keep_alive_ms &&
            write_now(client, ping, sizeof(ping), now_ms) == EO_OK) {
            client->pinging = 1;
        }
    }
    return EO_OK;
}

/* What comes: one packet after the other, in pieces of any size */

static eo_status small_packet(mqtt_client *client)
{
    const unsigned type = client->header >> 4;
    if (type == PINGRESP) {
        client->pinging = 0;
        return EO_OK;
    }
    if (type == CONNACK) {
        if (client->state != STATE_ASKED || client->at != 2 || client->body[1] != 0) {
            return EO_IO;
        }
        client->state = STATE_ACCEPTED;
        client->config->accepted(client->config->context);
        return EO_OK;
    }
    if ((type != PUBACK && type != SUBACK && type != UNSUBACK) || client->at < 2) {
        return EO_MALFORMED;
    }
    /* A refused subscription is the broker's access rules: the agent asks again after the next connection. */
    acknowledged(client, (unsigned)client->body[0] << 8 | client->body[1]);
    return EO_OK;
}

static eo_status packet_complete(mqtt_client *client)
{
    const int publication = client->header >> 4 == PUBLISH;
    if (publication && client->stage != STAGE_PAYLOAD) {
        return EO_MALFORMED;
    }
    client->stage = STAGE_HEADER;
    if (!publication) {
        return small_packet(client);
    }
    if ((client->header & FLAGS_QOS) != 0) {
        if (client->ack_count == MQTT_ACKS) {
            return EO_IO;
        }
        client->acks[client->ack_count++] = client->id;
    }
    return EO_OK;
}

static void topic_complete(mqtt_client *client)
{
    client->topic[client->topic_bytes < MQTT_TOPIC_BYTES ? client->topic_bytes : 0] = 0;
    client->at = 0;
    client->stage = (client->header & FLAGS_QOS) != 0 ? STAGE_ID : STAGE_PAYLOAD;
}

static void begin(mqtt_client *client)
{
    if (!client->skipped) {
        client->config->begin(client->config->context, client->topic, client->left);
    }
}

/* The length is known: what kind of packet is it? */
static eo_status head_complete(mqtt_client *client)
{
    client->at = 0;
    client->id = 0;
    if (client->header >> 4 == PUBLISH) {
        client->stage = STAGE_TOPIC_LENGTH;
        client->topic_bytes = 0;
        client->skipped = 0;
        return (client->header & FLAGS_QOS) > FLAG_QOS_1 ? EO_UNSUPPORTED : EO_OK;
    }
    client->stage = STAGE_BODY;
    return client->left > sizeof(client->body) ? EO_UNSUPPORTED : EO_OK;
}

static eo_status head_byte(mqtt_client *client, uint8_t byte)
{
    if (client->stage == STAGE_HEADER) {
        client->header = byte;
        client->left = 0;
        client->shift = 0;
        client->stage = STAGE_LENGTH;
        return EO_OK;
    }
    client->left |= (uint32_t)(byte & 0x7Fu) << client->shift;
    client->shift = (uint8_t)(client->shift + 7u);
    if ((byte & 0x80u) != 0) {
        return client->shift > 21 ? EO_MALFORMED : EO_OK;
    }
    const eo_status status = head_complete(client);
    return status == EO_OK && client->left == 0 ? packet_complete(client) : status;
}

/* One byte of a packet before its payload. */
static void body_byte(mqtt_client *client, uint8_t byte)
{
    client->left--;
    switch (client->stage) {
    case STAGE_TOPIC_LENGTH:
        client->topic_bytes = (uint16_t)(client->topic_bytes << 8 | byte);
        if (++client->at == 2) {
            client->skipped = client->topic_bytes >= MQTT_TOPIC_BYTES;
            client->at = 0;
            client->stage = STAGE_TOPIC;
            if (client->topic_bytes == 0) {
                topic_complete(client);
            }
        }
        break;
    case STAGE_TOPIC:
        if (!client->skipped) {
            client->topic[client->at] = (char)byte;
        }
        if (++client->at == client->topic_bytes) {
            topic_complete(client);
        }
        break;
    case STAGE_ID:
        client->id = (uint16_t)(client->id << 8 | byte);
        if (++client->at == 2) {
            client->stage = STAGE_PAYLOAD;
        }
        break;
    default:
        client->body[client->at++] = byte;
        break;
    }
}

eo_status mqtt_received(mqtt_client *client, const uint8_t *bytes, size_t size, uint64_t now_ms)
{
    client->received_ms = now_ms;
    while (size != 0 && client->state != STATE_CLOSED) {
        eo_status status = EO_OK;
        size_t taken = 1;
        if (client->ack_count == MQTT_ACKS) {
            send_waiting(client, now_ms); /* room for the next, where the broker has more in flight */
        }
        if (client->stage <= STAGE_LENGTH) {
            status = head_byte(client, *bytes);
        } else {
            if (client->stage == STAGE_PAYLOAD) {
                taken = size < client->left ? size : client->left;
                client->left -= (uint32_t)taken;
                if (!client->skipped) {
                    client->config->part(client->config->context, bytes, taken);
                }
            } else {
                body_byte(client, *bytes);
                if (client->stage == STAGE_PAYLOAD) {
                    begin(client);
                }
            }
            if (client->left == 0) {
                status = packet_complete(client);
            }
        }
        if (status != EO_OK) {
            return status;
        }
        bytes += taken;
        size -= taken;
    }
    send_waiting(client, now_ms);
    return EO_OK;
}
