/* Writing deterministic CBOR into the caller's memory. What does not fit, or is longer than its field allows, is
 * remembered; the status at the end says so. */
#ifndef EDGEOPS_WIRE_CBOR_WRITE_H
#define EDGEOPS_WIRE_CBOR_WRITE_H

#include "edgeops/wire.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct eo_writer {
    uint8_t *bytes;
    size_t size;
    size_t room;
    eo_status status;
} eo_writer;

/* A message of at most `most` bytes. */
void eo_write_begin(eo_writer *writer, uint8_t *bytes, size_t room, size_t most);

/* The status of all that was written; the size where it is EO_OK, otherwise 0. */
eo_status eo_write_end(const eo_writer *writer, size_t *size);

/* The head of an item: a number, or a container of `value` items. */
void eo_write_head(eo_writer *writer, uint8_t major, uint64_t value);
void eo_write_bool(eo_writer *writer, bool value);
void eo_write_bytes(eo_writer *writer, const uint8_t *bytes, size_t size);
/* UTF-8 with a zero at its end; EO_RANGE when longer than `most` bytes, EO_ARGUMENT for NULL. */
void eo_write_text(eo_writer *writer, const char *text, size_t most);

/* Entries of a message: a key and its value. */
void eo_write_number_at(eo_writer *writer, uint8_t key, uint64_t value);
void eo_write_text_at(eo_writer *writer, uint8_t key, const char *text, size_t most);
/* Nothing where the digest is NULL. */
void eo_write_digest_at(eo_writer *writer, uint8_t key, const uint8_t *digest);

#ifdef __cplusplus
}
#endif
#endif
