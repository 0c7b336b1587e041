#include "agent/text.h"

#include <string.h>

eo_text eo_text_begin(char *bytes, size_t size) {
    bytes[0] = '\0';
    return (eo_text){bytes, size};
}

void eo_text_put_bytes(eo_text *text, const void *words, size_t size) {
    if (size >= text->left)
        size = text->left - 1u;
    memcpy(text->at, words, size);
    text->at += size;
    text->left -= size;
    *text->at = '\0';
}

void eo_text_put(eo_text *text, const char *words) {
    eo_text_put_bytes(text, words, strlen(words));
}

void eo_text_put_number(eo_text *text, uint32_t number) {
    char digits[10];
    size_t first = sizeof digits;
    do {
        digits[--first] = (char)('0' + number % 10u);
        number /= 10u;
    } while (number > 0);
    eo_text_put_bytes(text, digits + first, sizeof digits - first);
}

void eo_text_put_hex(eo_text *text, const uint8_t *bytes, size_t size) {
    static const char letters[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        const char pair[2] = {letters[bytes[i] >> 4], letters[bytes[i] & 15]};
        eo_text_put_bytes(text, pair, 2);
    }
}

size_t eo_text_cut(const char *words, size_t most) {
    size_t size = strlen(words);
    if (size <= most)
        return size;
    size = most;
    while (size > 0 && ((unsigned char)words[size] & 0xC0u) == 0x80u)
        size--; /* within a letter */
    return size;
}
