/* What lies in the flash: the layout, journals, reports and slots, also where power fails or blocks are damaged. */
#include "fake_device.h"

#include "store/flash_io.h"
#include "store/flash_map.h"
#include "store/journal.h"
#include "store/report_ring.h"
#include "store/slot.h"

static void a_layout_fits_and_does_not_overlap(void) {
    static const uint32_t erase[] = {512, 1024, 4096, 16384, 131072}, program[] = {1, 2, 4, 8, 16, 32};
    for (size_t i = 0; i < sizeof erase / sizeof erase[0]; i++)
        for (size_t k = 0; k < sizeof program / sizeof program[0]; k++) {
            static uint64_t base;
            const eo_flash_geometry flash = {(const uint8_t *)&base, 16u * 131072u, erase[i], program[k]};
            eo_flash_map map;
            CHECK(eo_flash_map_of(&map, &flash) == EO_OK);
            CHECK(map.trust_at == 2u * map.journal_bytes);
            CHECK(map.manifest_at == map.trust_at + 2u * map.trust_bytes);
            CHECK(map.reports_at == map.manifest_at + map.manifest_bytes);
            CHECK(map.slots_at == map.reports_at + map.sectors * map.sector_bytes);
            CHECK(map.slots_at + 2u * map.slot_bytes <= flash.bytes);
            CHECK(map.slots_at % erase[i] == 0 && map.slot_bytes % erase[i] == 0 && map.sectors >= 2);
        }
    static uint64_t base;
    eo_flash_map map;
    const eo_flash_geometry wrong[] = {
        {NULL, 1u << 20, 4096, 8},
        {(const uint8_t *)&base + 1, 1u << 20, 4096, 8},
        {(const uint8_t *)&base, 1u << 20, 4096, 0},
        {(const uint8_t *)&base, 1u << 20, 4096, 3},
        {(const uint8_t *)&base, 1u << 20, 4096, 64},
        {(const uint8_t *)&base, (1u << 20) + 1, 4096, 8},
        {(const uint8_t *)&base, 1u << 20, 0, 8},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK(eo_flash_map_of(&map, &wrong[i]) == EO_ARGUMENT);
    const eo_flash_geometry small = {(const uint8_t *)&base, 32768, 4096, 8};
    CHECK(eo_flash_map_of(&map, &small) == EO_TOO_SMALL);
}

static void a_writer_goes_on_over_what_it_wrote(void) {
    fake_device *device = fake_device_new();
    eo_flash_writer writer;
    uint8_t bytes[200];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    for (int round = 0; round < 2; round++) {
        eo_flash_write_begin(&writer, &device->port, 1024, 2048);
        for (size_t i = 0; i < sizeof bytes; i += 3)
            eo_flash_write(&writer, bytes + i, sizeof bytes - i < 3 ? sizeof bytes - i : 3);
        CHECK(eo_flash_write_end(&writer) == EO_OK);
    }
    CHECK(memcmp((uint8_t *)device->flash + 1024, bytes, sizeof bytes) == 0);
    CHECK(device->operations == 25); /* nothing was written twice */
    bytes[100] ^= 1;
    eo_flash_write_begin(&writer, &device->port, 1024, 2048);
    eo_flash_write(&writer, bytes, sizeof bytes);
    CHECK(eo_flash_write_end(&writer) == EO_IO); /* something else stands there */
    eo_flash_write_begin(&writer, &device->port, 4096, 4096 + 16);
    eo_flash_write(&writer, bytes, 24);
    CHECK(eo_flash_write_end(&writer) == EO_FULL);
    CHECK(eo_flash_blank(&device->port, 4096 + 16, 1008));
    CHECK(eo_crc32(0, "123456789", 9) == 0xCBF43926u); /* the check value of this CRC */
    free(device);
}

static void a_journal_gives_the_newest_record(void) {
    fake_device *device = fake_device_new();
    eo_journal journal;
    eo_journal_open(&journal, &device->port, 0, 2048, 400);
    CHECK(journal.number == 0);
    for (uint32_t i = 1; i < 40; i++) {
        uint8_t bytes[400];
        const uint32_t size = 1 + i * 9;
        memset(bytes, (int)i, sizeof bytes);
        CHECK(eo_journal_write(&journal, bytes, size) == EO_OK);
        eo_journal again;
        eo_journal_open(&again, &device->port, 0, 2048, 400);
        CHECK(again.number == i && again.newest_size == size);
        CHECK(memcmp((uint8_t *)device->flash + again.newest_at, bytes, size) == 0);
        CHECK(again.area == journal.area && again.place == journal.place);
    }
    CHECK(eo_journal_write(&journal, device, 401 + PROGRAM_BYTES) == EO_TOO_SMALL);
    free(device);
}

static bool write_record(fake_device *device, eo_journal *journal, const void *bytes, uint32_t size) {
    if (setjmp(device->power) != 0)
        return false;
    CHECK(eo_journal_write(journal, bytes, size) == EO_OK);
    return true;
}

static void a_journal_has_the_old_record_or_the_new_one(void) {
    for (int how = 0; how < TEARS; how++)
        for (uint32_t n = 1; n < 400; n++) {
            fake_device *device = fake_device_new();
            eo_journal journal;
            uint8_t bytes[100];
            uint32_t whole = 0;
            eo_journal_open(&journal, &device->port, 0, 1024, 100);
            device->how = (tear)how;
            device->fails_at = n;
            for (uint32_t i = 1; i <= 30; i++) {
                memset(bytes, (int)i, sizeof bytes);
                if (!write_record(device, &journal, bytes, sizeof bytes))
                    break;
                whole = i;
            }
            eo_journal_open(&journal, &device->port, 0, 1024, 100);
            CHECK(journal.number == whole || journal.number == whole + 1);
            if (journal.number > 0) {
                memset(bytes, (int)journal.number, sizeof bytes);
                CHECK(memcmp((uint8_t *)device->flash + journal.newest_at, bytes, sizeof bytes) == 0);
            }
            device->fails_at = 0;
            const uint32_t before = journal.number;
            memset(bytes, 99, sizeof bytes);
            CHECK(eo_journal_write(&journal, bytes, sizeof bytes) == EO_OK);
            eo_journal_open(&journal, &device->port, 0, 1024, 100);
            CHECK(journal.number == before + 1);
            free(device);
        }
}

static void a_journal_that_cannot_write_keeps_what_it_has(void) {
    fake_device *device = fake_device_new();
    eo_journal journal;
    eo_journal_open(&journal, &device->port, 0, 1024, 100);
    for (int i = 0; i < 3; i++)
        CHECK(eo_journal_write(&journal, "one", 3) == EO_OK);
    device->broken = true;
    for (int i = 0; i < 20; i++)
        CHECK(eo_journal_write(&journal, "two", 3) == EO_IO);
    device->broken = false;
    eo_journal again;
    eo_journal_open(&again, &device->port, 0, 1024, 100);
    CHECK(again.number == 3);
    CHECK(eo_journal_write(&journal, "two", 3) == EO_OK);
    free(device);
}

static eo_kept_report report_of(uint32_t boot, uint32_t sequence) {
    eo_kept_report report;
    memset(&report, 0, sizeof report);
    report.boot = boot;
    report.sequence = sequence;
    return report;
}

static void reports_come_in_order_and_go_when_they_are_covered(void) {
    fake_device *device = fake_device_new();
    eo_report_ring ring;
    uint32_t dropped = 0, oldest;
    uint8_t counters[300];
    eo_report_ring_open(&ring, &device->port, 0, 2048, 4);
    eo_report_cursor cursor = {0, 0};
    eo_kept_report found;
    const uint8_t *bytes;
    uint32_t size;
    CHECK(eo_report_ring_next(&ring, &cursor, &found, &bytes, &size) == EO_NOT_FOUND);
    for (uint32_t i = 1; i <= 12; i++) {
        const eo_kept_report report = report_of(7, i);
        memset(counters, (int)i, sizeof counters);
        CHECK(eo_report_ring_put(&ring, &report, counters, 50 + i, &dropped) == EO_OK);
    }
    CHECK(dropped == 0 && eo_report_ring_waiting(&ring, 7, &oldest) == 12 && oldest == 1);
    memset(&cursor, 0, sizeof cursor);
    for (uint32_t i = 1; i <= 12; i++) {
        CHECK(eo_report_ring_next(&ring, &cursor, &found, &bytes, &size) == EO_OK);
        CHECK(found.sequence == i && size == 50 + i && bytes[0] == i && bytes[size - 1] == i);
    }
    CHECK(eo_report_ring_next(&ring, &cursor, &found, &bytes, &size) == EO_NOT_FOUND);
    const eo_kept_report next = report_of(8, 1);
    CHECK(eo_report_ring_put(&ring, &next, counters, 20, &dropped) == EO_OK);
    CHECK(eo_report_ring_next(&ring, &cursor, &found, &bytes, &size) == EO_OK && found.boot == 8);
    CHECK(eo_report_ring_acknowledge(&ring, 7, 5) == 5);
    CHECK(eo_report_ring_acknowledge(&ring, 7, 5) == 0);
    CHECK(eo_report_ring_waiting(&ring, 7, &oldest) == 8 && oldest == 6);
    eo_report_ring_open(&ring, &device->port, 0, 2048, 4); /* a restart knows all of it */
    CHECK(eo_report_ring_waiting(&ring, 7, &oldest) == 8 && oldest == 6);
    CHECK(eo_report_ring_put(&ring, &next, counters, 3000, &dropped) == EO_TOO_SMALL && dropped == 1);
    for (uint32_t i = 0; i < 100; i++)
        CHECK(eo_report_ring_put(&ring, &next, counters, 300, &dropped) == EO_OK);
    CHECK(eo_report_ring_waiting(&ring, 7, &oldest) + dropped == 8 + 1 + 100 && oldest == 0);
    free(device);
}

static bool put(fake_device *device, eo_report_ring *ring, uint32_t sequence) {
    uint8_t counters[100];
    uint32_t dropped = 0;
    memset(counters, (int)sequence, sizeof counters);
    const eo_kept_report report = report_of(1, sequence);
    if (setjmp(device->power) != 0)
        return false;
    CHECK(eo_report_ring_put(ring, &report, counters, sizeof counters, &dropped) == EO_OK);
    return true;
}

static void a_torn_report_is_passed_over(void) {
    for (int how = 0; how < TEARS; how++)
        for (uint32_t n = 1; n < 300; n++) {
            fake_device *device = fake_device_new();
            eo_report_ring ring;
            uint32_t last = 0, size, seen = 0;
            eo_report_ring_open(&ring, &device->port, 0, 1024, 3);
            device->how = (tear)how;
            device->fails_at = n;
            while (last < 20 && put(device, &ring, last + 1))
                last++;
            eo_report_ring_open(&ring, &device->port, 0, 1024, 3);
            device->fails_at = 0;
            CHECK(put(device, &ring, 100));
            eo_report_cursor cursor = {0, 0};
            eo_kept_report found;
            const uint8_t *bytes;
            while (eo_report_ring_next(&ring, &cursor, &found, &bytes, &size) == EO_OK) {
                CHECK(found.sequence > seen && size == 100 && bytes[0] == (uint8_t)found.sequence);
                CHECK(found.sequence <= last + 1 || found.sequence == 100);
                seen = found.sequence;
            }
            CHECK(seen == 100); /* the newest is always there */
            free(device);
        }
}

static void chunks_follow_one_another_and_lists_come_first(void) {
    static uint64_t base;
    const eo_port port = {.flash = {(const uint8_t *)&base, 1u << 20, 4096, 16}};
    static const uint8_t digest[32] = {1};
    eo_manifest manifest;
    eo_slot_layout layout;
    eo_chunk chunk;
    uint8_t has[EO_MAX_CHUNKS / 8] = {0};
    memset(&manifest, 0, sizeof manifest);
    manifest.observe = (eo_blob_ref){digest, 300, 512, NULL};
    manifest.vectors = (eo_blob_ref){digest, 1000, 512, digest};
    manifest.artifact.blob = (eo_blob_ref){digest, 5000, 1024, digest};
    CHECK(eo_slot_layout_of(&layout, &port, 8192, 65536, 600, &manifest) == EO_OK);
    CHECK(layout.chunks == 2 + 1 + 2 + 5);
    uint32_t end = 8192 + 4096; /* behind the manifest's block */
    for (uint16_t number = 0; number < layout.chunks; number++) {
        eo_slot_chunk(&layout, &port, has, number, &chunk);
        CHECK(chunk.at >= end && chunk.at % 16 == 0 && chunk.size > 0);
        CHECK((chunk.part == EO_PART_VECTORS || chunk.part == EO_PART_MODEL) == (chunk.sha256 == NULL));
        end = chunk.at + chunk.size;
        if (chunk.part < EO_PART_OBSERVE)
            CHECK(number < 2);
    }
    CHECK(end <= 8192 + layout.bytes && layout.bytes < 4096 + 5000 + 1000 + 300 + 32 * 7 + 6 * 16);
    has[0] = 2; /* the model's list came */
    eo_slot_chunk(&layout, &port, has, 9, &chunk);
    CHECK(chunk.sha256 == port.flash.base + layout.blobs[EO_PART_MODEL_LIST].at + 32 * 4 && chunk.size == 5000 - 4096);
    CHECK(eo_slot_layout_of(&layout, &port, 0, 8192, 600, &manifest) == EO_FULL && layout.bytes > 8192);
    manifest.artifact.blob.chunk_bytes = 1025;
    CHECK(eo_slot_layout_of(&layout, &port, 0, 65536, 600, &manifest) == EO_UNSUPPORTED);
    manifest.artifact.blob = (eo_blob_ref){digest, 256 * EO_MAX_CHUNKS, 256, digest};
    CHECK(eo_slot_layout_of(&layout, &port, 0, 1u << 19, 600, &manifest) == EO_TOO_SMALL);
    manifest.artifact.blob = (eo_blob_ref){digest, EO_MAX_BLOB_BYTES, 256, digest};
    CHECK(eo_slot_layout_of(&layout, &port, 0, 1u << 19, 600, &manifest) == EO_TOO_SMALL);
}

int main(void) {
    a_layout_fits_and_does_not_overlap();
    a_writer_goes_on_over_what_it_wrote();
    a_journal_gives_the_newest_record();
    a_journal_has_the_old_record_or_the_new_one();
    a_journal_that_cannot_write_keeps_what_it_has();
    reports_come_in_order_and_go_when_they_are_covered();
    a_torn_report_is_passed_over();
    chunks_follow_one_another_and_lists_come_first();
    return failures == 0 ? 0 : 1;
}
