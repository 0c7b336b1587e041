/* A model version in the flash: its signed manifest, then the blobs that it names, at places that follow from it.
 *
 *     head | manifest's envelope | ... erase boundary ... | lists of chunks and blobs, each where a program unit begins
 *
 * There is no list of what is there: a chunk is there when its bytes have its digest, so that a power cut cannot make
 * a difference between the two. The head is written after the envelope, and the envelope after the slot was erased. */
#ifndef EDGEOPS_STORE_SLOT_H
#define EDGEOPS_STORE_SLOT_H

#include <stdbool.h>

#include "edgeops/port.h"
#include "edgeops/wire.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A signed manifest in the flash. */
typedef struct eo_kept_manifest {
    uint32_t at; /* of the envelope */
    uint32_t size;
    uint32_t payload_at, payload_size; /* the manifest in it; 0 before its signatures were checked */
} eo_kept_manifest;

/* Where the envelope of an area lies. */
uint32_t eo_manifest_place(const eo_port *port, uint32_t area);
/* The manifest that stands in an area, if its bytes have this digest. */
bool eo_manifest_find(const eo_port *port, uint32_t area, uint32_t limit, const uint8_t digest[32],
                      eo_kept_manifest *kept);
/* Writes the head: the envelope is there as a whole. kept->at is of this area. */
eo_status eo_manifest_seal(const eo_port *port, uint32_t area, const eo_kept_manifest *kept);
/* Copies a manifest into an erased area and seals it. */
eo_status eo_manifest_copy(const eo_port *port, uint32_t area, uint32_t limit, const eo_kept_manifest *from);

typedef enum eo_slot_part {
    EO_PART_OBSERVE_LIST, /* lists first: chunks are judged by them */
    EO_PART_VECTORS_LIST,
    EO_PART_MODEL_LIST,
    EO_PART_OBSERVE,
    EO_PART_VECTORS,
    EO_PART_MODEL,
    EO_PART_COUNT
} eo_slot_part;

/* One blob, or list, in a slot; a list is one chunk. */
typedef struct eo_slot_blob {
    const uint8_t *sha256; /* in the manifest */
    uint32_t at;           /* in the flash */
    uint32_t size;
    uint32_t chunk_bytes;
    uint16_t first;  /* number of its first chunk among all chunks of the slot */
    uint16_t chunks; /* 0 where there is nothing to fetch */
} eo_slot_blob;

typedef struct eo_slot_layout {
    eo_slot_blob blobs[EO_PART_COUNT];
    uint16_t chunks; /* of all */
    uint32_t bytes;  /* of the slot that are needed */
} eo_slot_layout;

/* Where the blobs of a manifest lie in a slot that begins at `slot`. EO_FULL: more than slot_bytes (layout->bytes says
 * how many are needed); EO_TOO_SMALL: more chunks than EO_MAX_CHUNKS; EO_UNSUPPORTED: chunks that are no multiple of
 * the flash's program unit. */
eo_status eo_slot_layout_of(eo_slot_layout *layout, const eo_port *port, uint32_t slot, uint32_t slot_bytes,
                            uint32_t envelope_bytes, const eo_manifest *manifest);

typedef struct eo_chunk {
    uint8_t part;
    uint16_t index; /* within the blob */
    uint32_t at;
    uint32_t size;
    const uint8_t *sha256; /* in the flash; NULL while the list is not there */
} eo_chunk;

/* A chunk by its number. `has` says of each number whether it is there. */
void eo_slot_chunk(const eo_slot_layout *layout, const eo_port *port, const uint8_t *has, uint16_t number,
                   eo_chunk *chunk);

bool eo_bit(const uint8_t *bits, uint16_t number);
void eo_set_bit(uint8_t *bits, uint16_t number, bool value);

#ifdef __cplusplus
}
#endif
#endif
