#include "store/journal.h"

#include <stdbool.h>

#include "store/flash_io.h"

#define MAGIC 0x4A4F4545u

typedef struct record_head {
    uint32_t magic;
    uint32_t number;
    uint32_t size;
    uint32_t crc; /* of number, size and payload */
} record_head;

static uint32_t head_crc(const record_head *head) {
    return eo_crc32(0, &head->number, 2u * sizeof(uint32_t));
}

/* Whether a whole record stands there. */
static bool read_record(const eo_journal *journal, uint32_t at, record_head *head) {
    const eo_port *port = journal->port;
    if (eo_flash_read(port, at, head, sizeof *head) != EO_OK || head->magic != MAGIC ||
        head->size > journal->stride - sizeof *head)
        return false;
    uint32_t crc = head_crc(head);
    return eo_flash_crc32(port, at + (uint32_t)sizeof *head, head->size, &crc) == EO_OK && crc == head->crc;
}

void eo_journal_open(eo_journal *journal, const eo_port *port, uint32_t at, uint32_t bytes, uint32_t most) {
    journal->port = port;
    journal->at = at;
    journal->bytes = bytes;
    journal->stride = eo_round_up(most + (uint32_t)sizeof(record_head), port->flash.program_bytes);
    journal->number = 0;
    journal->newest_at = 0;
    journal->newest_size = 0;
    journal->area = 1; /* nothing is there: the first record erases the first area */
    journal->place = bytes;
    for (uint32_t area = 0; area < 2u; area++)
        for (uint32_t place = 0; place + journal->stride <= bytes; place += journal->stride) {
            record_head head;
            const uint32_t here = at + area * bytes + place;
            if (read_record(journal, here, &head) && head.number > journal->number) {
                journal->number = head.number;
                journal->newest_at = here + (uint32_t)sizeof head;
                journal->newest_size = head.size;
                journal->area = area;
                journal->place = place + journal->stride;
            }
        }
}

static eo_status erase_area(const eo_journal *journal, uint32_t area) {
    for (uint32_t place = 0; place < journal->bytes; place += journal->port->flash.erase_bytes) {
        const eo_status status = eo_flash_clear(journal->port, journal->at + area * journal->bytes + place);
        if (status != EO_OK)
            return status;
    }
    return EO_OK;
}

eo_status eo_journal_write(eo_journal *journal, const void *payload, uint32_t size) {
    record_head head = {MAGIC, journal->number + 1u, size, 0};
    if (size + sizeof head > journal->stride)
        return EO_TOO_SMALL;
    head.crc = eo_crc32(head_crc(&head), payload, size);
    /* Places that are not blank, or fail, are passed over; the other area is erased at most once. */
    for (bool erased = false;;) {
        if (journal->place + journal->stride > journal->bytes) {
            if (erased)
                return EO_IO;
            /* never the one that holds the newest record, also when the other one keeps failing */
            const uint32_t area = journal->number > 0 && journal->newest_at < journal->at + journal->bytes ? 1u : 0u;
            const eo_status status = erase_area(journal, area);
            if (status != EO_OK)
                return status;
            erased = true;
            journal->area = area;
            journal->place = 0;
        }
        const uint32_t at = journal->at + journal->area * journal->bytes + journal->place;
        journal->place += journal->stride;
        if (!eo_flash_blank(journal->port, at, journal->stride))
            continue;
        if (eo_flash_put(journal->port, at, at + journal->stride, &head, sizeof head, payload, size) == EO_OK) {
            journal->number = head.number;
            journal->newest_at = at + (uint32_t)sizeof head;
            journal->newest_size = size;
            return EO_OK;
        }
    }
}
