#include "store/flash_map.h"

#include "edgeops/config.h"
#include "store/flash_io.h"

#define JOURNAL_BYTES 2048u /* four records at least, so that a block is not erased for each */
#define SECTOR_BYTES 2048u  /* a report of any length fits */

eo_status eo_flash_map_of(eo_flash_map *map, const eo_flash_geometry *flash) {
    const uint32_t block = flash->erase_bytes, unit = flash->program_bytes;
    if (flash->base == NULL || (uintptr_t)flash->base % 8u != 0 || unit == 0 || unit > EO_MAX_PROGRAM_BYTES ||
        (unit & (unit - 1u)) != 0 || block == 0 || block > 0x100000u || block % EO_MAX_PROGRAM_BYTES != 0 ||
        flash->bytes % block != 0 || flash->bytes > 0x40000000u)
        return EO_ARGUMENT;
    map->journal_at = 0;
    map->journal_bytes = eo_round_up(JOURNAL_BYTES, block);
    map->trust_at = 2u * map->journal_bytes;
    map->trust_bytes = eo_round_up(EO_MESSAGE_BYTES + EO_MAX_PROGRAM_BYTES, block);
    map->manifest_at = map->trust_at + 2u * map->trust_bytes;
    map->manifest_bytes = eo_round_up(EO_MANIFEST_BYTES, block);
    map->reports_at = map->manifest_at + map->manifest_bytes;
    map->sector_bytes = eo_round_up(SECTOR_BYTES, block);
    map->sectors = EO_REPORT_FLASH_BYTES / map->sector_bytes;
    if (map->sectors < 2u)
        map->sectors = 2u;
    map->slots_at = map->reports_at + map->sectors * map->sector_bytes;
    if (map->slots_at >= flash->bytes)
        return EO_TOO_SMALL;
    map->slot_bytes = (flash->bytes - map->slots_at) / 2u / block * block;
    return map->slot_bytes >= map->manifest_bytes + block ? EO_OK : EO_TOO_SMALL;
}
