#include "store/slot.h"

#include <string.h>

#include "edgeops/config.h"
#include "store/flash_io.h"

#define MAGIC 0x4D4F4545u
#define ALIGNMENT 8u /* of blobs: plans are read in place */

typedef struct manifest_head {
    uint32_t magic;
    uint32_t size;
    uint32_t payload_offset; /* from the envelope's first byte */
    uint32_t payload_size;
    uint32_t crc; /* of all before */
} manifest_head;

uint32_t eo_manifest_place(const eo_port *port, uint32_t area) {
    return area + eo_round_up((uint32_t)sizeof(manifest_head), port->flash.program_bytes);
}

bool eo_manifest_find(const eo_port *port, uint32_t area, uint32_t limit, const uint8_t digest[32],
                      eo_kept_manifest *kept) {
    manifest_head head;
    kept->at = eo_manifest_place(port, area);
    if (eo_flash_read(port, area, &head, sizeof head) != EO_OK || head.magic != MAGIC ||
        head.crc != eo_crc32(0, &head, offsetof(manifest_head, crc)) || head.size > limit - kept->at ||
        head.payload_offset > head.size || head.payload_size > head.size - head.payload_offset)
        return false;
    kept->size = head.size;
    kept->payload_at = kept->at + head.payload_offset;
    kept->payload_size = head.payload_size;
    return eo_flash_holds(port, kept->at, kept->size, digest);
}

eo_status eo_manifest_seal(const eo_port *port, uint32_t area, const eo_kept_manifest *kept) {
    manifest_head head = {MAGIC, kept->size, kept->payload_at - kept->at, kept->payload_size, 0};
    if (kept->payload_at == 0)
        head.payload_offset = 0;
    head.crc = eo_crc32(0, &head, offsetof(manifest_head, crc));
    return eo_flash_put(port, area, kept->at, &head, sizeof head, NULL, 0);
}

eo_status eo_manifest_copy(const eo_port *port, uint32_t area, uint32_t limit, const eo_kept_manifest *from) {
    eo_kept_manifest to = *from;
    to.at = eo_manifest_place(port, area);
    to.payload_at = to.at + (from->payload_at - from->at);
    const eo_status status = eo_flash_put(port, to.at, limit, port->flash.base + from->at, from->size, NULL, 0);
    return status == EO_OK ? eo_manifest_seal(port, area, &to) : status;
}

static void place(eo_slot_layout *layout, const eo_port *port, uint8_t part, const uint8_t *sha256, uint32_t size,
                  uint32_t chunk_bytes, uint32_t chunks) {
    const uint32_t unit = port->flash.program_bytes > ALIGNMENT ? port->flash.program_bytes : ALIGNMENT;
    eo_slot_blob *blob = &layout->blobs[part];
    blob->sha256 = sha256;
    blob->at = layout->bytes; /* from the slot's first byte, until all is known to fit */
    blob->size = size;
    blob->chunk_bytes = chunk_bytes;
    blob->first = layout->chunks;
    blob->chunks = (uint16_t)chunks;
    layout->chunks = (uint16_t)(layout->chunks + chunks);
    layout->bytes += eo_round_up(size, unit);
}

eo_status eo_slot_layout_of(eo_slot_layout *layout, const eo_port *port, uint32_t slot, uint32_t slot_bytes,
                            uint32_t envelope_bytes, const eo_manifest *manifest) {
    const eo_blob_ref *refs[] = {&manifest->observe, &manifest->vectors, &manifest->artifact.blob};
    memset(layout, 0, sizeof *layout);
    layout->bytes = eo_round_up(eo_manifest_place(port, 0) + envelope_bytes, port->flash.erase_bytes);
    uint32_t total = 0;
    for (uint8_t i = 0; i < 3u; i++) {
        const uint32_t chunks = eo_blob_chunks(refs[i]);
        total += chunks + 1u;
        if (chunks > EO_MAX_CHUNKS || total > EO_MAX_CHUNKS)
            return EO_TOO_SMALL;
        if (chunks > 1u && refs[i]->chunk_bytes % port->flash.program_bytes != 0)
            return EO_UNSUPPORTED;
    }
    for (uint8_t i = 0; i < 3u; i++) {
        const uint32_t chunks = eo_blob_chunks(refs[i]);
        if (chunks > 1u)
            place(layout, port, i, refs[i]->chunk_list, 32u * chunks, 32u * chunks, 1);
    }
    for (uint8_t i = 0; i < 3u; i++)
        place(layout, port, (uint8_t)(EO_PART_OBSERVE + i), refs[i]->sha256, refs[i]->size, refs[i]->chunk_bytes,
              eo_blob_chunks(refs[i]));
    if (layout->bytes > slot_bytes)
        return EO_FULL;
    for (uint8_t i = 0; i < EO_PART_COUNT; i++)
        layout->blobs[i].at += slot;
    return EO_OK;
}

void eo_slot_chunk(const eo_slot_layout *layout, const eo_port *port, const uint8_t *has, uint16_t number,
                   eo_chunk *chunk) {
    uint8_t part = 0;
    while (part + 1u < EO_PART_COUNT && (layout->blobs[part].chunks == 0 ||
                                         number >= layout->blobs[part].first + layout->blobs[part].chunks))
        part++;
    const eo_slot_blob *blob = &layout->blobs[part];
    chunk->part = part;
    chunk->index = (uint16_t)(number - blob->first);
    const uint32_t offset = chunk->index * blob->chunk_bytes;
    chunk->at = blob->at + offset;
    chunk->size = blob->size - offset < blob->chunk_bytes ? blob->size - offset : blob->chunk_bytes;
    chunk->sha256 = blob->sha256;
    if (blob->chunks > 1u) {
        const eo_slot_blob *list = &layout->blobs[part - EO_PART_OBSERVE];
        chunk->sha256 = eo_bit(has, list->first) ? port->flash.base + list->at + 32u * chunk->index : NULL;
    }
}

bool eo_bit(const uint8_t *bits, uint16_t number) {
    return ((bits[number >> 3] >> (number & 7)) & 1) != 0;
}

void eo_set_bit(uint8_t *bits, uint16_t number, bool value) {
    const uint8_t mask = (uint8_t)(1u << (number & 7));
    bits[number >> 3] = (uint8_t)(value ? bits[number >> 3] | mask : bits[number >> 3] & ~mask);
}
