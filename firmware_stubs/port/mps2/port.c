/* The ten functions. A board vendor writes this file anew; everything below src/ stays as it is. */
#include "mps2_port.h"

#include <string.h>

#include "board.h"
#include "clock.h"
#include "semihosting.h"

static eo_status flash_read(void *context, uint32_t at, void *bytes, size_t size)
{
    const mps2_port *const mps2 = context;
    return emulated_flash_read(&mps2->flash, at, bytes, size);
}

static eo_status flash_program(void *context, uint32_t at, const void *bytes, size_t size)
{
    mps2_port *const mps2 = context;
    return emulated_flash_program(&mps2->flash, at, bytes, size);
}

static eo_status flash_erase(void *context, uint32_t at)
{
    mps2_port *const mps2 = context;
    return emulated_flash_erase(&mps2->flash, at);
}

static uint64_t uptime_ms(void *context)
{
    (void)context;
    return clock_ms();
}

/* From the seed of the command line, so that a test can be repeated. This is predictable: a board takes its true random
 * number generator here. */
static eo_status random_bytes(void *context, void *bytes, size_t size)
{
    mps2_port *const mps2 = context;
    uint8_t *const to = bytes;
    for (size_t i = 0; i < size; i++) {
        mps2->random_state = mps2->random_state * 6364136223846793005u + 1442695040888963407u;
        to[i] = (uint8_t)(mps2->random_state >> 56);
    }
    return EO_OK;
}

static eo_status publish(void *context, const char *topic, const void *payload, size_t size, int retained)
{
    mps2_port *const mps2 = context;
    return mqtt_publish(&mps2->link->client, topic, payload, size, retained);
}

static eo_status subscribe(void *context, const char *topic, int subscribed)
{
    mps2_port *const mps2 = context;
    return mqtt_subscribe(&mps2->link->client, topic, subscribed);
}

static eo_status input(void *context, void *values, size_t size)
{
    mps2_port *const mps2 = context;
    const uint64_t now_ms = clock_ms();
    if (mps2->inputs < 0 || size == 0 || size > mps2->inputs_bytes || now_ms < mps2->input_due_ms) {
        return EO_AGAIN;
    }
    if (size > mps2->inputs_bytes - mps2->inputs_at) {
        mps2->inputs_at = 0;
    }
    if (semihosting_seek(mps2->inputs, mps2->inputs_at) != 0 || semihosting_read(mps2->inputs, values, size) != 0) {
        return EO_IO;
    }
    mps2->inputs_at += (uint32_t)size;
    mps2->input_due_ms = now_ms + mps2->interval_ms;
    return EO_OK;
}

static void log_line(void *context, const char *line)
{
    (void)context;
    semihosting_text(line);
    semihosting_text("\n");
}

static void reset(void *context)
{
    (void)context;
    semihosting_text("reset\n");
    board_reset_core();
}

eo_status mps2_port_start(mps2_port *mps2, mqtt_link *link, const char *flash_path, const char *inputs_path,
                          uint32_t interval_ms, uint32_t seed)
{
    uint8_t *const store = (uint8_t *)(uintptr_t)BOARD_STORE_AT;
    memset(mps2, 0, sizeof(*mps2));
    mps2->link = link;
    mps2->random_state = seed;
    mps2->interval_ms = interval_ms;
    mps2->inputs = -1;
    if (inputs_path != NULL) {
        mps2->inputs = semihosting_open(inputs_path, SEMIHOSTING_READ);
        const int32_t length = mps2->inputs < 0 ? -1 : semihosting_length(mps2->inputs);
        if (length <= 0) {
            return EO_ARGUMENT;
        }
        mps2->inputs_bytes = (uint32_t)length;
    }
    mps2->port = (eo_port){
        .context = mps2,
        .flash = {store, BOARD_STORE_BYTES, FLASH_ERASE_BYTES, FLASH_PROGRAM_BYTES},
        .flash_read = flash_read,
        .flash_program = flash_program,
        .flash_erase = flash_erase,
        .uptime_ms = uptime_ms,
        .random = random_bytes,
        .publish = publish,
        .subscribe = subscribe,
        .input = input,
        .log = log_line,
        .reset = reset,
    };
    return emulated_flash_open(&mps2->flash, store, BOARD_STORE_BYTES, flash_path);
}
