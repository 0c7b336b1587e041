/* try_plans < STREAM
 *
 * For each plan of a stream (its length as a little-endian uint32, then its bytes): what the fuzz target does with it.
 * Prints one number a line, the eo_status of opening it. Built with sanitizers it ends at what they find. */
#include <stdio.h>

#include "../tests/fuzz/plan_fuzz.c"

#define MOST_BYTES (1u << 20)

int main(void)
{
    static uint8_t bytes[MOST_BYTES];
    uint8_t length[4];
    while (fread(length, 1, sizeof length, stdin) == sizeof length) {
        uint32_t size = length[0] | (uint32_t)length[1] << 8 | (uint32_t)length[2] << 16 | (uint32_t)length[3] << 24;
        if (size > sizeof bytes || fread(bytes, 1, size, stdin) != size) {
            fputs("try_plans: the stream ends inside a plan\n", stderr);
            return 1;
        }
        printf("%d\n", try_plan(bytes, size));
    }
    return 0;
}
