/* The messages of docs/protocol.md: bytes to structures and back, the same as edgeops/core writes and reads them.
 *
 * A decoder checks the whole payload first (deterministic CBOR: shortest integers, sorted keys, definite lengths,
 * nothing nested deeper than 8, nothing behind the end) and then fills a structure whose views and items point into
 * that payload, which must stay where it is. Nothing is copied, nothing is kept elsewhere. Decoders answer
 * EO_MALFORMED for what is not deterministic CBOR, not of the right type or out of its bounds, and EO_UNSUPPORTED
 * where the message's `critical` list names a key that this version does not know. A structure that was not
 * answered with EO_OK holds nothing of use.
 *
 * An encoder writes into the caller's memory and tells the size; it answers EO_TOO_SMALL where there is no room or
 * the message would be longer than the protocol allows, EO_RANGE for a text that is too long. */
#ifndef EDGEOPS_WIRE_H
#define EDGEOPS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edgeops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EO_DIGEST_BYTES 32u
#define EO_NAME_BYTES 64u /* bytes of the longest name of a fleet, device or model */
#define EO_MAX_RANK 6u
#define EO_MAX_TRANSFERS 4u
#define EO_MAX_ENVELOPE_BYTES 16386u /* with its tag */
#define EO_MAX_DESIRED_BYTES 4096u
#define EO_MAX_MANIFEST_BYTES 2048u
#define EO_MIN_CHUNK_BYTES 256u
#define EO_MAX_CHUNK_BYTES 65536u
#define EO_MAX_BLOB_BYTES 67108864u

/* What encoders write at most. */
#define EO_PRESENCE_BYTES 32u
#define EO_STATE_BYTES 4096u
#define EO_EVENT_BYTES 512u
#define EO_REPORT_BYTES 2560u

/* Bytes or UTF-8 text inside of a payload; text has no zero at its end. */
typedef struct eo_view {
    const uint8_t *bytes;
    uint32_t size;
} eo_view;

/* A list inside of a payload that was checked: the functions eo_*_next walk through it. A copy walks it again. */
typedef struct eo_items {
    const uint8_t *at;
    uint16_t left; /* items */
} eo_items;

/* Whether a view is this text. */
bool eo_view_is(eo_view view, const char *text);

/* The next item of a list; EO_NOT_FOUND at its end. Right only for lists of that type. */
eo_status eo_integer_next(eo_items *items, int64_t *value);
eo_status eo_text_next(eo_items *items, eo_view *text);

/* ---- parts ---- */

typedef struct eo_blob_ref {
    const uint8_t *sha256; /* 32 bytes */
    uint32_t size;
    uint32_t chunk_bytes;
    const uint8_t *chunk_list; /* 32 bytes; NULL without */
} eo_blob_ref;

/* EO_OK where a device may fetch it: chunk size and size within bounds, a chunk list where there is more than one
 * chunk; otherwise EO_RANGE. */
eo_status eo_blob_ref_check(const eo_blob_ref *blob);

/* How many chunks; an empty blob has none. Only of a blob that passed the check. */
uint32_t eo_blob_chunks(const eo_blob_ref *blob);

/* ---- desired state (signed; see trust.h) ---- */

typedef struct eo_report_policy {
    uint32_t window_inferences; /* 0: never */
    uint32_t interval_ms;       /* 0: never */
    uint16_t observe_permille;
} eo_report_policy;

/* Another way to a blob: the same bytes in chunks of another size. Patches are left out. */
typedef struct eo_transfer {
    const uint8_t *target; /* 32 bytes: the blob that it stands for */
    eo_blob_ref blob;
} eo_transfer;

typedef struct eo_desired {
    eo_view fleet;
    eo_view device;
    uint32_t generation;
    uint64_t daily_bytes; /* 0: no bound */
    eo_items models;      /* all of them, as they stand on the wire */
    bool named;           /* the model is in there; otherwise the rest holds defaults */
    eo_view model;
    const uint8_t *manifest; /* 32 bytes; NULL: no version */
    uint16_t manifest_bytes;
    eo_report_policy report;
    bool labels;
    uint32_t shadow_inferences;
    uint16_t attempt;
    uint32_t spread_ms;
    eo_items all_transfers; /* as they stand on the wire */
    uint8_t transfer_count; /* without patches */
    eo_transfer transfers[EO_MAX_TRANSFERS];
} eo_desired;

/* `model`: the one that is looked for; NULL takes the first that is named. Generations and names are the caller's to
 * compare. */
eo_status eo_desired_decode(eo_desired *desired, const uint8_t *payload, size_t size, const char *model);

/* ---- receipt ---- */

typedef struct eo_receipt {
    uint32_t boot;
    eo_items models;    /* all of them, as they stand on the wire */
    bool named;         /* the model is in there */
    uint32_t committed; /* the highest contiguous sequence */
} eo_receipt;

eo_status eo_receipt_decode(eo_receipt *receipt, const uint8_t *payload, size_t size, const char *model);

/* ---- manifest (signed; see trust.h) ---- */

typedef enum eo_output_kind {
    EO_OUTPUT_OTHER = 0, /* a kind that this version does not know */
    EO_OUTPUT_CLASSES = 1,
    EO_OUTPUT_RECONSTRUCTION = 2
} eo_output_kind;

typedef struct eo_tensor_contract {
    uint32_t shape[EO_MAX_RANK]; /* without the batch */
    uint8_t rank;
    eo_view dtype;           /* "int8" */
    uint32_t scale_mantissa; /* scale = mantissa * 2**exponent */
    int16_t scale_exponent;
    int16_t zero_point;
    eo_view unit;
} eo_tensor_contract;

typedef struct eo_raw_contract {
    uint32_t shape[EO_MAX_RANK];
    uint8_t rank;
    eo_view unit;
    uint32_t sample_rate_mhz; /* millihertz; 0 without */
} eo_raw_contract;

typedef struct eo_artifact {
    eo_view runtime;
    eo_view target;
    eo_blob_ref blob;
    uint32_t arena_bytes; /* 0: not known */
} eo_artifact;

typedef struct eo_trial {
    uint32_t inferences;
    uint32_t max_errors;
    uint32_t seconds;
} eo_trial;

/* One preprocessing step: its operation and parameters in billionths, walked with eo_integer_next. */
typedef struct eo_step {
    eo_view op;
    eo_items parameters;
} eo_step;

typedef struct eo_manifest {
    eo_view model;
    uint32_t version;
    uint32_t security_counter;
    uint16_t min_agent[3];
    uint8_t min_agent_count; /* the numbers that are not given are 0 */
    eo_items artifacts;      /* all of them, as they stand on the wire */
    bool fits;               /* there is an artifact for the runtime and target that were asked for */
    eo_artifact artifact;
    eo_tensor_contract input;
    eo_tensor_contract output;
    eo_output_kind output_kind;
    eo_view output_kind_name;
    eo_items labels;        /* eo_text_next; labels.left is their number */
    eo_items preprocessing; /* eo_step_next */
    eo_blob_ref observe;
    eo_blob_ref vectors;
    eo_trial trial;
    bool has_source; /* otherwise the raw input has the input's shape */
    eo_raw_contract source;
    bool has_threshold;
    uint64_t threshold;
} eo_manifest;

/* Takes the first artifact of this runtime whose target is `target` or "any". All artifacts' and other blobs' sizes
 * are checked as eo_blob_ref_check does (EO_RANGE). About 400 bytes on a 32-bit machine. */
eo_status eo_manifest_decode(eo_manifest *manifest, const uint8_t *payload, size_t size, const char *runtime,
                             const char *target);

/* The next step; EO_NOT_FOUND at the end. */
eo_status eo_step_next(eo_items *steps, eo_step *step);

/* ---- self-test vectors ---- */

typedef struct eo_selftest {
    eo_items inputs;
    eo_items outputs;
    uint8_t tolerance; /* in steps of the output */
} eo_selftest;

/* `bytes` are the blob where it lies, usually in mapped flash. */
eo_status eo_selftest_open(eo_selftest *test, const uint8_t *bytes, size_t size);

/* The next input and the output (int8) that is expected; EO_NOT_FOUND at the end, EO_MALFORMED where the numbers of
 * inputs and outputs differ. */
eo_status eo_selftest_next(eo_selftest *test, eo_view *input, eo_view *output);

/* EO_OK where `actual` passes: as many values as expected, none further away than the tolerance, and its highest one
 * is among the highest expected; otherwise EO_SELFTEST. */
eo_status eo_selftest_judge(const eo_selftest *test, eo_view expected, const int8_t *actual, size_t size);

/* ---- what a device sends ---- */

/* Texts are UTF-8 with a zero at their end. */

eo_status eo_presence_encode(uint8_t *bytes, size_t room, size_t *size, uint32_t session, bool online);

typedef struct eo_shadow_counts {
    uint32_t inferences;
    uint32_t disagreements;
    uint32_t errors;
    uint64_t active_us;
    uint64_t candidate_us;
} eo_shadow_counts;

typedef struct eo_model_state {
    const char *model;
    const char *lifecycle; /* 16 bytes at most */
    uint32_t generation;
    const uint8_t *confirmed; /* digests of 32 bytes; NULL without */
    const uint8_t *previous;
    const uint8_t *candidate;
    const char *reason; /* 160 bytes at most; NULL without */
    uint32_t security_counter;
    uint16_t attempts;
    uint32_t retry_in_ms;
    const eo_shadow_counts *shadow; /* NULL without */
    const uint8_t *artifact;        /* 32 bytes; NULL without */
} eo_model_state;

typedef struct eo_state {
    uint32_t boot;
    uint32_t session;
    const char *agent;   /* 32 bytes at most: the version, "0.1.0" */
    const char *runtime; /* 64 bytes at most */
    const char *target;  /* 32 bytes at most */
    uint64_t free_bytes;
    const eo_model_state *model; /* NULL without */
    uint64_t received_bytes;
    uint32_t dropped_labels;
    const char *takes; /* the one runtime of artifacts that it can run, 16 bytes at most; NULL without */
    uint64_t spent_bytes;
} eo_state;

eo_status eo_state_encode(uint8_t *bytes, size_t room, size_t *size, const eo_state *state);

typedef struct eo_event {
    uint32_t boot;
    uint32_t number;
    const char *model;
    uint32_t generation;
    const char *source;      /* 16 bytes at most: a state of the lifecycle */
    const char *target;      /* 16 bytes at most */
    const char *event;       /* 24 bytes at most */
    const uint8_t *manifest; /* 32 bytes; NULL without */
    const char *reason;      /* 160 bytes at most; NULL without */
    uint64_t uptime_ms;
} eo_event;

eo_status eo_event_encode(uint8_t *bytes, size_t room, size_t *size, const eo_event *event);

typedef struct eo_report {
    const char *model;
    const uint8_t *manifest; /* the first 8 bytes of its digest */
    uint32_t boot;
    uint32_t sequence; /* from 1 on */
    uint32_t behind;
    uint32_t generation;
    uint64_t start_ms;
    uint64_t duration_ms;
    eo_view counters; /* the block, 5 to 2048 bytes: counters.h */
    uint16_t observe_permille;
    uint32_t dropped;
    bool trial;
} eo_report;

eo_status eo_report_encode(uint8_t *bytes, size_t room, size_t *size, const eo_report *report);

#define EO_PREDICTION_BYTES 20u

typedef struct eo_prediction {
    const uint8_t *manifest; /* the first 8 bytes of its digest */
    uint32_t boot;
    uint32_t sequence; /* of the window */
    uint16_t index;    /* in the window */
    uint8_t predicted;
    uint8_t confidence_bin; /* 0 to 15 */
} eo_prediction;

/* The id of a prediction, EO_PREDICTION_BYTES. */
void eo_prediction_pack(uint8_t *bytes, const eo_prediction *prediction);

typedef struct eo_truth {
    uint8_t prediction[EO_PREDICTION_BYTES];
    uint16_t label;
} eo_truth;

/* At most 256 truths. */
eo_status eo_labels_encode(uint8_t *bytes, size_t room, size_t *size, const char *model, const eo_truth *truths,
                           size_t count);

/* ---- topics ---- */

#define EO_TOPIC_BYTES 160u /* room for any topic, with the zero at its end */

typedef enum eo_topic_kind {
    EO_TOPIC_TRUST = 0,
    EO_TOPIC_DESIRED = 1,
    EO_TOPIC_PRESENCE = 2,
    EO_TOPIC_STATE = 3,
    EO_TOPIC_EVENT = 4,
    EO_TOPIC_REPORT = 5,
    EO_TOPIC_RECEIPT = 6,
    EO_TOPIC_LABEL = 7,
    EO_TOPIC_SAMPLE = 8,
    EO_TOPIC_BLOB = 9
} eo_topic_kind;

typedef struct eo_topic {
    eo_topic_kind kind;
    uint8_t sha256[EO_DIGEST_BYTES]; /* of EO_TOPIC_BLOB */
    uint32_t index;                  /* of EO_TOPIC_BLOB */
} eo_topic;

/* Whether a text may be a fleet, device or model: 1 to 64 letters, digits, '_', '.' or '-', the first a letter or
 * digit. */
bool eo_name_check(const char *name);

/* Writes the topic of any kind but EO_TOPIC_BLOB, with a zero at its end. EO_TOO_SMALL, EO_ARGUMENT (names, kind). */
eo_status eo_topic_write(char *topic, size_t room, const char *fleet, const char *device, eo_topic_kind kind);

/* The topic of a chunk. EO_TOO_SMALL, EO_ARGUMENT (name, index above 999,999). */
eo_status eo_topic_write_chunk(char *topic, size_t room, const char *fleet, const uint8_t *sha256, uint32_t index);

/* Takes a topic apart that came in, `size` bytes without a zero; EO_NOT_FOUND where it is none of this fleet and
 * device. */
eo_status eo_topic_parse(eo_topic *parsed, const char *topic, size_t size, const char *fleet, const char *device);

#ifdef __cplusplus
}
#endif
#endif
