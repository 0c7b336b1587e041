/* Reports wait here until a receipt says that the registry has them; the oldest go first when the flash is full.
 *
 * The flash is a ring of sectors. A report is a head, a mark and a payload, each in program units of its own: the mark
 * is erased until a receipt covers the report. A report whose head or payload a power cut tore is passed over. */
#ifndef EDGEOPS_STORE_REPORT_RING_H
#define EDGEOPS_STORE_REPORT_RING_H

#include <stdbool.h>

#include "edgeops/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is kept of a report besides its counters; the layout is the one in the flash. */
typedef struct eo_kept_report {
    uint64_t start_ms;
    uint64_t duration_ms;
    uint32_t boot;
    uint32_t sequence;
    uint32_t generation;
    uint16_t observe_permille;
    uint16_t trial;
    uint8_t manifest[8];
} eo_kept_report;

typedef struct eo_report_ring {
    const eo_port *port;
    uint32_t at, sector_bytes, sectors;
    uint32_t number; /* of the newest sector, 0 for none */
    uint32_t sector; /* its index */
    uint32_t place;  /* where the next report goes in it */
} eo_report_ring;

/* A place between two reports; all zero is before the oldest one. */
typedef struct eo_report_cursor {
    uint32_t turn; /* sectors after the oldest one */
    uint32_t place;
} eo_report_cursor;

/* Finds the newest sector and its end. */
void eo_report_ring_open(eo_report_ring *ring, const eo_port *port, uint32_t at, uint32_t sector_bytes,
                         uint32_t sectors);

/* Keeps a report; *dropped grows by the reports that had to go. After it cursors are void. EO_TOO_SMALL for one that
 * is longer than a sector, EO_IO where it could not be written: then it is among the dropped ones too. */
eo_status eo_report_ring_put(eo_report_ring *ring, const eo_kept_report *report, const uint8_t *counters,
                             uint32_t size, uint32_t *dropped);

/* The next report that waits, in the order in which they came. *counters points into the mapped flash.
 * EO_NOT_FOUND after the newest. */
eo_status eo_report_ring_next(const eo_report_ring *ring, eo_report_cursor *cursor, eo_kept_report *report,
                              const uint8_t **counters, uint32_t *size);

/* Marks what a receipt covers: the reports of this boot up to this sequence; returns how many. */
uint32_t eo_report_ring_acknowledge(eo_report_ring *ring, uint32_t boot, uint32_t sequence);

/* How many wait; *oldest is the lowest sequence of this boot that waits, 0 for none. */
uint32_t eo_report_ring_waiting(const eo_report_ring *ring, uint32_t boot, uint32_t *oldest);

#ifdef __cplusplus
}
#endif
#endif
