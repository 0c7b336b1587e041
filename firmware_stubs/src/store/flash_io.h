/* The agent's flash in pieces of any size, so that it survives a power cut at any operation.
 *
 * What is written is read back; what stands there already is not written again, so that a transfer that was cut off
 * goes on over what it had written. */
#ifndef EDGEOPS_STORE_FLASH_IO_H
#define EDGEOPS_STORE_FLASH_IO_H

#include <stdbool.h>

#include "edgeops/port.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EO_MAX_PROGRAM_BYTES 32u

/* Writes bytes one after the other, in units of program_bytes. */
typedef struct eo_flash_writer {
    const eo_port *port;
    uint32_t at;    /* of the unit that is being filled */
    uint32_t limit; /* the first place that is not its own */
    uint32_t filled;
    eo_status status; /* the first that was not EO_OK; nothing is written from then on */
    uint8_t unit[EO_MAX_PROGRAM_BYTES];
} eo_flash_writer;

/* Reads through the port, so that flash with error correction can answer that a torn word cannot be read. */
eo_status eo_flash_read(const eo_port *port, uint32_t at, void *bytes, size_t size);

uint32_t eo_round_up(uint32_t value, uint32_t unit);

/* `at` is a multiple of program_bytes. EO_FULL once more comes than has room before `limit`. */
void eo_flash_write_begin(eo_flash_writer *writer, const eo_port *port, uint32_t at, uint32_t limit);
void eo_flash_write(eo_flash_writer *writer, const void *bytes, size_t size);
/* Fills the last unit up with 0xFF. EO_IO: the flash failed, or something else stands there and must be erased. */
eo_status eo_flash_write_end(eo_flash_writer *writer);

/* The same at once, of two pieces that follow one another. */
eo_status eo_flash_put(const eo_port *port, uint32_t at, uint32_t limit, const void *first, size_t first_size,
                       const void *second, size_t second_size);

/* Whether all of a range reads as erased. */
bool eo_flash_blank(const eo_port *port, uint32_t at, uint32_t size);

/* Erases the block at `at` unless it is blank. */
eo_status eo_flash_clear(const eo_port *port, uint32_t at);

/* CRC-32 (the one of Ethernet and ZIP), continued from `crc`, 0 at first. */
uint32_t eo_crc32(uint32_t crc, const void *bytes, size_t size);
/* Of a range of the flash; EO_IO where it cannot be read. */
eo_status eo_flash_crc32(const eo_port *port, uint32_t at, uint32_t size, uint32_t *crc);
/* Whether a range of the flash can be read and has this SHA-256. */
bool eo_flash_holds(const eo_port *port, uint32_t at, uint32_t size, const uint8_t sha256[32]);

#ifdef __cplusplus
}
#endif
#endif
