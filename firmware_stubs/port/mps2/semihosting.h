/* The host behind the emulator (or behind a debug probe): console, files, command line, exit. */
#ifndef EDGEOPS_PORT_MPS2_SEMIHOSTING_H
#define EDGEOPS_PORT_MPS2_SEMIHOSTING_H

#include <stddef.h>
#include <stdint.h>

/* The modes of fopen that are used here. */
typedef enum semihosting_mode {
    SEMIHOSTING_READ = 1,    /* rb */
    SEMIHOSTING_CHANGE = 3,  /* r+b: the file must be there */
    SEMIHOSTING_REPLACE = 7, /* w+b: made anew */
} semihosting_mode;

/* A handle, or -1. */
int semihosting_open(const char *path, semihosting_mode mode);
void semihosting_close(int file);
/* Bytes, or -1. */
int32_t semihosting_length(int file);
/* 0 when all `size` bytes were read or written, otherwise -1. Seeking counts from the file's first byte. */
int semihosting_read(int file, void *bytes, size_t size);
int semihosting_write(int file, const void *bytes, size_t size);
int semihosting_seek(int file, uint32_t at);

void semihosting_text(const char *text);
void semihosting_number(uint64_t number); /* decimal */
/* A line "name=number", for the one who started the emulator. */
void semihosting_report(const char *name, uint64_t number);

void semihosting_exit(int code) __attribute__((noreturn));

/* The host's clock: different at each start. */
uint32_t semihosting_clock(void);

#define SEMIHOSTING_LINE_BYTES 512

/* The command line as a whole. 0, or -1 where it has more than 511 characters. */
int semihosting_command_line(char line[SEMIHOSTING_LINE_BYTES]);
/* The value of `name=value` on the command line (words are split at spaces), copied with its end. 0, or -1 where there
 * is none or it does not fit. The line may have 511 characters. */
int semihosting_argument(const char *name, char *value, size_t size);
/* The same for a number; `otherwise` where there is none. */
uint32_t semihosting_argument_number(const char *name, uint32_t otherwise);

#endif
