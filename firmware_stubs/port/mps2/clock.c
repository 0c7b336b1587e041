/* SysTick runs freely over its 24 bits; its interrupt counts how often it came round. */
#include "clock.h"

#include "board.h"

#define SYSTICK ((volatile uint32_t *)(uintptr_t)0xE000E010u)
#define CONTROL 0
#define RELOAD 1
#define VALUE 2
#define CONTROL_RUN 7u /* the core's clock, interrupt, on */
#define MASK 0xFFFFFFu

static volatile uint32_t rounds;
static uint64_t latest;

void board_on_systick(void);

void board_on_systick(void)
{
    rounds++;
}

void clock_start(void)
{
    rounds = 0;
    latest = 0;
    SYSTICK[RELOAD] = MASK;
    SYSTICK[VALUE] = 0;
    SYSTICK[CONTROL] = CONTROL_RUN;
}

static uint64_t ticks(void)
{
    uint32_t before;
    uint32_t value;
    do {
        before = rounds;
        value = SYSTICK[VALUE];
    } while (before != rounds);
    /* It counts down, and the interrupt comes when it reaches 0: a phase of 0 belongs to the next round. */
    uint64_t now = ((uint64_t)before << 24) + ((0u - value) & MASK);
    if (now < latest) {
        now += MASK + 1u; /* it came round, and its interrupt is still to come */
    }
    latest = now;
    return now;
}

uint64_t clock_ns(void)
{
    const uint64_t now = ticks();
    return now / BOARD_CPU_HZ * 1000000000u + now % BOARD_CPU_HZ * 1000000000u / BOARD_CPU_HZ;
}

uint64_t clock_ms(void)
{
    return ticks() / (BOARD_CPU_HZ / 1000u);
}
