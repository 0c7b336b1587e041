/* Walks a checked payload along the field tables: see schema.h. */
#include "wire/schema.h"

#include <string.h>

#include "wire/cbor_read.h"

#define MAX_CRITICAL 32u
#define DEEPEST 7 /* messages, lists and maps within each other, as the tables have them: 6 */

/* A message, list or map that is not at its end yet. */
typedef struct open_walk {
    const eo_row *rows; /* of a message's first key; of the items; of a map's key and value */
    uint8_t *out;       /* NULL: nothing is stored */
    uint32_t left;      /* entries of a message, items, keys and values of a map */
    uint32_t seen;      /* bit n: key n of a message */
    uint8_t fields;     /* of a message; 0 for the others */
    uint8_t turn;       /* of a map: 1, and the row is that of left & 1; of lists 0 */
} open_walk;

static uint32_t width(unsigned bits)
{
    return bits > 32 ? 8 : bits > 16 ? 4 : bits > 8 ? 2 : 1;
}

static void store(uint8_t *out, uint32_t bytes, uint64_t value)
{
    switch (bytes) {
    case 1:
        *out = (uint8_t)value;
        break;
    case 2:
        *(uint16_t *)(void *)out = (uint16_t)value;
        break;
    case 4:
        *(uint32_t *)(void *)out = (uint32_t)value;
        break;
    default:
        *(uint64_t *)(void *)out = value;
        break;
    }
}

/* Key 0: the keys that a reader has to know. */
static eo_status check_critical(const uint8_t *at, uint32_t fields)
{
    eo_head head;
    uint32_t left;
    eo_status known = EO_OK;

    at += eo_cbor_head(&head, at, EO_CBOR_CHECKED);
    if (head.major != EO_CBOR_LIST || head.value > MAX_CRITICAL) {
        return EO_MALFORMED;
    }
    for (left = (uint32_t)head.value; left != 0; left--) {
        at += eo_cbor_head(&head, at, EO_CBOR_CHECKED);
        if (head.major > EO_CBOR_NEGATIVE) {
            return EO_MALFORMED;
        }
        if (head.major == EO_CBOR_NEGATIVE || head.value == 0 || head.value > fields) {
            known = EO_UNSUPPORTED;
        }
    }
    return known;
}

/* The row of the next value of a message: reads its key, skips what is not known. NULL at the end or where `*status`
 * says what is wrong. */
static const eo_row *next_field(open_walk *top, const uint8_t **at, eo_status *status)
{
    while (top->left != 0) {
        eo_head key;
        const uint8_t *value = eo_cbor_skip(*at);

        (void)eo_cbor_head(&key, *at, EO_CBOR_CHECKED);
        top->left--;
        if (key.major == EO_CBOR_UINT) {
            if (key.value == 0) {
                *status = check_critical(value, top->fields);
                if (*status != EO_OK) {
                    return NULL;
                }
            } else if (key.value <= top->fields) {
                top->seen |= (uint32_t)1 << key.value;
                *at = value;
                return &top->rows[key.value - 1];
            }
        }
        *at = eo_cbor_skip(value);
    }
    return NULL;
}

static bool complete(const open_walk *message)
{
    uint32_t key;

    for (key = 1; key <= message->fields; key++) {
        if ((message->rows[key - 1].kind & EO_KIND_REQUIRED) != 0 && (message->seen >> key & 1u) == 0) {
            return false;
        }
    }
    return true;
}

/* Checks one value that is no container and stores it. */
static bool read_scalar(const eo_row *row, uint8_t *out, const eo_head *head, const uint8_t *body)
{
    unsigned kind = row->kind & EO_KIND_MASK;

    switch (kind) {
    case EO_KIND_UINT:
    case EO_KIND_SINT: {
        unsigned bits = row->limit - (kind == EO_KIND_SINT ? 1u : 0u);

        if (head->major > (kind == EO_KIND_SINT ? EO_CBOR_NEGATIVE : EO_CBOR_UINT) ||
            (bits < 64 && head->value >> bits != 0)) {
            return false;
        }
        if (out != NULL) {
            store(out, width(row->limit), head->major == EO_CBOR_NEGATIVE ? ~head->value : head->value);
        }
        return true;
    }
    case EO_KIND_FLAG:
        if (head->major != EO_CBOR_SIMPLE || head->value > EO_CBOR_TRUE) {
            return false;
        }
        if (out != NULL) {
            *(bool *)(void *)out = head->value == EO_CBOR_TRUE;
        }
        return true;
    default: {
        uint32_t least = kind == EO_KIND_FIXED ? row->limit : kind == EO_KIND_BYTES ? row->of : 0u;

        if (head->major != (kind == EO_KIND_TEXT ? EO_CBOR_TEXT : EO_CBOR_BYTES) || head->value > row->limit ||
            head->value < least) {
            return false;
        }
        if (out == NULL) {
            return true;
        }
        if (kind == EO_KIND_FIXED) {
            *(const uint8_t **)(void *)out = body;
        } else {
            eo_view *view = (eo_view *)(void *)out;

            view->bytes = body;
            view->size = (uint32_t)head->value;
        }
        return true;
    }
    }
}

eo_status eo_schema_walk(eo_message message, void *out, const uint8_t **at, uint32_t *seen)
{
    open_walk open[DEEPEST];
    open_walk *top = NULL;
    const eo_row whole = {EO_KIND_NESTED, (uint8_t)message, 0, 0};
    const eo_row *row = &whole;
    uint8_t *place = (uint8_t *)out;

    for (;;) {
        unsigned kind = row->kind & EO_KIND_MASK;
        const uint8_t *body;
        eo_head head;

        if (place != NULL) {
            place = row->offset == EO_NOWHERE ? NULL : place + row->offset;
        }
        body = *at + eo_cbor_head(&head, *at, EO_CBOR_CHECKED);
        if (kind >= EO_KIND_LIST) {
            bool is_list = kind == EO_KIND_LIST || kind == EO_KIND_ARRAY;

            if (head.major != (is_list ? EO_CBOR_LIST : EO_CBOR_MAP) ||
                (kind != EO_KIND_NESTED && head.value > row->limit)) {
                return EO_MALFORMED;
            }
            if (top == &open[DEEPEST - 1]) {
                return EO_MALFORMED; /* the tables are not that deep */
            }
            top = top == NULL ? open : top + 1;
            top->out = NULL;
            top->left = (uint32_t)head.value;
            top->seen = 0;
            top->fields = 0;
            top->turn = 0;
            if (kind == EO_KIND_NESTED) {
                top->rows = &eo_rows[eo_schemas[row->of].first];
                top->fields = eo_schemas[row->of].count;
                top->out = place;
            } else {
                top->rows = &eo_rows[row->of];
                if (kind == EO_KIND_MAP) {
                    top->left *= 2;
                    top->turn = 1;
                }
                if (place != NULL && kind == EO_KIND_ARRAY) {
                    top->out = place;
                    place[row->limit * width(top->rows->limit)] = (uint8_t)head.value;
                } else if (place != NULL) {
                    eo_items *items = (eo_items *)(void *)place;

                    items->at = body;
                    items->left = (uint16_t)head.value;
                }
            }
            *at = body;
        } else {
            if (top == NULL || !read_scalar(row, place, &head, body)) { /* a message is the outermost one */
                return EO_MALFORMED;
            }
            *at = eo_cbor_skip(*at);
        }
        /* what comes next: the innermost container that has something left says it */
        for (;;) {
            if (top->fields != 0) {
                eo_status status = EO_OK;

                row = next_field(top, at, &status);
                if (status != EO_OK) {
                    return status;
                }
                if (row != NULL) {
                    break;
                }
                if (!complete(top)) {
                    return EO_MALFORMED;
                }
            } else if (top->left != 0) {
                row = &top->rows[top->turn & top->left]; /* a map has an odd number left when a value comes */
                top->left--;
                break;
            }
            if (top == open) {
                if (seen != NULL) {
                    *seen = top->seen;
                }
                return EO_OK;
            }
            top--;
        }
        place = top->out;
        if (place != NULL && top->fields == 0) {
            top->out += width(row->limit); /* of an array: the next number's place */
        }
    }
}

eo_status eo_schema_read(eo_message message, void *out, size_t out_size, const uint8_t *payload, size_t size,
                         size_t most, uint32_t *seen)
{
    eo_status status;

    memset(out, 0, out_size);
    if (size > most) {
        return EO_MALFORMED;
    }
    status = eo_cbor_check(payload, size);
    return status == EO_OK ? eo_schema_walk(message, out, &payload, seen) : status;
}

eo_status eo_schema_next(eo_message message, void *out, size_t out_size, eo_items *items)
{
    memset(out, 0, out_size);
    if (items->left == 0) {
        return EO_NOT_FOUND;
    }
    items->left--;
    return eo_schema_walk(message, out, &items->at, NULL);
}

const uint8_t *eo_schema_find(eo_items map, const char *key, eo_view *found)
{
    for (; map.left != 0; map.left--) {
        const uint8_t *value = eo_cbor_view(found, map.at);

        if (key == NULL || eo_view_is(*found, key)) {
            return value;
        }
        map.at = eo_cbor_skip(value);
    }
    return NULL;
}
