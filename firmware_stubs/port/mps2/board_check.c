/* Image: is the board brought up right? Each line that it prints is asserted by tests/firmware/test_boards.py.
 *
 * Command line: long=1 measures beyond SysTick's 24 bits, fault=1 ends in a fault, reset=<path of a file
 * that is not there> starts again once, copy=<path> to=<path> copies a file. */
#include "board.h"
#include "clock.h"
#include "semihosting.h"

#define LOOPS 100000u
#define LONG_LOOPS 350000000u
#define LOOP_INSTRUCTIONS 2u

/* more than what asking for an argument takes */
#define DEEP_BYTES 800

static volatile uint32_t initialized = 0x12345678u;
static volatile uint32_t zeroed;

/* Two instructions a round: what the clock must count is known. */
static void spin(uint32_t loops)
{
    __asm__ volatile(".syntax unified\n1: subs %0, %0, #1\n bne 1b" : "+l"(loops) : : "cc");
}

static int copy(const char *from, const char *to)
{
    uint8_t buffer[64];
    const int source = semihosting_open(from, SEMIHOSTING_READ);
    const int copied = semihosting_open(to, SEMIHOSTING_REPLACE);
    if (source < 0 || copied < 0) {
        return 1;
    }
    const int32_t length = semihosting_length(source);
    /* from the last piece to the first, so that seeking is seen to work on both sides */
    for (int32_t at = (length - 1) / 64 * 64; at >= 0; at -= 64) {
        const size_t size = (size_t)(length - at < 64 ? length - at : 64);
        if (semihosting_seek(source, (uint32_t)at) != 0 || semihosting_read(source, buffer, size) != 0 ||
            semihosting_seek(copied, (uint32_t)at) != 0 || semihosting_write(copied, buffer, size) != 0) {
            return 1;
        }
    }
    semihosting_close(copied);
    semihosting_close(source);
    return 0;
}

/* Starts again unless it has left the file the time before. */
static int reset_once(const char *path)
{
    const int left = semihosting_open(path, SEMIHOSTING_READ);
    if (left < 0) {
        semihosting_close(semihosting_open(path, SEMIHOSTING_REPLACE));
        initialized = 0;
        zeroed = 1;
        board_reset_core();
    }
    return 4;
}

static void use_stack(void)
{
    volatile uint8_t frame[DEEP_BYTES];
    for (size_t i = 0; i < sizeof(frame); i++) {
        frame[i] = 1;
    }
}

int board_main(void)
{
    static char from[100];
    static char to[100];
    semihosting_report("initialized", initialized);
    semihosting_report("zeroed", zeroed);
    const uint32_t loops = semihosting_argument_number("long", 0) != 0 ? LONG_LOOPS : LOOPS;
    clock_start();
    const uint64_t start = clock_ns();
    spin(loops);
    const uint64_t took = clock_ns() - start;
    semihosting_report("expected", (uint64_t)loops * LOOP_INSTRUCTIONS);
    semihosting_report("instructions", took);
    semihosting_report("stack_before", board_stack_bytes());
    use_stack();
    semihosting_report("stack_after", board_stack_bytes());
    if (semihosting_argument("copy", from, sizeof(from)) == 0 && semihosting_argument("to", to, sizeof(to)) == 0) {
        return copy(from, to);
    }
    if (semihosting_argument("reset", from, sizeof(from)) == 0) {
        return reset_once(from);
    }
    if (semihosting_argument_number("fault", 0) != 0) {
        __asm__ volatile(".hword 0xDE00"); /* permanently undefined */
    }
    return 3;
}
