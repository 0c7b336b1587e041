/* Arm's semihosting calls: BKPT 0xAB with the operation in r0 and its parameters' address in r1. */
#include "semihosting.h"

#include <string.h>

#define OP_OPEN 0x01u
#define OP_CLOSE 0x02u
#define OP_WRITE0 0x04u
#define OP_WRITE 0x05u
#define OP_READ 0x06u
#define OP_SEEK 0x0Au
#define OP_FLEN 0x0Cu
#define OP_CLOCK 0x10u
#define OP_TIME 0x11u
#define OP_GET_CMDLINE 0x15u
#define OP_EXIT_EXTENDED 0x20u
#define REASON_APPLICATION_EXIT 0x20026u

static int32_t call(uint32_t operation, const void *parameters)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = parameters;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}

int semihosting_open(const char *path, semihosting_mode mode)
{
    const uint32_t parameters[3] = {(uint32_t)(uintptr_t)path, (uint32_t)mode, (uint32_t)strlen(path)};
    return (int)call(OP_OPEN, parameters);
}

void semihosting_close(int file)
{
    const uint32_t parameters[1] = {(uint32_t)file};
    (void)call(OP_CLOSE, parameters);
}

int32_t semihosting_length(int file)
{
    const uint32_t parameters[1] = {(uint32_t)file};
    return call(OP_FLEN, parameters);
}

int semihosting_read(int file, void *bytes, size_t size)
{
    const uint32_t parameters[3] = {(uint32_t)file, (uint32_t)(uintptr_t)bytes, (uint32_t)size};
    return call(OP_READ, parameters) == 0 ? 0 : -1; /* it answers how many were not read */
}

int semihosting_write(int file, const void *bytes, size_t size)
{
    const uint32_t parameters[3] = {(uint32_t)file, (uint32_t)(uintptr_t)bytes, (uint32_t)size};
    return call(OP_WRITE, parameters) == 0 ? 0 : -1;
}

int semihosting_seek(int file, uint32_t at)
{
    const uint32_t parameters[2] = {(uint32_t)file, at};
    return call(OP_SEEK, parameters) == 0 ? 0 : -1;
}

void semihosting_text(const char *text)
{
    (void)call(OP_WRITE0, text);
}

void semihosting_number(uint64_t number)
{
    char digits[21];
    size_t at = sizeof(digits) - 1;
    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + (int)(number % 10u));
        number /= 10u;
    } while (number != 0);
    semihosting_text(digits + at);
}

void semihosting_report(const char *name, uint64_t number)
{
    semihosting_text(name);
    semihosting_text("=");
    semihosting_number(number);
    semihosting_text("\n");
}

void semihosting_exit(int code)
{
    const uint32_t parameters[2] = {REASON_APPLICATION_EXIT, (uint32_t)code};
    for (;;) {
        (void)call(OP_EXIT_EXTENDED, parameters);
    }
}

uint32_t semihosting_clock(void)
{
    /* seconds since 1970, and hundredths of a second since the start */
    return (uint32_t)call(OP_TIME, NULL) * 100u + (uint32_t)call(OP_CLOCK, NULL);
}

int semihosting_command_line(char line[SEMIHOSTING_LINE_BYTES])
{
    const uint32_t parameters[2] = {(uint32_t)(uintptr_t)line, SEMIHOSTING_LINE_BYTES};
    return call(OP_GET_CMDLINE, parameters) == 0 ? 0 : -1;
}

int semihosting_argument(const char *name, char *value, size_t size)
{
    char line[SEMIHOSTING_LINE_BYTES]; /* asked for again each time: an image that takes none pays for none */
    if (semihosting_command_line(line) != 0) {
        return -1;
    }
    const size_t name_bytes = strlen(name);
    const char *word = line;
    while (*word != 0) {
        const char *end = word;
        while (*end != 0 && *end != ' ') {
            end++;
        }
        if ((size_t)(end - word) > name_bytes && memcmp(word, name, name_bytes) == 0 && word[name_bytes] == '=') {
            const char *from = word + name_bytes + 1;
            const size_t bytes = (size_t)(end - from);
            if (bytes >= size) {
                return -1;
            }
            memcpy(value, from, bytes);
            value[bytes] = 0;
            return 0;
        }
        word = *end == 0 ? end : end + 1;
    }
    return -1;
}

uint32_t semihosting_argument_number(const char *name, uint32_t otherwise)
{
    char digits[11];
    if (semihosting_argument(name, digits, sizeof(digits)) != 0) {
        return otherwise;
    }
    uint32_t number = 0;
    for (const char *digit = digits; *digit >= '0' && *digit <= '9'; digit++) {
        number = number * 10u + (uint32_t)(*digit - '0');
    }
    return number;
}
