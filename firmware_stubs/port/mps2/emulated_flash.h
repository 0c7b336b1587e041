/* A flash that is RAM, and a file of the host behind it: what was written is there again after a kill.
 *
 * It is as strict as a real one: only erased units can be programmed, in whole units, erased in whole blocks. */
#ifndef EDGEOPS_PORT_MPS2_EMULATED_FLASH_H
#define EDGEOPS_PORT_MPS2_EMULATED_FLASH_H

#include "edgeops/port.h"

#define FLASH_ERASE_BYTES 4096u
#define FLASH_PROGRAM_BYTES 8u

typedef struct emulated_flash {
    uint8_t *base;
    uint32_t bytes;
    int file;
} emulated_flash;

/* Takes over what the file holds; makes the file, or the rest of it, where it ends before. EO_IO, or
 * EO_TOO_SMALL for a file with more than `bytes`. */
eo_status emulated_flash_open(emulated_flash *flash, uint8_t *base, uint32_t bytes, const char *path);

/* As in port.h; each is in the file when it returns. EO_ARGUMENT for a place outside or between units, EO_IO for
 * a unit that was not erased or a file that cannot be written. */
eo_status emulated_flash_read(const emulated_flash *flash, uint32_t at, void *bytes, size_t size);
eo_status emulated_flash_program(emulated_flash *flash, uint32_t at, const void *bytes, size_t size);
eo_status emulated_flash_erase(emulated_flash *flash, uint32_t at);

#endif
