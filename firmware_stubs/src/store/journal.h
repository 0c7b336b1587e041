/* The newest record of a kind, whatever happens: records are written one after the other into two areas in turn.
 *
 * A record counts when it is whole (CRC-32); of those that are, the one with the highest number. An area is erased only
 * when the other one holds the newest record. */
#ifndef EDGEOPS_STORE_JOURNAL_H
#define EDGEOPS_STORE_JOURNAL_H

#include "edgeops/port.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct eo_journal {
    const eo_port *port;
    uint32_t at;     /* of the first area; the second follows it */
    uint32_t bytes;  /* of each */
    uint32_t stride; /* from one record to the next */
    uint32_t number; /* of the newest record, 0 for none */
    uint32_t area;   /* where the next one goes: 0 or 1, */
    uint32_t place;  /* and from that area's beginning */
    uint32_t newest_at;   /* of the newest record's payload, in the flash */
    uint32_t newest_size;
} eo_journal;

/* Finds the newest record of `most` bytes at the most. Reads both areas. */
void eo_journal_open(eo_journal *journal, const eo_port *port, uint32_t at, uint32_t bytes, uint32_t most);

/* Writes a record; when it answers EO_OK it is the newest one. One block's area is erased now and then.
 * EO_IO: the flash failed at every place that was tried; the record before is still the newest. */
eo_status eo_journal_write(eo_journal *journal, const void *payload, uint32_t size);

#ifdef __cplusplus
}
#endif
#endif
