/* The agent: follows its desired state, takes updates, predicts, counts and reports, as device_agent/ does in Python.
 *
 *     static eo_agent agent;                     // and arena, scratch: all memory is the caller's
 *     eo_agent_start(&agent, &config);           // mounts the flash; opens the model that is there
 *     ... connect with eo_agent_client_id and eo_agent_will, then eo_agent_connected(&agent, 1);
 *     for (;;) sleep(eo_agent_poll(&agent));     // and hand in what comes by eo_agent_message*
 *
 * One agent serves one model. All calls come from one thread, none from an interrupt, and none from within a port
 * function: what `subscribe` brings is handed in when it has returned. No call waits: each does one bounded piece of
 * work (a flash block erased, a blob's digest, an inference, a signature check). */
#ifndef EDGEOPS_AGENT_H
#define EDGEOPS_AGENT_H

#include <stddef.h>
#include <stdint.h>

#include "edgeops/config.h"
#include "edgeops/counters.h"
#include "edgeops/features.h"
#include "edgeops/port.h"
#include "edgeops/runtime.h"
#include "edgeops/status.h"
#include "edgeops/wire.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the model said of one input. */
typedef struct eo_agent_prediction {
    uint32_t version;
    eo_view label;          /* of the highest score, as the manifest names it */
    uint8_t predicted;      /* its number */
    uint8_t confidence_bin; /* 0..15 */
    const int8_t *scores;
    size_t count;
} eo_agent_prediction;

/* All of it stays valid and unchanged as long as the agent lives; `model` and the runtime's context may be NULL. */
typedef struct eo_agent_config {
    const eo_port *port;
    const char *fleet;  /* names as in topics */
    const char *device;
    const char *target; /* target class: which artifacts of a manifest are meant for this device */
    const char *model;  /* that it serves, or NULL: the first that a desired state names. It stays the same */
    const uint8_t *trust; /* the trust root's envelope of the enrolment (trust.cose) */
    size_t trust_bytes;
    const eo_infer *infer; /* eo_plan_runtime, or another runtime behind the same seam */
    void *infer_context;   /* for eo_plan_runtime an eo_plan_infer */
    void *arena;           /* a multiple of 8; shared by the models in both slots, one after the other: one that keeps
                              state begins anew after a candidate was tested, and takes no part in a shadow run */
    size_t arena_bytes;
    void *scratch; /* a multiple of 8: the front ends, quantized input, output, raw input, working memory */
    size_t scratch_bytes;
    eo_sample_type sample_type; /* of what the port's input gives; 0 is EO_SAMPLE_INT16 */
    /* Called after each inference of the model that answers, from within eo_agent_poll; NULL: nobody asks. What the
     * prediction points to is gone when it returns, and it calls nothing of the agent. */
    void (*predicted)(void *application, const eo_agent_prediction *prediction);
    void *application;
} eo_agent_config;

/* The agent's memory. What is in it is the agent's own business (src/agent/agent_state.h). */
typedef struct eo_agent {
    union {
        uint64_t alignment;
        uint8_t bytes[EO_MESSAGE_BYTES + EO_EVENT_QUEUE_BYTES + EO_MAX_CHUNKS / 8 + sizeof(eo_window) +
                      sizeof(eo_observe_plan) + EO_AGENT_FIXED_BYTES + EO_AGENT_POINTERS * sizeof(void *)];
    } memory;
} eo_agent;

/* Finds its state in the flash (an empty or a foreign flash is a new device), takes the next boot number, opens the
 * confirmed model and takes an interrupted update up again. Reads the whole of the model once, for its digest.
 * EO_ARGUMENT (names, alignment, geometry, another fleet's trust root, another model than before), EO_TOO_SMALL
 * (flash), EO_SIGNATURE or EO_MALFORMED (the enrolment's trust root), EO_IO (the flash cannot be written). */
eo_status eo_agent_start(eo_agent *agent, const eo_agent_config *config);

/* One bounded piece of work. Answers after how many milliseconds it should be called again at the latest; 0 at once. */
uint32_t eo_agent_poll(eo_agent *agent);

/* The link to the broker came up (1) or went down (0). After each connection the agent subscribes anew and says who
 * it is; the port connects with a clean session, QoS 1, and the will below. */
void eo_agent_connected(eo_agent *agent, int online);

/* A message came: its topic and whole length first, then its bytes in pieces of any size. Topics that are not the
 * agent's are skipped. A message that the link cut off is forgotten with eo_agent_connected(agent, 0). */
void eo_agent_message_begin(eo_agent *agent, const char *topic, size_t total);
void eo_agent_message_part(eo_agent *agent, const void *bytes, size_t size);

/* The same for a message that is there as a whole. */
void eo_agent_message(eo_agent *agent, const char *topic, const void *payload, size_t size);

/* What the broker publishes (retained, QoS 1) when the device vanishes. It names this start of the agent, so ask
 * after eo_agent_start. topic: EO_TOPIC_BYTES, payload: EO_PRESENCE_BYTES; *payload_bytes is set. EO_TOO_SMALL. */
eo_status eo_agent_will(const eo_agent *agent, char *topic, size_t topic_bytes,
                        uint8_t payload[EO_PRESENCE_BYTES], size_t *payload_bytes);

/* The MQTT client id, as the Python agent's: edgeops-<fleet>-<device>. EO_TOO_SMALL. */
eo_status eo_agent_client_id(const eo_agent *agent, char *id, size_t id_bytes);

/* The device stops on purpose: sends what was counted, says goodbye, and remembers that it did not crash. Disconnect
 * afterwards, without the will. */
void eo_agent_stop(eo_agent *agent);

/* What it is doing, for a display, a log or a test. */
typedef struct eo_agent_info {
    uint32_t boot;
    const char *lifecycle;    /* as in the protocol: "CONFIRMED" */
    const char *reason;       /* of the last transition that had one, or "" */
    int has_confirmed;
    uint8_t confirmed[32];    /* manifest digests */
    uint32_t running_version; /* of the model that predicts, 0: none */
    int trial;                /* the model that predicts has still to prove itself */
    uint32_t inferences;      /* since the start */
    uint32_t reports_waiting;
    uint32_t chunks_missing;
} eo_agent_info;
void eo_agent_get_info(const eo_agent *agent, eo_agent_info *info);

#ifdef __cplusplus
}
#endif
#endif
