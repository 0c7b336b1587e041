/* See cbor_read.h. The rules are those of `load` in edgeops/core/codec.py. */
#include "wire/cbor_read.h"

#include <string.h>

#define MAX_DEPTH 8u

size_t eo_cbor_head(eo_head *head, const uint8_t *at, size_t room)
{
    unsigned info;
    size_t wide;
    size_t n;
    uint64_t value = 0;

    if (room == 0) {
        return 0;
    }
    info = at[0] & 31u;
    head->major = (uint8_t)(at[0] >> 5);
    head->value = info;
    if (info < 24) {
        return 1;
    }
    if (info > 27) {
        return 0; /* indefinite lengths and what is reserved */
    }
    wide = (size_t)1 << (info - 24);
    if (room - 1 < wide) {
        return 0;
    }
    for (n = 1; n <= wide; n++) {
        value = value << 8 | at[n];
    }
    head->value = value;
    /* a number takes the shortest form that holds it */
    if (wide == 1 ? value < 24 : value >> (4 * wide) == 0) {
        return 0;
    }
    return 1 + wide;
}

/* Whether bytes are UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. */
static bool is_utf8(const uint8_t *at, size_t size)
{
    while (size != 0) {
        uint8_t first = *at++;
        unsigned more = first < 0x80 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
        unsigned low = 0x80; /* range of the second byte: what the first one leaves */
        unsigned high = 0xBF;

        size--;
        if (more == 0) {
            continue;
        }
        if (first < 0xC2 || first > 0xF4 || size < more) {
            return false;
        }
        if (first == 0xE0) {
            low = 0xA0;
        } else if (first == 0xED) {
            high = 0x9F;
        } else if (first == 0xF0) {
            low = 0x90;
        } else if (first == 0xF4) {
            high = 0x8F;
        }
        size -= more;
        for (; more != 0; more--, at++) {
            if (*at < low || *at > high) {
                return false;
            }
            low = 0x80;
            high = 0xBF;
        }
    }
    return true;
}

/* One list or map that is not at its end yet. */
typedef struct open_container {
    const uint8_t *key; /* the last one of a map */
    uint32_t key_size;
    uint32_t left; /* items; keys and values of a map */
    bool is_map;
} open_container;

/* Keys ascend: a shorter one is first, of equally long ones the lower bytes. So none stands there twice. */
static bool ascends(open_container *map, const uint8_t *key, uint32_t size)
{
    bool good = map->key == NULL || size > map->key_size ||
                (size == map->key_size && memcmp(key, map->key, size) > 0);

    map->key = key;
    map->key_size = size;
    return good;
}

eo_status eo_cbor_check(const uint8_t *bytes, size_t size)
{
    open_container open[MAX_DEPTH];
    open_container *top = NULL; /* the innermost one, NULL outside of all */
    size_t room = size;

    if (size > UINT32_MAX) {
        return EO_MALFORMED;
    }
    do {
        bool is_key = top != NULL && top->is_map && top->left % 2 == 0;
        const uint8_t *at = bytes;
        eo_head head;
        size_t taken = eo_cbor_head(&head, at, room);
        uint32_t items = 0;

        if (taken == 0) {
            return EO_MALFORMED;
        }
        room -= taken;
        if (head.major >= EO_CBOR_BYTES && head.major <= EO_CBOR_MAP && head.value > room) {
            return EO_MALFORMED; /* an item takes a byte at least */
        }
        switch (head.major) {
        case EO_CBOR_UINT:
        case EO_CBOR_NEGATIVE:
            break;
        case EO_CBOR_BYTES:
        case EO_CBOR_TEXT:
            if (head.major == EO_CBOR_TEXT && !is_utf8(at + taken, (size_t)head.value)) {
                return EO_MALFORMED;
            }
            taken += (size_t)head.value;
            room -= (size_t)head.value;
            break;
        case EO_CBOR_LIST:
        case EO_CBOR_MAP:
            if (is_key) {
                return EO_MALFORMED;
            }
            items = (uint32_t)head.value;
            if (head.major == EO_CBOR_MAP) {
                if (items > room / 2) {
                    return EO_MALFORMED;
                }
                items *= 2;
            }
            break;
        case EO_CBOR_SIMPLE:
            if (head.value < EO_CBOR_FALSE || head.value > EO_CBOR_NULL || taken != 1 ||
                (is_key && head.value != EO_CBOR_NULL)) {
                return EO_MALFORMED;
            }
            break;
        default:
            return EO_MALFORMED;
        }
        bytes += taken;
        if (top != NULL) {
            if (is_key && !ascends(top, at, (uint32_t)taken)) {
                return EO_MALFORMED;
            }
            top->left--;
        }
        if (items != 0) {
            if (top == &open[MAX_DEPTH - 1]) {
                return EO_MALFORMED;
            }
            top = top == NULL ? open : top + 1;
            top->key = NULL;
            top->key_size = 0;
            top->left = items;
            top->is_map = head.major == EO_CBOR_MAP;
        }
        while (top != NULL && top->left == 0) {
            top = top == open ? NULL : top - 1;
        }
    } while (top != NULL);
    return room == 0 ? EO_OK : EO_MALFORMED;
}

const uint8_t *eo_cbor_skip(const uint8_t *at)
{
    uint32_t items = 1;

    while (items != 0) {
        eo_head head;

        at += eo_cbor_head(&head, at, EO_CBOR_CHECKED);
        items--;
        if (head.major == EO_CBOR_BYTES || head.major == EO_CBOR_TEXT) {
            at += (size_t)head.value;
        } else if (head.major == EO_CBOR_LIST || head.major == EO_CBOR_MAP) {
            items += (uint32_t)head.value * (head.major - 3u);
        }
    }
    return at;
}

const uint8_t *eo_cbor_view(eo_view *view, const uint8_t *at)
{
    eo_head head;

    at += eo_cbor_head(&head, at, EO_CBOR_CHECKED);
    view->bytes = at;
    view->size = (uint32_t)head.value;
    return at + view->size;
}
