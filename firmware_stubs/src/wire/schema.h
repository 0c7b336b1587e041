/* The field tables of the messages that a device reads, and the walk that checks a payload against them.
 *
 * They mirror `wire(key, kind)` in edgeops/core; a test compares them with Python's. */
#ifndef EDGEOPS_WIRE_SCHEMA_H
#define EDGEOPS_WIRE_SCHEMA_H

#include "edgeops/trust.h"
#include "edgeops/wire.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum eo_kind {
    EO_KIND_UINT,   /* limit: bits. Stored in the smallest of 1, 2, 4 or 8 bytes */
    EO_KIND_SINT,   /* limit: bits, 16 or 64. Stored in 2 or 8 bytes */
    EO_KIND_FLAG,   /* stored as bool */
    EO_KIND_TEXT,   /* limit: bytes. Stored as eo_view */
    EO_KIND_BYTES,  /* limit: bytes at most, of: bytes at least. Stored as eo_view */
    EO_KIND_FIXED,  /* limit: bytes. Stored as a pointer to them */
    EO_KIND_LIST,   /* limit: items at most, of: the row of an item. Stored as eo_items */
    EO_KIND_ARRAY,  /* the same, of numbers that are stored themselves: limit of them, then their number, a byte */
    EO_KIND_MAP,    /* limit: entries at most, of: the row of a key, a value's is the next. Stored as eo_items */
    EO_KIND_NESTED, /* of: the message. Stored as its structure */
    EO_KIND_MASK = 15,
    EO_KIND_REQUIRED = 128
} eo_kind;

#define EO_NOWHERE 0xFFFFu /* an offset: checked and not stored */

typedef struct eo_row {
    uint8_t kind;
    uint8_t of;
    uint16_t limit;
    uint16_t offset; /* in the message's structure */
} eo_row;

/* The rows of the keys 1 to `count`. */
typedef struct eo_schema {
    uint8_t first;
    uint8_t count;
} eo_schema;

/* The messages, in the order of eo_schemas. What is stored where: see schema.c. */
typedef enum eo_message {
    EO_MESSAGE_BLOB_REF,
    EO_MESSAGE_REPORT_POLICY,
    EO_MESSAGE_SHIFTED_BINS,
    EO_MESSAGE_CAPTURE_POLICY,
    EO_MESSAGE_TRANSFER,
    EO_MESSAGE_DESIRED_MODEL,
    EO_MESSAGE_DESIRED,
    EO_MESSAGE_RECEIPT,
    EO_MESSAGE_TRUST_ROOT,
    EO_MESSAGE_ARTIFACT,
    EO_MESSAGE_TENSOR_CONTRACT,
    EO_MESSAGE_RAW_CONTRACT,
    EO_MESSAGE_STEP,
    EO_MESSAGE_TRIAL,
    EO_MESSAGE_MANIFEST,
    EO_MESSAGE_FEATURE_PLAN,
    EO_MESSAGE_OBSERVE_PLAN,
    EO_MESSAGE_SELF_TEST,
    EO_MESSAGE_END
} eo_message;

extern const eo_row eo_rows[];
extern const uint8_t eo_row_count;
extern const eo_schema eo_schemas[EO_MESSAGE_END];

/* What is stored of a Transfer. */
typedef struct eo_any_transfer {
    eo_transfer cut;
    const uint8_t *base; /* NULL: no patch */
} eo_any_transfer;

/* What is stored of a FeaturePlan: its places. */
typedef struct eo_feature_plan {
    eo_view name;
    eo_items edges;
    eo_items reference;
    int64_t mean;
    uint64_t deviation;
} eo_feature_plan;

/* What is stored of an ObservePlan. */
typedef struct eo_observe_message {
    eo_items features; /* FeaturePlan */
    eo_items confidence;
    eo_items classes;
    eo_feature_plan margin;
    eo_view fourier;
} eo_observe_message;

/* Checks the message that begins at `*at`, in bytes that eo_cbor_check accepted, with everything in it, and stores
 * its fields into `out`; what is left out stays as it was. `*at` goes behind it. `seen` (may be NULL): bit n says
 * that key n is there. EO_MALFORMED, EO_UNSUPPORTED. About 200 bytes of stack. */
eo_status eo_schema_walk(eo_message message, void *out, const uint8_t **at, uint32_t *seen);

/* eo_cbor_check and eo_schema_walk of a payload of at most `most` bytes, into an `out` of `out_size` bytes that is
 * set to zero before. */
eo_status eo_schema_read(eo_message message, void *out, size_t out_size, const uint8_t *payload, size_t size,
                         size_t most, uint32_t *seen);

/* The next message of a list that was checked, into `out`, which is set to zero before; EO_NOT_FOUND at its end. */
eo_status eo_schema_next(eo_message message, void *out, size_t out_size, eo_items *items);

/* The value of an entry of a map with text keys that was checked: its place, or NULL. `key` NULL: the first entry. */
const uint8_t *eo_schema_find(eo_items map, const char *key, eo_view *found);

#ifdef __cplusplus
}
#endif
#endif
