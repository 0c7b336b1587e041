/* Views and lists inside of a payload that was checked. */
#include <string.h>

#include "wire/cbor_read.h"

bool eo_view_is(eo_view view, const char *text)
{
    return view.size == strlen(text) && memcmp(view.bytes, text, view.size) == 0;
}

eo_status eo_integer_next(eo_items *items, int64_t *value)
{
    eo_head head;

    if (items->left == 0) {
        return EO_NOT_FOUND;
    }
    items->left--;
    items->at += eo_cbor_head(&head, items->at, EO_CBOR_CHECKED);
    *value = (int64_t)(head.major == EO_CBOR_NEGATIVE ? ~head.value : head.value);
    return EO_OK;
}

eo_status eo_text_next(eo_items *items, eo_view *text)
{
    if (items->left == 0) {
        return EO_NOT_FOUND;
    }
    items->left--;
    items->at = eo_cbor_view(text, items->at);
    return EO_OK;
}
