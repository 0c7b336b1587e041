/* Vectors, reset, faults: the same for every Cortex-M here, M0 included. */
#include "board.h"
#include "semihosting.h"

#define STACK_PAINT 0xC5C5C5C5u
#define EXIT_FAULT 70

extern uint32_t board_stack_limit[], board_stack_top[];
extern uint32_t board_data_start[], board_data_end[], board_bss_start[], board_bss_end[];
extern const uint32_t board_data_load[];

void board_reset(void) __attribute__((noreturn));
void board_fault(void) __attribute__((noreturn));
void board_unexpected(void);
void board_on_systick(void) __attribute__((weak, alias("board_unexpected")));
void board_on_timer(void) __attribute__((weak, alias("board_unexpected")));
void board_on_ethernet(void) __attribute__((weak, alias("board_unexpected")));

typedef void (*handler)(void);

#define IRQ_COUNT 16
#define VECTOR_OF_IRQ(number) (16 + (number))

/* Armv6-M knows one fault, the others four; all of them end here. */
const handler board_vectors[VECTOR_OF_IRQ(IRQ_COUNT)] __attribute__((section(".vectors"), used)) = {
    [0] = (handler)(uintptr_t)board_stack_top,
    [1] = board_reset,
    [2] = board_unexpected,
    [3] = board_fault,
    [4] = board_fault,
    [5] = board_fault,
    [6] = board_fault,
    [7] = board_fault,
    [11] = board_unexpected,
    [12] = board_unexpected,
    [14] = board_unexpected,
    [15] = board_on_systick,
#ifdef BOARD_TIMER_IRQ
    [VECTOR_OF_IRQ(BOARD_TIMER_IRQ)] = board_on_timer,
#endif
#ifdef BOARD_ETHERNET_IRQ
    [VECTOR_OF_IRQ(BOARD_ETHERNET_IRQ)] = board_on_ethernet,
#endif
};

/* Whole words between two addresses; volatile, so that it stays a loop of its own before .data and .bss are there. */
static void fill(uintptr_t from, uintptr_t to, uint32_t value)
{
    for (; from < to; from += sizeof(value)) {
        *(volatile uint32_t *)from = value;
    }
}

void board_reset(void)
{
    (void)board_stack_watch();
    const uint32_t *from = board_data_load;
    for (uintptr_t to = (uintptr_t)board_data_start; to < (uintptr_t)board_data_end; to += sizeof(*from)) {
        *(volatile uint32_t *)to = *from++;
    }
    fill((uintptr_t)board_bss_start, (uintptr_t)board_bss_end, 0);
    semihosting_exit(board_main());
}

/* A function of its own: whoever calls it has saved its registers before, so that nothing below is in use. */
static uint32_t *stack_pointer_here(void) __attribute__((naked, noinline));

static uint32_t *stack_pointer_here(void)
{
    __asm__ volatile("mov r0, sp\n bx lr");
}

size_t board_stack_watch(void)
{
    uint32_t *const stack_pointer = stack_pointer_here();
    fill((uintptr_t)board_stack_limit, (uintptr_t)stack_pointer, STACK_PAINT);
    return (size_t)((uintptr_t)board_stack_top - (uintptr_t)stack_pointer);
}

size_t board_stack_bytes(void)
{
    uintptr_t word = (uintptr_t)board_stack_limit;
    while (word < (uintptr_t)board_stack_top && *(const volatile uint32_t *)word == STACK_PAINT) {
        word += sizeof(uint32_t);
    }
    return (size_t)((uintptr_t)board_stack_top - word);
}

/* The core has put the interrupted registers on the stack: the seventh word is where it happened. */
static void report_fault(const uint32_t *frame) __attribute__((used, noreturn));

static void report_fault(const uint32_t *frame)
{
    uint32_t exception;
    __asm__ volatile("mrs %0, ipsr" : "=r"(exception));
    semihosting_report("fault", exception & 0xFFu);
    const uintptr_t at = (uintptr_t)frame;
    if (at >= (uintptr_t)board_stack_limit && at + 8 * sizeof(*frame) <= (uintptr_t)board_stack_top) {
        semihosting_report("fault_at", frame[6]);
    }
    semihosting_exit(EXIT_FAULT);
}

__attribute__((naked)) void board_fault(void)
{
    __asm__ volatile("mov r0, sp\n ldr r1, =report_fault\n bx r1");
}

void board_unexpected(void)
{
    board_fault();
}

void board_reset_core(void)
{
    volatile uint32_t *const aircr = (volatile uint32_t *)(uintptr_t)0xE000ED0Cu;
    __asm__ volatile("dsb" ::: "memory");
    *aircr = 0x05FA0004u; /* the key, and SYSRESETREQ */
    for (;;) {
        __asm__ volatile("nop");
    }
}

static volatile uint32_t *nvic(unsigned at, unsigned number)
{
    return (volatile uint32_t *)(uintptr_t)(0xE000E000u + at + 4u * (number / 32u));
}

void board_irq_enable(unsigned number)
{
    *nvic(0x100u, number) = 1u << (number % 32u);
}

void board_irq_disable(unsigned number)
{
    *nvic(0x180u, number) = 1u << (number % 32u);
    __asm__ volatile("dsb\n isb" ::: "memory");
}
