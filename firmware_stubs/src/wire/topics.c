/* MQTT topics: built, and taken apart. The rules are those of edgeops/core/topics.py. */
#include <string.h>

#include "edgeops/wire.h"

#define MAX_INDEX_DIGITS 6u

static const char ROOT[] = "edgeops/v1/";

/* The last levels, in the order of eo_topic_kind, each with its zero. */
static const char KINDS[][9] = {"trust",  "desired", "presence", "state", "event",
                                "report", "receipt", "label",    "sample"};

static const char HEX[] = "0123456789abcdef";

bool eo_name_check(const char *name)
{
    size_t n;

    for (n = 0; name[n] != 0; n++) {
        char c = name[n];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        if (n == EO_NAME_BYTES || !(letter || (n != 0 && (c == '_' || c == '.' || c == '-')))) {
            return false;
        }
    }
    return n != 0;
}

/* A topic that is being written: `left` counts the room without the zero; what does not fit sets `full`. */
typedef struct writing {
    char *at;
    size_t left;
    bool full;
} writing;

static void add(writing *to, const char *text, size_t size)
{
    if (size > to->left) {
        to->full = true;
        return;
    }
    memcpy(to->at, text, size);
    to->at += size;
    to->left -= size;
}

static void add_text(writing *to, const char *text)
{
    add(to, text, strlen(text));
}

static eo_status begin(writing *to, char *topic, size_t room, const char *fleet)
{
    if (!eo_name_check(fleet)) {
        return EO_ARGUMENT;
    }
    if (room == 0) {
        return EO_TOO_SMALL;
    }
    to->at = topic;
    to->left = room - 1;
    to->full = false;
    add_text(to, ROOT);
    add_text(to, fleet);
    return EO_OK;
}

static eo_status end(writing *to)
{
    *to->at = 0;
    return to->full ? EO_TOO_SMALL : EO_OK;
}

eo_status eo_topic_write(char *topic, size_t room, const char *fleet, const char *device, eo_topic_kind kind)
{
    writing to;
    eo_status status;

    if ((unsigned)kind >= EO_TOPIC_BLOB || (kind != EO_TOPIC_TRUST && !eo_name_check(device))) {
        return EO_ARGUMENT;
    }
    status = begin(&to, topic, room, fleet);
    if (status != EO_OK) {
        return status;
    }
    if (kind != EO_TOPIC_TRUST) {
        add_text(&to, "/device/");
        add_text(&to, device);
    }
    add_text(&to, "/");
    add_text(&to, KINDS[kind]);
    return end(&to);
}

eo_status eo_topic_write_chunk(char *topic, size_t room, const char *fleet, const uint8_t *sha256, uint32_t index)
{
    writing to;
    eo_status status;
    char digits[MAX_INDEX_DIGITS];
    size_t first = MAX_INDEX_DIGITS;
    size_t n;

    if (index > 999999u) {
        return EO_ARGUMENT;
    }
    status = begin(&to, topic, room, fleet);
    if (status != EO_OK) {
        return status;
    }
    add_text(&to, "/blob/");
    for (n = 0; n < EO_DIGEST_BYTES; n++) {
        add(&to, &HEX[sha256[n] >> 4], 1);
        add(&to, &HEX[sha256[n] & 15], 1);
    }
    add_text(&to, "/");
    do {
        digits[--first] = (char)('0' + index % 10);
        index /= 10;
    } while (index != 0);
    add(&to, digits + first, MAX_INDEX_DIGITS - first);
    return end(&to);
}

/* What is left of a topic that is being read. */
typedef struct reading {
    const char *at;
    size_t left;
} reading;

static bool take(reading *from, const char *text)
{
    size_t size = strlen(text);

    if (size > from->left || memcmp(from->at, text, size) != 0) {
        return false;
    }
    from->at += size;
    from->left -= size;
    return true;
}

static bool take_digest(reading *from, uint8_t *sha256)
{
    size_t n;

    if (from->left < 2 * EO_DIGEST_BYTES) {
        return false;
    }
    for (n = 0; n < 2 * EO_DIGEST_BYTES; n++) {
        unsigned digit = 0;

        while (digit < 16 && HEX[digit] != from->at[n]) {
            digit++;
        }
        if (digit == 16) {
            return false;
        }
        sha256[n / 2] = (uint8_t)((unsigned)sha256[n / 2] << 4 | digit);
    }
    from->at += 2 * EO_DIGEST_BYTES;
    from->left -= 2 * EO_DIGEST_BYTES;
    return true;
}

static bool take_index(reading *from, uint32_t *index)
{
    if (from->left == 0 || from->left > MAX_INDEX_DIGITS) {
        return false;
    }
    for (*index = 0; from->left != 0; from->at++, from->left--) {
        if (*from->at < '0' || *from->at > '9') {
            return false;
        }
        *index = *index * 10 + (uint32_t)(*from->at - '0');
    }
    return true;
}

eo_status eo_topic_parse(eo_topic *parsed, const char *topic, size_t size, const char *fleet, const char *device)
{
    reading from;
    unsigned kind;

    from.at = topic;
    from.left = size;
    if (!take(&from, ROOT) || !take(&from, fleet) || !take(&from, "/")) {
        return EO_NOT_FOUND;
    }
    if (take(&from, "blob/")) {
        parsed->kind = EO_TOPIC_BLOB;
        return take_digest(&from, parsed->sha256) && take(&from, "/") && take_index(&from, &parsed->index)
                   ? EO_OK
                   : EO_NOT_FOUND;
    }
    kind = EO_TOPIC_TRUST;
    if (take(&from, "device/")) {
        if (!take(&from, device) || !take(&from, "/")) {
            return EO_NOT_FOUND;
        }
        kind = EO_TOPIC_DESIRED;
    }
    for (; kind < EO_TOPIC_BLOB; kind++) {
        if (take(&from, KINDS[kind])) {
            parsed->kind = (eo_topic_kind)kind;
            return from.left == 0 ? EO_OK : EO_NOT_FOUND;
        }
    }
    return EO_NOT_FOUND;
}
