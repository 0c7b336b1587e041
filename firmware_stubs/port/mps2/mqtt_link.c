/* One TCP connection of lwIP's raw interface under the MQTT client. */
#include "mqtt_link.h"

#include "clock.h"
#include "lwip/tcp.h"
#include "net.h"

#define KEEP_ALIVE_S 30u
#define FIRST_PAUSE_MS 250u
#define LONGEST_PAUSE_MS (MQTT_LINK_LONGEST_WAIT_S * 2000u / 3u) /* half of it and up to all of it again */
#define ATTEMPT_MS 10000u /* until the broker has accepted */

static size_t room(void *context)
{
    const mqtt_link *const link = context;
    return link->tcp == NULL ? 0 : tcp_sndbuf(link->tcp);
}

static eo_status write(void *context, const void *bytes, size_t size)
{
    mqtt_link *const link = context;
    if (tcp_write(link->tcp, bytes, (u16_t)size, TCP_WRITE_FLAG_COPY) != ERR_OK) {
        return EO_AGAIN;
    }
    (void)tcp_output(link->tcp);
    return EO_OK;
}

static void accepted(void *context)
{
    mqtt_link *const link = context;
    link->accepted_ms = clock_ms();
    link->online = 1;
    link->told_offline = 0;
    link->config->connected(link->config->context, 1);
}

static void begin(void *context, const char *topic, size_t total)
{
    const mqtt_link *const link = context;
    link->config->begin(link->config->context, topic, total);
}

static void part(void *context, const uint8_t *bytes, size_t size)
{
    const mqtt_link *const link = context;
    link->config->part(link->config->context, bytes, size);
}

/* The connection is gone, whoever ended it: the next attempt comes after a pause that grows from one to the next. */
static void lost(mqtt_link *link, const char *why)
{
    link->tcp = NULL;
    mqtt_closed(&link->client);
    /* a broker that accepts and then hangs up, again and again, is not asked several times a second */
    if (link->online && clock_ms() - link->accepted_ms >= LONGEST_PAUSE_MS) {
        link->pause_ms = FIRST_PAUSE_MS;
    }
    link->due_ms = clock_ms() + link->pause_ms / 2 + LWIP_RAND() % link->pause_ms;
    link->pause_ms = link->pause_ms < LONGEST_PAUSE_MS / 2 ? link->pause_ms * 2 : LONGEST_PAUSE_MS;
    if (link->online) {
        link->online = 0;
        link->config->connected(link->config->context, 0);
    }
    if (!link->told_offline && link->config->offline != NULL) {
        link->told_offline = 1;
        link->config->offline(link->config->context, why);
    }
}

static void on_error(void *context, err_t error)
{
    mqtt_link *const link = context; /* lwIP has already freed the connection */
    lost(link, error != ERR_RST ? "does not answer" : link->online ? "ended the connection" : "refuses the connection");
}

/* Ends the connection without waiting for the other side: what matters was acknowledged by the broker, or comes again. */
static void drop(mqtt_link *link, const char *why)
{
    struct tcp_pcb *const tcp = link->tcp;
    tcp_err(tcp, NULL);
    tcp_recv(tcp, NULL);
    tcp_abort(tcp);
    lost(link, why);
}

static err_t on_received(void *context, struct tcp_pcb *tcp, struct pbuf *received, err_t error)
{
    mqtt_link *const link = context;
    (void)error;
    if (received == NULL) {
        drop(link, "ended the connection");
        return ERR_ABRT;
    }
    eo_status status = EO_OK;
    for (const struct pbuf *piece = received; piece != NULL && status == EO_OK; piece = piece->next) {
        status = mqtt_received(&link->client, piece->payload, piece->len, clock_ms());
    }
    tcp_recved(tcp, received->tot_len);
    pbuf_free(received);
    if (status != EO_OK) {
        drop(link, status == EO_IO ? "refuses this client: are user= and password= right?"
                                   : "does not speak MQTT 3.1.1");
        return ERR_ABRT;
    }
    return ERR_OK;
}

static err_t on_connected(void *context, struct tcp_pcb *tcp, err_t error)
{
    mqtt_link *const link = context;
    (void)tcp;
    (void)error; /* failures come to on_error */
    if (mqtt_opened(&link->client, clock_ms()) != EO_OK) {
        drop(link, "cannot be greeted: the names are too long");
        return ERR_ABRT;
    }
    return ERR_OK;
}

static void connect(mqtt_link *link)
{
    const uint8_t *const address = link->config->address;
    ip_addr_t broker;
    IP_ADDR4(&broker, address[0], address[1], address[2], address[3]);
    link->tcp = tcp_new();
    if (link->tcp == NULL) {
        lost(link, "is out of reach: no memory for a connection");
        return;
    }
    link->due_ms = clock_ms() + ATTEMPT_MS;
    tcp_nagle_disable(link->tcp);
    tcp_arg(link->tcp, link);
    tcp_err(link->tcp, on_error);
    tcp_recv(link->tcp, on_received);
    if (tcp_connect(link->tcp, &broker, link->config->port, on_connected) != ERR_OK) {
        drop(link, "is out of reach");
    }
}

void mqtt_link_start(mqtt_link *link, const mqtt_link_config *config)
{
    link->config = config;
    link->tcp = NULL;
    link->online = 0;
    link->told_offline = 0;
    link->pause_ms = FIRST_PAUSE_MS;
    link->due_ms = 0;
    link->client_config = (mqtt_config){
        .client_id = config->client_id,
        .user = config->user,
        .password = config->password,
        .will_topic = config->will_topic,
        .will = config->will,
        .will_bytes = config->will_bytes,
        .keep_alive_s = KEEP_ALIVE_S,
        .context = link,
        .room = room,
        .write = write,
        .accepted = accepted,
        .begin = begin,
        .part = part,
    };
    mqtt_init(&link->client, &link->client_config);
}

void mqtt_link_poll(mqtt_link *link)
{
    net_poll();
    const uint64_t now_ms = clock_ms();
    if (link->tcp == NULL) {
        if (now_ms >= link->due_ms) {
            connect(link);
        }
    } else if (mqtt_poll(&link->client, now_ms) != EO_OK ||
               (!mqtt_is_accepted(&link->client) && now_ms >= link->due_ms)) {
        drop(link, "does not answer");
    }
}

void mqtt_link_stop(mqtt_link *link)
{
    if (link->tcp == NULL) {
        return;
    }
    mqtt_disconnect(&link->client);
    tcp_err(link->tcp, NULL);
    tcp_recv(link->tcp, NULL);
    (void)tcp_close(link->tcp); /* lwIP sends what is left */
    link->tcp = NULL;
    net_poll();
}
