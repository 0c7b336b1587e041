/* Where what lies in the agent's flash: computed from the geometry, so that every build finds the same places.
 *
 *     journal (two areas) | trust root (two areas) | manifest on its way | reports | slot 0 | slot 1 */
#ifndef EDGEOPS_STORE_FLASH_MAP_H
#define EDGEOPS_STORE_FLASH_MAP_H

#include "edgeops/port.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct eo_flash_map {
    uint32_t journal_at, journal_bytes; /* of each of the two areas */
    uint32_t trust_at, trust_bytes;     /* likewise */
    uint32_t manifest_at, manifest_bytes;
    uint32_t reports_at, sector_bytes, sectors;
    uint32_t slots_at, slot_bytes; /* of each of the two slots */
} eo_flash_map;

/* EO_ARGUMENT: a geometry that is none. EO_TOO_SMALL: no room for two slots. */
eo_status eo_flash_map_of(eo_flash_map *map, const eo_flash_geometry *flash);

#ifdef __cplusplus
}
#endif
#endif
