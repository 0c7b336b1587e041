/* Reading deterministic CBOR: one pass checks a whole payload, after that its items are read without looking back. */
#ifndef EDGEOPS_WIRE_CBOR_READ_H
#define EDGEOPS_WIRE_CBOR_READ_H

#include "edgeops/wire.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    EO_CBOR_UINT,
    EO_CBOR_NEGATIVE,
    EO_CBOR_BYTES,
    EO_CBOR_TEXT,
    EO_CBOR_LIST,
    EO_CBOR_MAP,
    EO_CBOR_TAG,
    EO_CBOR_SIMPLE
};
enum { EO_CBOR_FALSE = 20, EO_CBOR_TRUE = 21, EO_CBOR_NULL = 22 };

/* The room that is given for bytes that passed the check: more than any head takes. */
#define EO_CBOR_CHECKED 9u

/* The first bytes of an item: what it is, and its value, length or number of items. */
typedef struct eo_head {
    uint64_t value;
    uint8_t major;
} eo_head;

/* Bytes that the head takes; 0 where it does not fit into `room`, is longer than needed or reserved. */
size_t eo_cbor_head(eo_head *head, const uint8_t *at, size_t room);

/* EO_OK: `bytes` are one item of what edgeops/core/codec.py calls deterministic, and nothing behind it. Otherwise
 * EO_MALFORMED. About 200 bytes of stack. */
eo_status eo_cbor_check(const uint8_t *bytes, size_t size);

/* Behind the item that begins here. Only in bytes that passed the check. */
const uint8_t *eo_cbor_skip(const uint8_t *at);

/* A text or byte string at `at`; the place behind it. Only in bytes that passed the check. */
const uint8_t *eo_cbor_view(eo_view *view, const uint8_t *at);

#ifdef __cplusplus
}
#endif
#endif
