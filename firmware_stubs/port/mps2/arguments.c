/* Checks the command line, and reads addresses from it. */
#include "arguments.h"

#include <string.h>

#include "semihosting.h"

/* `a.b.c.d:port`. */
static int read_address(const char *at, uint8_t address[4], uint16_t *port)
{
    for (unsigned part = 0; part < 5; part++) {
        const uint32_t most = part < 4 ? UINT8_MAX : UINT16_MAX;
        const char after = part < 3 ? '.' : part < 4 ? ':' : 0;
        uint32_t number = 0;
        if (*at < '0' || *at > '9') {
            return -1;
        }
        for (; *at >= '0' && *at <= '9'; at++) {
            number = number * 10u + (uint32_t)(*at - '0');
            if (number > most) {
                return -1;
            }
        }
        if (*at != after) {
            return -1;
        }
        at++;
        if (part < 4) {
            address[part] = (uint8_t)number;
        } else {
            *port = (uint16_t)number;
        }
    }
    return *port != 0 ? 0 : -1;
}

int argument_address(const char *name, uint8_t address[4], uint16_t *port)
{
    char text[24];
    return semihosting_argument(name, text, sizeof(text)) != 0 ? -1 : read_address(text, address, port);
}

static int is_number(const char *text)
{
    uint64_t number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && number <= UINT32_MAX; at++) {
        number = number * 10u + (uint32_t)(*at - '0');
    }
    return at != text && *at == 0 && number <= UINT32_MAX;
}

/* What the value should be, or NULL where it is that. */
static const char *wrong(const argument_rule *rule, const char *value)
{
    uint8_t address[4];
    uint16_t port = 0;
    switch (rule->kind) {
    case ARGUMENT_NUMBER:
        return is_number(value) ? NULL : "a whole number, at most 4294967295";
    case ARGUMENT_ADDRESS:
        return read_address(value, address, &port) == 0 ? NULL : "an address and a port, as in 10.0.2.2:1883";
    case ARGUMENT_SAMPLES:
        return strcmp(value, "uint8") == 0 || strcmp(value, "int16") == 0 || strcmp(value, "float32") == 0
                   ? NULL
                   : "uint8, int16 or float32";
    default:
        return *value != 0 && strlen(value) < rule->room ? NULL : "a text, not empty and not that long";
    }
}

static int refuse(const char *word, const char *what)
{
    semihosting_text("Error: ");
    semihosting_text(word);
    semihosting_text(what);
    return -1;
}

static const argument_rule *find(const argument_rule *rules, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rules[i].name, name) == 0) {
            return &rules[i];
        }
    }
    return NULL;
}

static int unknown(const argument_rule *rules, size_t count, const char *word)
{
    (void)refuse(word, " is not a setting. Possible are");
    for (size_t i = 0; i < count; i++) {
        semihosting_text(" ");
        semihosting_text(rules[i].name);
        semihosting_text("=");
    }
    semihosting_text("\n");
    return -1;
}

/* One word, which is taken apart here. */
static int check_word(const argument_rule *rules, size_t count, char *word)
{
    char *const equals = strchr(word, '=');
    if (equals == NULL) {
        return unknown(rules, count, word);
    }
    *equals = 0;
    const argument_rule *const rule = find(rules, count, word);
    if (rule == NULL) {
        return unknown(rules, count, word);
    }
    const char *const expected = wrong(rule, equals + 1);
    if (expected == NULL) {
        return 0;
    }
    *equals = '=';
    (void)refuse(word, ": expected ");
    semihosting_text(expected);
    semihosting_text("\n");
    return -1;
}

int argument_check(const argument_rule *rules, size_t count)
{
    char line[SEMIHOSTING_LINE_BYTES]; /* taken apart here; nothing else is on the stack yet */
    uint32_t seen = 0;
    if (semihosting_command_line(line) != 0) {
        return refuse("the command line", " has more than 511 characters. Fix: shorter paths\n");
    }
    char *word = line + strcspn(line, " "); /* the first is the program */
    while (*(word += strspn(word, " ")) != 0) {
        char *const end = word + strcspn(word, " ");
        char *const next = *end == 0 ? end : end + 1;
        *end = 0;
        if (check_word(rules, count, word) != 0) {
            return -1;
        }
        seen |= 1u << (uint32_t)(find(rules, count, word) - rules); /* the word ends at its name now */
        word = next;
    }
    for (size_t i = 0; i < count; i++) {
        if (rules[i].needed && (seen >> i & 1u) == 0) {
            return refuse(rules[i].name, "= is missing\n");
        }
    }
    return 0;
}
