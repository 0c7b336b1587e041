/* For the tools that tests drive: a command a line on standard input, an answer a line on standard output. Bytes are in
 * hexadecimal, and each argument lies in memory of exactly its size, so that the sanitizers see a byte too far. */
#ifndef EDGEOPS_TOOLS_LINES_H
#define EDGEOPS_TOOLS_LINES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edgeops/status.h"
#include "edgeops/wire.h"

#define LINES_MAX_WORDS 40

typedef struct line_words {
    char *text;
    size_t room;
    unsigned count;
    char *word[LINES_MAX_WORDS];
} line_words;

/* The next line, cut at its spaces; 0 at the end of the input. */
static inline int lines_next(line_words *line)
{
    size_t size = 0;
    int c = getchar();

    if (c == EOF) {
        free(line->text);
        line->text = NULL;
        return 0;
    }
    for (;; c = getchar()) {
        if (size + 1 >= line->room) {
            line->room = 2 * line->room + 256;
            line->text = (char *)realloc(line->text, line->room);
            if (line->text == NULL) {
                abort();
            }
        }
        if (c == EOF || c == '\n') {
            break;
        }
        line->text[size++] = (char)c;
    }
    line->text[size] = 0;
    line->count = 0;
    for (char *word = strtok(line->text, " "); word != NULL; word = strtok(NULL, " ")) {
        if (line->count < LINES_MAX_WORDS) {
            line->word[line->count++] = word;
        }
    }
    return 1;
}

static inline unsigned lines_digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

/* Bytes from hexadecimal ("-" is none), in memory of exactly their size, with a zero behind them for a text. */
static inline uint8_t *lines_bytes(const char *hex, size_t *size, int as_text)
{
    size_t n = hex[0] == '-' ? 0 : strlen(hex) / 2;
    uint8_t *bytes = (uint8_t *)malloc(n + (as_text ? 1 : n == 0));

    if (bytes == NULL) {
        abort();
    }
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)(lines_digit(hex[2 * i]) << 4 | lines_digit(hex[2 * i + 1]));
    }
    if (as_text) {
        bytes[n] = 0;
    }
    if (size != NULL) {
        *size = n;
    }
    return bytes;
}

static inline void lines_print_hex(const uint8_t *bytes, size_t size)
{
    putchar('"');
    for (size_t i = 0; i < size; i++) {
        printf("%02x", bytes[i]);
    }
    putchar('"');
}

/* `"name":` in front of what follows; a comma before all but the first of an object. */
static inline void lines_name(const char *name)
{
    static const char *const FIRST = "{";

    printf("%s\"%s\":", name[0] == '{' ? FIRST : ",", name[0] == '{' ? name + 1 : name);
}

static inline void lines_number(const char *name, uint64_t value)
{
    lines_name(name);
    printf("%llu", (unsigned long long)value);
}

static inline void lines_signed(const char *name, int64_t value)
{
    lines_name(name);
    printf("%lld", (long long)value);
}

static inline void lines_flag(const char *name, int value)
{
    lines_name(name);
    fputs(value ? "true" : "false", stdout);
}

static inline void lines_view(const char *name, eo_view view)
{
    lines_name(name);
    lines_print_hex(view.bytes, view.size);
}

static inline void lines_digest(const char *name, const uint8_t *digest, size_t size)
{
    lines_name(name);
    if (digest == NULL) {
        fputs("null", stdout);
    } else {
        lines_print_hex(digest, size);
    }
}

/* An answer that is only a status: {"status":"MALFORMED"}. */
static inline void lines_status(eo_status status)
{
#define LINES_NAME(name, number, text) [number] = #name,
    static const char *const NAMES[] = {EO_STATUSES(LINES_NAME)};
#undef LINES_NAME

    printf("{\"status\":\"%s\"", NAMES[status]);
}

#endif
