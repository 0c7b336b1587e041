/* A file that behaves like flash: writes go to erased units only. A process that is killed loses nothing of what was
 * written; a machine that loses power may lose what came after the last erase or sync, and keep it in another order. */
#ifndef EDGEOPS_POSIX_FLASH_FILE_H
#define EDGEOPS_POSIX_FLASH_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edgeops/status.h"

typedef struct flash_file {
    uint8_t *base;
    uint32_t bytes;
    uint64_t found; /* the file's size when it was opened */
    uint32_t erase_bytes;
    int file;
    bool unsynced; /* something was written since the last erase or sync */
} flash_file;

/* Opens it, erased where it is new, and keeps other processes out: EAGAIN or EACCES where one has it, EFBIG where it
 * was made with another size. 0, or -1 with errno. */
int flash_file_open(flash_file *flash, const char *path, uint32_t bytes, uint32_t erase_bytes);
eo_status flash_file_read(const flash_file *flash, uint32_t at, void *bytes, size_t size);
eo_status flash_file_program(flash_file *flash, uint32_t at, const void *bytes, size_t size);
eo_status flash_file_erase(flash_file *flash, uint32_t at);
/* All that was written is on the disk when it returns; EO_IO. */
eo_status flash_file_sync(flash_file *flash);

#endif
