#define _XOPEN_SOURCE 700 /* with lockf */

#include "flash_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int write_all(int file, const void *bytes, size_t size, off_t at) {
    const uint8_t *from = bytes;
    while (size > 0) {
        const ssize_t done = pwrite(file, from, size, at);
        if (done < 0 && errno != EINTR)
            return -1;
        if (done > 0) {
            from += done;
            size -= (size_t)done;
            at += done;
        }
    }
    return 0;
}

/* Erased to its end: a file that is shorter than it should be was then never written to, but its making was cut off. */
static bool is_erased(int file, off_t size) {
    uint8_t part[512];
    for (off_t at = 0; at < size;) {
        const ssize_t got = pread(file, part, sizeof part, at);
        if (got <= 0)
            return false;
        for (ssize_t i = 0; i < got; i++)
            if (part[i] != 0xFFu)
                return false;
        at += got;
    }
    return true;
}

int flash_file_open(flash_file *flash, const char *path, uint32_t bytes, uint32_t erase_bytes) {
    flash->bytes = bytes;
    flash->erase_bytes = erase_bytes;
    flash->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (flash->file < 0 || lockf(flash->file, F_TLOCK, 0) != 0)
        return -1;
    const off_t found = lseek(flash->file, 0, SEEK_END);
    if (found < 0)
        return -1;
    flash->found = (uint64_t)found;
    if (found > (off_t)bytes || (found < (off_t)bytes && !is_erased(flash->file, found))) {
        errno = EFBIG;
        return -1;
    }
    uint8_t erased[512];
    memset(erased, 0xFF, sizeof erased);
    for (off_t at = found; at < (off_t)bytes;) {
        const size_t part = (size_t)((off_t)bytes - at) < sizeof erased ? (size_t)((off_t)bytes - at) : sizeof erased;
        if (write_all(flash->file, erased, part, at) != 0)
            return -1;
        at += (off_t)part;
    }
    void *mapped = mmap(NULL, bytes, PROT_READ, MAP_SHARED, flash->file, 0);
    if (mapped == MAP_FAILED)
        return -1;
    flash->base = mapped;
    return 0;
}

eo_status flash_file_read(const flash_file *flash, uint32_t at, void *bytes, size_t size) {
    if (at > flash->bytes || size > flash->bytes - at)
        return EO_ARGUMENT;
    memcpy(bytes, flash->base + at, size);
    return EO_OK;
}

eo_status flash_file_program(flash_file *flash, uint32_t at, const void *bytes, size_t size) {
    if (at > flash->bytes || size > flash->bytes - at)
        return EO_ARGUMENT;
    for (size_t i = 0; i < size; i++)
        if (flash->base[at + i] != 0xFFu)
            return EO_IO;
    flash->unsynced = true;
    return write_all(flash->file, bytes, size, (off_t)at) == 0 ? EO_OK : EO_IO;
}

eo_status flash_file_erase(flash_file *flash, uint32_t at) {
    uint8_t erased[512];
    if (at % flash->erase_bytes != 0 || at >= flash->bytes)
        return EO_ARGUMENT;
    memset(erased, 0xFF, sizeof erased);
    for (uint32_t done = 0; done < flash->erase_bytes; done += (uint32_t)sizeof erased) {
        const size_t part = flash->erase_bytes - done < sizeof erased ? flash->erase_bytes - done : sizeof erased;
        if (write_all(flash->file, erased, part, (off_t)(at + done)) != 0)
            return EO_IO;
    }
    /* Before something else takes its place, all that was written before is on the disk. */
    flash->unsynced = true;
    return flash_file_sync(flash);
}

eo_status flash_file_sync(flash_file *flash) {
    if (flash->unsynced && fdatasync(flash->file) != 0)
        return EO_IO;
    flash->unsynced = false;
    return EO_OK;
}
