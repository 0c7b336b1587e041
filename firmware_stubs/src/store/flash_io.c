#include "store/flash_io.h"

#include <string.h>

#include "trust/sha256.h"

#define PIECE 64u

eo_status eo_flash_read(const eo_port *port, uint32_t at, void *bytes, size_t size) {
    return port->flash_read(port->context, at, bytes, size);
}

uint32_t eo_round_up(uint32_t value, uint32_t unit) {
    return (value + unit - 1u) / unit * unit;
}

void eo_flash_write_begin(eo_flash_writer *writer, const eo_port *port, uint32_t at, uint32_t limit) {
    writer->port = port;
    writer->at = at;
    writer->limit = limit;
    writer->filled = 0;
    writer->status = EO_OK;
}

static bool all_erased(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0xFFu)
            return false;
    return true;
}

static eo_status write_unit(const eo_flash_writer *writer, uint32_t size) {
    const eo_port *port = writer->port;
    uint8_t there[EO_MAX_PROGRAM_BYTES];
    if (size > writer->limit || writer->at > writer->limit - size)
        return EO_FULL;
    if (eo_flash_read(port, writer->at, there, size) != EO_OK)
        return EO_IO;
    if (memcmp(there, writer->unit, size) == 0)
        return EO_OK;
    if (!all_erased(there, size) || port->flash_program(port->context, writer->at, writer->unit, size) != EO_OK ||
        eo_flash_read(port, writer->at, there, size) != EO_OK || memcmp(there, writer->unit, size) != 0)
        return EO_IO;
    return EO_OK;
}

void eo_flash_write(eo_flash_writer *writer, const void *bytes, size_t size) {
    const uint8_t *from = bytes;
    const uint32_t unit = writer->port->flash.program_bytes;
    while (size > 0 && writer->status == EO_OK) {
        uint32_t part = unit - writer->filled;
        if (part > size)
            part = (uint32_t)size;
        memcpy(writer->unit + writer->filled, from, part);
        writer->filled += part;
        from += part;
        size -= part;
        if (writer->filled == unit) {
            writer->status = write_unit(writer, unit);
            writer->at += unit;
            writer->filled = 0;
        }
    }
}

eo_status eo_flash_write_end(eo_flash_writer *writer) {
    static const uint8_t erased = 0xFFu;
    while (writer->filled > 0 && writer->status == EO_OK)
        eo_flash_write(writer, &erased, 1);
    return writer->status;
}

eo_status eo_flash_put(const eo_port *port, uint32_t at, uint32_t limit, const void *first, size_t first_size,
                       const void *second, size_t second_size) {
    eo_flash_writer writer;
    eo_flash_write_begin(&writer, port, at, limit);
    eo_flash_write(&writer, first, first_size);
    eo_flash_write(&writer, second, second_size);
    return eo_flash_write_end(&writer);
}

bool eo_flash_blank(const eo_port *port, uint32_t at, uint32_t size) {
    uint8_t piece[PIECE];
    while (size > 0) {
        const uint32_t part = size < PIECE ? size : PIECE;
        if (eo_flash_read(port, at, piece, part) != EO_OK || !all_erased(piece, part))
            return false;
        at += part;
        size -= part;
    }
    return true;
}

eo_status eo_flash_clear(const eo_port *port, uint32_t at) {
    const uint32_t size = port->flash.erase_bytes;
    /* that it is blank then shows when it is written */
    return eo_flash_blank(port, at, size) ? EO_OK : port->flash_erase(port->context, at);
}

uint32_t eo_crc32(uint32_t crc, const void *bytes, size_t size) {
    const uint8_t *from = bytes;
    crc = ~crc;
    while (size-- > 0) {
        crc ^= *from++;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
    }
    return ~crc;
}

eo_status eo_flash_crc32(const eo_port *port, uint32_t at, uint32_t size, uint32_t *crc) {
    uint8_t piece[PIECE];
    while (size > 0) {
        const uint32_t part = size < PIECE ? size : PIECE;
        if (eo_flash_read(port, at, piece, part) != EO_OK)
            return EO_IO;
        *crc = eo_crc32(*crc, piece, part);
        at += part;
        size -= part;
    }
    return EO_OK;
}

bool eo_flash_holds(const eo_port *port, uint32_t at, uint32_t size, const uint8_t sha256[32]) {
    uint8_t piece[PIECE], digest[32];
    eo_sha256_state hash;
    eo_sha256_start(&hash);
    while (size > 0) {
        const uint32_t part = size < PIECE ? size : PIECE;
        if (eo_flash_read(port, at, piece, part) != EO_OK)
            return false;
        eo_sha256_update(&hash, piece, part);
        at += part;
        size -= part;
    }
    eo_sha256_finish(&hash, digest);
    return memcmp(digest, sha256, sizeof digest) == 0;
}
