/* The edges of the messages that need no vectors: memory that is one byte too small, lists at their end, sizes at their
 * bounds. What the bytes are is held against Python's in tests/firmware. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edgeops/wire.h"
#include "check.h"

static void blobs_at_their_bounds(void)
{
    static const uint8_t DIGEST[EO_DIGEST_BYTES] = {1};
    eo_blob_ref blob = {DIGEST, 0, EO_MIN_CHUNK_BYTES, NULL};

    CHECK(eo_blob_ref_check(&blob) == EO_OK);
    CHECK(eo_blob_chunks(&blob) == 0);
    blob.size = EO_MIN_CHUNK_BYTES;
    CHECK(eo_blob_ref_check(&blob) == EO_OK);
    CHECK(eo_blob_chunks(&blob) == 1);
    blob.size++;
    CHECK(eo_blob_ref_check(&blob) == EO_RANGE); /* two chunks need their list */
    blob.chunk_list = DIGEST;
    CHECK(eo_blob_ref_check(&blob) == EO_OK);
    CHECK(eo_blob_chunks(&blob) == 2);
    blob.chunk_bytes = EO_MIN_CHUNK_BYTES - 1;
    CHECK(eo_blob_ref_check(&blob) == EO_RANGE);
    blob.chunk_bytes = EO_MAX_CHUNK_BYTES;
    blob.size = EO_MAX_BLOB_BYTES;
    CHECK(eo_blob_ref_check(&blob) == EO_OK);
    CHECK(eo_blob_chunks(&blob) == 1024);
    blob.size++;
    CHECK(eo_blob_ref_check(&blob) == EO_RANGE);
    blob.size--;
    blob.chunk_bytes++;
    CHECK(eo_blob_ref_check(&blob) == EO_RANGE);
}

static void lists_at_their_end(void)
{
    static const uint8_t NUMBERS[] = {0x00, 0x20, 0x3B, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    static const uint8_t TEXTS[] = {0x60, 0x62, 'a', 'b'};
    eo_items items = {NUMBERS, 3};
    eo_step step;
    eo_view text;
    int64_t value = 7;

    CHECK(eo_integer_next(&items, &value) == EO_OK && value == 0);
    CHECK(eo_integer_next(&items, &value) == EO_OK && value == -1);
    CHECK(eo_integer_next(&items, &value) == EO_OK && value == INT64_MIN);
    CHECK(eo_integer_next(&items, &value) == EO_NOT_FOUND);
    CHECK(eo_integer_next(&items, &value) == EO_NOT_FOUND);
    CHECK(eo_step_next(&items, &step) == EO_NOT_FOUND);
    items.at = TEXTS;
    items.left = 2;
    CHECK(eo_text_next(&items, &text) == EO_OK && eo_view_is(text, ""));
    CHECK(eo_text_next(&items, &text) == EO_OK && eo_view_is(text, "ab"));
    CHECK(!eo_view_is(text, "a") && !eo_view_is(text, "abc") && !eo_view_is(text, "ac"));
    CHECK(eo_text_next(&items, &text) == EO_NOT_FOUND);
}

/* Memory of exactly `room` bytes, so that the sanitizers see one too many. */
static eo_status write_into(size_t room, size_t *size)
{
    eo_event event;
    uint8_t *bytes = (uint8_t *)malloc(room == 0 ? 1 : room);
    eo_status status;

    memset(&event, 0, sizeof event);
    event.model = "digits";
    event.source = "IDLE";
    event.target = "OFFERED";
    event.event = "offered";
    event.uptime_ms = UINT64_MAX;
    status = eo_event_encode(bytes, room, size, &event);
    free(bytes);
    return status;
}

static void messages_without_room(void)
{
    size_t whole = 0;
    size_t size;
    size_t room;

    CHECK(write_into(512, &whole) == EO_OK && whole != 0);
    for (room = 0; room < whole; room++) {
        size = 99;
        CHECK(write_into(room, &size) == EO_TOO_SMALL && size == 0);
    }
    CHECK(write_into(whole, &size) == EO_OK && size == whole);
}

static void topics_without_room(void)
{
    uint8_t digest[EO_DIGEST_BYTES];
    char whole[EO_TOPIC_BYTES];
    size_t room;

    memset(digest, 0xA5, sizeof digest);
    CHECK(eo_topic_write_chunk(whole, sizeof whole, "plant", digest, 999999) == EO_OK);
    for (room = 0; room <= strlen(whole) + 1; room++) {
        char *topic = (char *)malloc(room == 0 ? 1 : room);
        bool fits = room == strlen(whole) + 1;

        CHECK(eo_topic_write_chunk(topic, room, "plant", digest, 999999) == (fits ? EO_OK : EO_TOO_SMALL));
        CHECK(!fits || strcmp(topic, whole) == 0);
        CHECK(eo_topic_write(topic, room, "plant", "cam-01", EO_TOPIC_STATE) == EO_TOO_SMALL || room > 36);
        free(topic);
    }
    CHECK(eo_topic_write_chunk(whole, sizeof whole, "plant", digest, 1000000) == EO_ARGUMENT);
    CHECK(eo_topic_write(whole, sizeof whole, "", "cam-01", EO_TOPIC_STATE) == EO_ARGUMENT);
    CHECK(eo_topic_write(whole, sizeof whole, "plant", "cam/01", EO_TOPIC_STATE) == EO_ARGUMENT);
}

static void names(void)
{
    char longest[EO_NAME_BYTES + 2];

    memset(longest, 'a', sizeof longest);
    longest[EO_NAME_BYTES] = 0;
    CHECK(eo_name_check(longest));
    longest[EO_NAME_BYTES] = 'a';
    longest[EO_NAME_BYTES + 1] = 0;
    CHECK(!eo_name_check(longest));
    CHECK(eo_name_check("a") && eo_name_check("0._-Z"));
    CHECK(!eo_name_check("") && !eo_name_check("-a") && !eo_name_check(".a") && !eo_name_check("a/b") &&
          !eo_name_check("a b"));
}

int main(void)
{
    blobs_at_their_bounds();
    lists_at_their_end();
    messages_without_room();
    topics_without_room();
    names();
    return failures != 0;
}
