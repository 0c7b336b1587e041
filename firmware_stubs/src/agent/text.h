/* Short texts without the printf family: what does not fit is left out. */
#ifndef EDGEOPS_AGENT_TEXT_H
#define EDGEOPS_AGENT_TEXT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct eo_text {
    char *at;
    size_t left; /* with the zero at the end, which always stands there */
} eo_text;

/* `size` >= 1 bytes. */
eo_text eo_text_begin(char *bytes, size_t size);
void eo_text_put(eo_text *text, const char *words);
void eo_text_put_bytes(eo_text *text, const void *words, size_t size);
void eo_text_put_number(eo_text *text, uint32_t number);
/* `bytes` in hexadecimal, two letters each. */
void eo_text_put_hex(eo_text *text, const uint8_t *bytes, size_t size);
/* So many bytes of UTF-8 text as end between two letters, `most` or fewer. */
size_t eo_text_cut(const char *words, size_t most);

#ifdef __cplusplus
}
#endif
#endif
