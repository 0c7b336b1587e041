/* What every image here starts from: memory as the linker laid it out, the stack's use, an end with an exit code. */
#ifndef EDGEOPS_PORT_MPS2_BOARD_H
#define EDGEOPS_PORT_MPS2_BOARD_H

#include <stddef.h>
#include <stdint.h>

#include BOARD_HEADER

/* From the linker script: addresses, no values. */
extern uint8_t board_free_start[], board_free_end[];
extern const uint8_t board_model_start[], board_model_end[];

/* Each image has one; what it returns is the emulator's exit code. */
int board_main(void);

/* The most bytes of stack that were in use at any moment since the start, or since board_stack_watch, which answers
 * how many are in use where it is called. */
size_t board_stack_bytes(void);
size_t board_stack_watch(void);

/* Starts the core again, as a watchdog would. */
void board_reset_core(void) __attribute__((noreturn));

/* Interrupts by number; the handlers are weak symbols in startup.c. */
void board_irq_enable(unsigned number);
void board_irq_disable(unsigned number);

#endif
