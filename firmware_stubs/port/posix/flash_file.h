/* A file that behaves like flash: writes go to erased units only. A process that is killed loses nothing of what was
 * written; a machine that loses power may lose what came after the last erase, and keep it in another order. */
#ifndef EDGEOPS_POSIX_FLASH_FILE_H
#define EDGEOPS_POSIX_FLASH_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "edgeops/status.h"

typedef struct flash_file {
    uint8_t *base;
    uint32_t bytes;
    uint32_t erase_bytes;
    int file;
} flash_file;

/* Opens it, erased where it is new. 0, or -1 with errno. */
int flash_file_open(flash_file *flash, const char *path, uint32_t bytes, uint32_t erase_bytes);
eo_status flash_file_read(const flash_file *flash, uint32_t at, void *bytes, size_t size);
eo_status flash_file_program(flash_file *flash, uint32_t at, const void *bytes, size_t size);
eo_status flash_file_erase(flash_file *flash, uint32_t at);

#endif
