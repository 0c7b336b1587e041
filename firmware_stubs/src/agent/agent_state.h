/* What an agent remembers, and how its parts call each other. For src/agent only. */
#ifndef EDGEOPS_AGENT_STATE_H
#define EDGEOPS_AGENT_STATE_H

#include <stdbool.h>

#include "agent/event_queue.h"
#include "agent/text.h"
#include "agent/update.h"
#include "edgeops/agent.h"
#include "edgeops/counters.h"
#include "edgeops/features.h"
#include "edgeops/trust.h"
#include "edgeops/wire.h"
#include "store/flash_io.h"
#include "store/flash_map.h"
#include "store/journal.h"
#include "store/report_ring.h"
#include "store/slot.h"
#include "trust/sha256.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EO_AGENT_VERSION_TEXT "0.1.0"
#define EO_NO_SLOT 2u

/* What is written into the journal, up to the end of the update's reason: plain numbers, without holes. */
typedef struct eo_memory {
    uint32_t format;
    uint32_t boot;
    uint32_t generation; /* of the newest desired state */
    uint32_t window_inferences, interval_ms, observe_permille;
    uint32_t spread_ms;
    char model[EO_NAME_BYTES + 4u]; /* that it serves, "" before the first desired state */
    eo_update_state update;
} eo_memory;

/* A model that is open: where it lies, and what its manifest says of it. */
typedef struct eo_model {
    eo_kept_manifest kept;
    uint32_t version;
    uint32_t security_counter;
    uint32_t model_at, model_bytes;
    uint32_t observe_at, observe_bytes;
    uint32_t vectors_at, vectors_bytes;
    uint32_t artifact_at; /* of the artifact's digest, in the flash */
    uint32_t input_values, output_values;
    eo_trial trial;
    eo_reconstruction reconstruction;
    uint8_t id[8]; /* of the manifest's digest */
    uint8_t output_kind;
    uint8_t labels;
} eo_model;

/* ---- the transfer ---- */

#define EO_MANIFEST_NUMBER 0xFFFFu /* stands for the manifest where chunks have numbers */

typedef enum eo_ask_state { EO_ASK_FREE, EO_ASK_NEW, EO_ASK_SENT, EO_ASK_LEAVE } eo_ask_state;

typedef struct eo_ask {
    uint16_t number;
    uint8_t state; /* eo_ask_state */
} eo_ask;

typedef enum eo_fetch_phase {
    EO_FETCH_IDLE,
    EO_FETCH_CLEARING_MANIFEST,
    EO_FETCH_MANIFEST,
    EO_FETCH_PREPARING,
    EO_FETCH_CLEARING_SLOT,
    EO_FETCH_LOOKING, /* what is there already */
    EO_FETCH_CHUNKS
} eo_fetch_phase;

typedef struct eo_fetch {
    uint8_t phase;
    uint8_t slot;
    uint8_t bad; /* that came altered, one after the other */
    uint8_t asks_used;
    uint16_t look; /* number of the next chunk to look at */
    uint16_t missing;
    uint32_t clear_at; /* the next block to be erased, up to clear_end */
    uint32_t clear_end;
    uint32_t progress_at;
    uint32_t starts_at;
    bool spread; /* it waits for starts_at */
    uint8_t placed[8];    /* the manifest for which this device had its place in the spread */
    uint8_t manifest[32]; /* that is asked for */
    eo_kept_manifest kept;
    eo_slot_layout layout;
    eo_ask asks[EO_CHUNKS_IN_FLIGHT];
    uint8_t has[EO_MAX_CHUNKS / 8];
} eo_fetch;

/* ---- what comes in ---- */

typedef enum eo_incoming { EO_IN_NOTHING, EO_IN_SKIPPED, EO_IN_BUFFER, EO_IN_CHUNK } eo_incoming;

typedef struct eo_stream {
    uint8_t what; /* eo_incoming */
    uint8_t kind; /* eo_topic_kind */
    uint16_t number;
    uint32_t total, came;
    eo_chunk chunk;
    eo_flash_writer writer;
    eo_sha256_state hash;
} eo_stream;

/* ---- reports ---- */

typedef struct eo_reporting {
    uint8_t again_left;
    uint8_t batch_left;
    uint8_t slot; /* of the model that is counted */
    bool trial;
    bool close; /* the window is to be closed */
    uint32_t due, batch_at;
    uint32_t pause;
    uint32_t dropped;
    uint32_t sequence;
    uint32_t generation; /* of the window's policy */
    eo_report_policy policy;
    eo_draws draws;
    eo_report_cursor fresh; /* what was not sent yet since the connection */
    eo_report_cursor again;
    eo_report_ring ring;
    eo_observe_plan plan;
    eo_window window;
} eo_reporting;

typedef enum eo_verify_step { EO_VERIFY_DIGESTS, EO_VERIFY_OPEN, EO_VERIFY_VECTORS } eo_verify_step;

/* What is small and often used stands first: the shortest instructions reach it. */
typedef struct eo_agent_state {
    uint8_t confirmed, candidate, running; /* slots, EO_NO_SLOT for none */
    uint8_t loaded;                        /* the slot whose model is in the arena */
    uint8_t shadow_slot;                   /* of whose model the counts are */
    uint8_t begin;                         /* what the update's state asks for, EO_STATE_IDLE for nothing */
    uint8_t phase;                         /* what is being done about it */
    uint8_t verify, verify_part;
    uint8_t subscribe; /* bits of own topics that are to be subscribed to */
    bool unsaved, online, greet, state_dirty, stopped, held;
    bool retry;    /* at retry_at */
    bool followed; /* a desired state came since the start */
    const eo_port *port;
    uint32_t now; /* milliseconds, the lower half of uptime: for what lasts less than 24 days */
    uint32_t retry_at;
    uint32_t unsaved_at;
    uint32_t trial_began;
    uint32_t shadow_told_at;
    uint32_t shadow_told;
    uint32_t event_number;
    uint32_t inferences;
    uint64_t uptime; /* milliseconds */
    uint64_t received_bytes;
    eo_agent_config config;
    eo_stream stream;
    eo_fetch fetch;
    eo_shadow_counts shadow;
    eo_memory memory;
    eo_flash_map map;
    eo_journal journal;
    eo_journal trust;
    eo_model models[2]; /* by slot */
    eo_selftest vectors;
    eo_reporting reporting;
    eo_event_queue events;
    uint8_t buffer[EO_MESSAGE_BYTES]; /* of what comes in, or of what goes out; never both */
} eo_agent_state;

static inline eo_agent_state *eo_state_of(eo_agent *agent) {
    return (eo_agent_state *)(void *)agent->memory.bytes;
}

static inline const eo_agent_state *eo_const_state_of(const eo_agent *agent) {
    return (const eo_agent_state *)(const void *)agent->memory.bytes;
}

/* Reads the clock. */
void eo_tick(eo_agent_state *agent);

/* Whether a moment has come. */
static inline bool eo_due(const eo_agent_state *agent, uint32_t at) {
    return (int32_t)(agent->now - at) >= 0;
}

static inline bool eo_buffer_free(const eo_agent_state *agent) {
    return agent->stream.what != EO_IN_BUFFER;
}

uint32_t eo_slot_at(const eo_agent_state *agent, uint8_t slot);
void eo_say(const eo_agent_state *agent, const char *what, const char *words);

/* persist.c: the state in the journal */
eo_status eo_memory_load(eo_agent_state *agent);
void eo_memory_save(eo_agent_state *agent);
/* The trust root that counts now: the newest that was accepted, else the enrolment's. */
eo_status eo_current_root(const eo_agent_state *agent, eo_trust_root *root);

/* update_driver.c: the update's actions, and what its states ask for */
void eo_driver_start(eo_agent_state *agent);
void eo_driver_apply(eo_agent_state *agent, const eo_update_event *event);
/* An event with no more than a name, or a manifest's digest, or a reason. */
void eo_driver_event(eo_agent_state *agent, uint8_t kind, uint8_t name, const void *manifest_or_reason);
/* INFERRED, WAITED or SHADOWED, of the candidate. */
void eo_driver_candidate(eo_agent_state *agent, uint8_t kind, bool ok);
void eo_driver_progress(eo_agent_state *agent, uint8_t name);
void eo_driver_refuse(eo_agent_state *agent, uint8_t name, const char *reason);
/* One piece of work; false where there was none. */
bool eo_driver_work(eo_agent_state *agent);
/* The manifest that was asked for is there. */
void eo_driver_manifest_came(eo_agent_state *agent);
/* `digest` is no longer in its slot. */
void eo_driver_damaged(eo_agent_state *agent, const uint8_t *digest, const char *words);
bool eo_driver_in_trial(const eo_agent_state *agent);
bool eo_driver_shadowing(const eo_agent_state *agent);

/* fetch.c: manifest and chunks from the broker into the flash */
void eo_fetch_manifest(eo_agent_state *agent);
/* Fetches what the manifest that was accepted names, into its slot. */
void eo_fetch_blobs(eo_agent_state *agent);
void eo_fetch_stop(eo_agent_state *agent);
bool eo_fetch_work(eo_agent_state *agent);
void eo_fetch_offline(eo_agent_state *agent);
/* A chunk comes: whether it is taken. */
bool eo_fetch_begin(eo_agent_state *agent, const eo_topic *topic, uint32_t total);
void eo_fetch_part(eo_agent_state *agent, const uint8_t *bytes, size_t size);
void eo_fetch_end(eo_agent_state *agent);

/* model.c: opening and running what a slot holds. A decoded manifest takes some 330 bytes, and where its blobs lie 150:
 * both are on the stack of whoever reads them, and nothing of them is kept, since RAM that is kept costs always. */
eo_status eo_model_manifest(const eo_agent_state *agent, const eo_kept_manifest *kept, eo_manifest *manifest);
/* And where its blobs lie in a slot, which need not be the one that it is kept in. */
eo_status eo_model_layout(const eo_agent_state *agent, uint8_t slot, const eo_kept_manifest *kept,
                          eo_manifest *manifest, eo_slot_layout *layout);
/* EO_RANGE, with words for a person: "<what>: 12 needed, 10 here". */
eo_status eo_model_limit(eo_text *words, const char *what, uint32_t needed, uint32_t here);
/* Finds the model of a manifest digest; EO_NOT_FOUND, or the slot. */
uint8_t eo_model_slot(const eo_agent_state *agent, const uint8_t *digest, eo_kept_manifest *kept);
/* Fills models[slot] with what the manifest says; digests are not checked. Words for a person where it fails. */
eo_status eo_model_place(eo_agent_state *agent, uint8_t slot, const eo_kept_manifest *kept, eo_text *words);
/* EO_DIGEST, with words for a person. */
eo_status eo_model_digest(const eo_agent_state *agent, uint8_t slot, uint8_t part, eo_text *words);
/* Reads what a model's inputs and outputs are counted by, and its manifest. */
eo_status eo_model_counting(const eo_agent_state *agent, uint8_t slot, eo_observe_plan *plan, eo_manifest *manifest);
eo_status eo_model_open(eo_agent_state *agent, uint8_t slot, eo_text *words);
/* Whether it remembers something from one inference to the next. */
bool eo_model_keeps_state(const eo_agent_state *agent, uint8_t slot);
/* Quantizes the raw input in the scratch memory. */
eo_status eo_model_quantize(eo_agent_state *agent, uint8_t slot);
void *eo_model_raw(const eo_agent_state *agent, uint8_t slot, size_t *bytes);
int8_t *eo_model_input(const eo_agent_state *agent);
/* One inference; *scores and *count are what is said of the labels. */
eo_status eo_model_infer(eo_agent_state *agent, uint8_t slot, const int8_t *input, size_t input_bytes,
                         const int8_t **scores, size_t *count);
/* One vector of the self-test: EO_NOT_FOUND after the last, EO_SELFTEST with words. */
eo_status eo_model_test(eo_agent_state *agent, uint8_t slot, uint8_t number, eo_text *words);
/* The text of a label. */
eo_view eo_model_label(const eo_agent_state *agent, uint8_t slot, uint8_t index);

/* predict.c */
bool eo_predict(eo_agent_state *agent);
void eo_shadow_begin(eo_agent_state *agent);
void eo_shadow_tick(eo_agent_state *agent);

/* report.c */
void eo_report_start(eo_agent_state *agent);
void eo_report_connected(eo_agent_state *agent);
void eo_report_receipt(eo_agent_state *agent, const eo_receipt *receipt);
/* Closes a window that is due; false while the buffer is taken. */
bool eo_report_close(eo_agent_state *agent);
bool eo_report_send(eo_agent_state *agent);

/* uplink.c: what goes out besides reports; true where something was done */
bool eo_uplink_work(eo_agent_state *agent);
eo_status eo_uplink_publish(eo_agent_state *agent, eo_topic_kind kind, size_t size);
eo_status eo_uplink_presence(eo_agent_state *agent, bool online);
void eo_uplink_event(eo_agent_state *agent, uint8_t source, uint8_t event, uint8_t target, const uint8_t *manifest,
                     const char *reason);

/* inbox.c: desired states, trust roots and receipts */
void eo_inbox_take(eo_agent_state *agent, eo_topic_kind kind, size_t size);

#ifdef __cplusplus
}
#endif
#endif
