/* See emulated_flash.h. */
#include "emulated_flash.h"

#include <string.h>

#include "semihosting.h"

#define ERASED 0xFFu

static eo_status write_through(const emulated_flash *flash, uint32_t at, size_t size)
{
    const int failed = semihosting_seek(flash->file, at) != 0 ||
                       semihosting_write(flash->file, flash->base + at, size) != 0;
    return failed ? EO_IO : EO_OK;
}

eo_status emulated_flash_open(emulated_flash *flash, uint8_t *base, uint32_t bytes, const char *path)
{
    flash->base = base;
    flash->bytes = bytes;
    flash->file = semihosting_open(path, SEMIHOSTING_CHANGE);
    if (flash->file < 0) {
        flash->file = semihosting_open(path, SEMIHOSTING_REPLACE);
    }
    const int32_t length = flash->file < 0 ? -1 : semihosting_length(flash->file);
    if (length > 0 && (uint32_t)length > bytes) {
        return EO_TOO_SMALL;
    }
    if (length < 0 || semihosting_seek(flash->file, 0) != 0 ||
        semihosting_read(flash->file, base, (size_t)length) != 0) {
        return EO_IO;
    }
    const uint32_t kept = (uint32_t)length;
    memset(base + kept, ERASED, bytes - kept);
    return kept == bytes ? EO_OK : write_through(flash, kept, bytes - kept);
}

static int is_inside(const emulated_flash *flash, uint32_t at, size_t size, uint32_t unit)
{
    return at <= flash->bytes && size <= flash->bytes - at && at % unit == 0 && size % unit == 0;
}

eo_status emulated_flash_read(const emulated_flash *flash, uint32_t at, void *bytes, size_t size)
{
    if (!is_inside(flash, at, size, 1)) {
        return EO_ARGUMENT;
    }
    memcpy(bytes, flash->base + at, size);
    return EO_OK;
}

eo_status emulated_flash_program(emulated_flash *flash, uint32_t at, const void *bytes, size_t size)
{
    if (!is_inside(flash, at, size, FLASH_PROGRAM_BYTES)) {
        return EO_ARGUMENT;
    }
    for (size_t i = 0; i < size; i++) {
        if (flash->base[at + i] != ERASED) {
            return EO_IO;
        }
    }
    memcpy(flash->base + at, bytes, size);
    return write_through(flash, at, size);
}

eo_status emulated_flash_erase(emulated_flash *flash, uint32_t at)
{
    if (!is_inside(flash, at, FLASH_ERASE_BYTES, FLASH_ERASE_BYTES)) {
        return EO_ARGUMENT;
    }
    memset(flash->base + at, ERASED, FLASH_ERASE_BYTES);
    return write_through(flash, at, FLASH_ERASE_BYTES);
}
