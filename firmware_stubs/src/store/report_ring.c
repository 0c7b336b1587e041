#include "store/report_ring.h"

#include <string.h>

#include "store/flash_io.h"

#define SECTOR_MAGIC 0x53524F45u
#define REPORT_MAGIC 0x52524F45u

typedef struct sector_head {
    uint32_t magic;
    uint32_t number;
    uint32_t crc; /* of the two before */
} sector_head;

typedef struct report_head {
    uint32_t magic;
    uint32_t size; /* of the payload */
    uint32_t payload_crc;
    uint32_t crc; /* of the three before */
} report_head;

typedef enum found { FOUND_END, FOUND_TORN, FOUND_ACKNOWLEDGED, FOUND_WAITING } found;

static uint32_t unit_of(const eo_report_ring *ring) {
    return ring->port->flash.program_bytes;
}

static uint32_t rounded(const eo_report_ring *ring, uint32_t size) {
    return eo_round_up(size, unit_of(ring));
}

static uint32_t sector_at(const eo_report_ring *ring, uint32_t sector) {
    return ring->at + sector * ring->sector_bytes;
}

static uint32_t first_place(const eo_report_ring *ring) {
    return rounded(ring, (uint32_t)sizeof(sector_head));
}

/* The number of a sector, 0 where its head is none. */
static uint32_t sector_number(const eo_report_ring *ring, uint32_t sector) {
    sector_head head;
    if (eo_flash_read(ring->port, sector_at(ring, sector), &head, sizeof head) != EO_OK ||
        head.magic != SECTOR_MAGIC || head.crc != eo_crc32(0, &head, offsetof(sector_head, crc)))
        return 0;
    return head.number;
}

/* What stands at a place of a sector, and where the next report begins. */
static found look(const eo_report_ring *ring, uint32_t sector, uint32_t place, report_head *head, uint32_t *next) {
    const eo_port *port = ring->port;
    const uint32_t head_size = rounded(ring, (uint32_t)sizeof *head);
    const uint32_t at = sector_at(ring, sector) + place;
    if (place + head_size + unit_of(ring) > ring->sector_bytes || eo_flash_blank(port, at, head_size))
        return FOUND_END;
    const uint32_t room = ring->sector_bytes - place - head_size - unit_of(ring);
    if (eo_flash_read(port, at, head, sizeof *head) != EO_OK || head->magic != REPORT_MAGIC ||
        head->crc != eo_crc32(0, head, offsetof(report_head, crc)) || head->size < sizeof(eo_kept_report) ||
        head->size > room)
        return FOUND_TORN; /* nothing is known of what follows it in this sector */
    *next = place + head_size + unit_of(ring) + rounded(ring, head->size);
    return eo_flash_blank(port, at + head_size, unit_of(ring)) ? FOUND_WAITING : FOUND_ACKNOWLEDGED;
}

void eo_report_ring_open(eo_report_ring *ring, const eo_port *port, uint32_t at, uint32_t sector_bytes,
                         uint32_t sectors) {
    ring->port = port;
    ring->at = at;
    ring->sector_bytes = sector_bytes;
    ring->sectors = sectors;
    ring->number = 0;
    ring->sector = sectors - 1u;
    ring->place = sector_bytes; /* the first report takes the first sector */
    for (uint32_t sector = 0; sector < sectors; sector++) {
        const uint32_t number = sector_number(ring, sector);
        if (number > ring->number) {
            ring->number = number;
            ring->sector = sector;
        }
    }
    if (ring->number == 0)
        return;
    report_head head;
    found what = FOUND_WAITING;
    uint32_t next = first_place(ring);
    while (what >= FOUND_ACKNOWLEDGED) {
        ring->place = next;
        what = look(ring, ring->sector, ring->place, &head, &next);
    }
    if (what == FOUND_TORN)
        ring->place = sector_bytes;
}

/* The sector of a turn, 0 being the oldest. */
static uint32_t sector_of(const eo_report_ring *ring, uint32_t turn) {
    return (ring->sector + 1u + turn) % ring->sectors;
}

/* As eo_report_ring_next, without reading the payload; *at is where the report lies. */
static eo_status next_head(const eo_report_ring *ring, eo_report_cursor *cursor, report_head *head, uint32_t *at) {
    for (; cursor->turn < ring->sectors; cursor->turn++, cursor->place = 0) {
        const uint32_t sector = sector_of(ring, cursor->turn);
        if (sector_number(ring, sector) == 0)
            continue;
        if (cursor->place == 0)
            cursor->place = first_place(ring);
        for (;;) {
            const uint32_t place = cursor->place;
            const found what = look(ring, sector, place, head, &cursor->place);
            if (what == FOUND_WAITING) {
                *at = sector_at(ring, sector) + place;
                return EO_OK;
            }
            if (what != FOUND_ACKNOWLEDGED)
                break;
        }
        if (cursor->turn + 1u == ring->sectors)
            break; /* the newest sector: more may follow */
    }
    return EO_NOT_FOUND;
}

static uint32_t payload_at(const eo_report_ring *ring, uint32_t at) {
    return at + rounded(ring, (uint32_t)sizeof(report_head)) + unit_of(ring);
}

eo_status eo_report_ring_next(const eo_report_ring *ring, eo_report_cursor *cursor, eo_kept_report *report,
                              const uint8_t **counters, uint32_t *size) {
    report_head head;
    uint32_t at, crc = 0;
    for (;;) {
        const eo_status status = next_head(ring, cursor, &head, &at);
        if (status != EO_OK)
            return status;
        at = payload_at(ring, at);
        crc = 0;
        if (eo_flash_crc32(ring->port, at, head.size, &crc) == EO_OK && crc == head.payload_crc)
            break;
    }
    memcpy(report, ring->port->flash.base + at, sizeof *report);
    *counters = ring->port->flash.base + at + sizeof *report;
    *size = head.size - (uint32_t)sizeof *report;
    return EO_OK;
}

static eo_status turn_over(eo_report_ring *ring, uint32_t *dropped) {
    const uint32_t sector = (ring->sector + 1u) % ring->sectors;
    report_head head;
    uint32_t place = first_place(ring);
    if (sector_number(ring, sector) != 0)
        for (found what = FOUND_WAITING; what >= FOUND_ACKNOWLEDGED;) {
            what = look(ring, sector, place, &head, &place);
            *dropped += what == FOUND_WAITING ? 1u : 0u;
        }
    ring->sector = sector;
    ring->place = ring->sector_bytes; /* until its head is written */
    for (uint32_t at = 0; at < ring->sector_bytes; at += ring->port->flash.erase_bytes) {
        const eo_status status = eo_flash_clear(ring->port, sector_at(ring, sector) + at);
        if (status != EO_OK)
            return status;
    }
    sector_head mine = {SECTOR_MAGIC, ring->number + 1u, 0};
    mine.crc = eo_crc32(0, &mine, offsetof(sector_head, crc));
    const uint32_t at = sector_at(ring, sector);
    const eo_status status = eo_flash_put(ring->port, at, at + ring->sector_bytes, &mine, sizeof mine, NULL, 0);
    if (status == EO_OK) {
        ring->number = mine.number;
        ring->place = first_place(ring);
    }
    return status;
}

/* The report at `at` need not be sent any more. Where it fails it comes up again, and is sent again. */
static void mark(const eo_report_ring *ring, uint32_t at) {
    static const uint8_t zeros[EO_MAX_PROGRAM_BYTES] = {0};
    (void)ring->port->flash_program(ring->port->context, payload_at(ring, at) - unit_of(ring), zeros, unit_of(ring));
}

eo_status eo_report_ring_put(eo_report_ring *ring, const eo_kept_report *report, const uint8_t *counters,
                             uint32_t size, uint32_t *dropped) {
    report_head head = {REPORT_MAGIC, (uint32_t)sizeof *report + size, 0, 0};
    const uint32_t needed = payload_at(ring, 0) + rounded(ring, head.size);
    eo_status status = first_place(ring) + needed <= ring->sector_bytes ? EO_OK : EO_TOO_SMALL;
    if (status == EO_OK && ring->place + needed > ring->sector_bytes)
        status = turn_over(ring, dropped);
    if (status == EO_OK) {
        const uint32_t at = sector_at(ring, ring->sector) + ring->place;
        head.payload_crc = eo_crc32(eo_crc32(0, report, sizeof *report), counters, size);
        head.crc = eo_crc32(0, &head, offsetof(report_head, crc));
        ring->place += needed;
        status = eo_flash_put(ring->port, at, at + needed, &head, sizeof head, NULL, 0);
        if (status == EO_OK) {
            status = eo_flash_put(ring->port, payload_at(ring, at), at + needed, report, sizeof *report, counters, size);
            if (status != EO_OK)
                mark(ring, at); /* otherwise it counts as one that waits, and the registry waits for it */
        }
        if (status != EO_OK)
            ring->place = ring->sector_bytes; /* what is behind a torn report is not used */
    }
    if (status != EO_OK)
        ++*dropped;
    return status;
}

/* Walks over all that wait: marks those of a boot up to `covered`, counts the others (or those that it marked). */
static uint32_t walk(const eo_report_ring *ring, uint32_t boot, uint32_t covered, uint32_t *oldest) {
    const eo_port *port = ring->port;
    eo_report_cursor cursor = {0, 0};
    report_head head;
    eo_kept_report report;
    uint32_t at, marked = 0, waiting = 0;
    *oldest = 0;
    while (next_head(ring, &cursor, &head, &at) == EO_OK) {
        waiting++;
        if (eo_flash_read(port, payload_at(ring, at), &report, sizeof report) != EO_OK ||
            report.boot != boot)
            continue;
        if (report.sequence <= covered) {
            marked++;
            mark(ring, at);
        } else if (*oldest == 0 || report.sequence < *oldest) {
            *oldest = report.sequence;
        }
    }
    return covered > 0 ? marked : waiting;
}

uint32_t eo_report_ring_acknowledge(eo_report_ring *ring, uint32_t boot, uint32_t sequence) {
    uint32_t oldest;
    return sequence > 0 ? walk(ring, boot, sequence, &oldest) : 0;
}

uint32_t eo_report_ring_waiting(const eo_report_ring *ring, uint32_t boot, uint32_t *oldest) {
    return walk(ring, boot, 0, oldest);
}
