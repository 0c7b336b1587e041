/* Time from SysTick, counted on beyond its 24 bits. Under `qemu -icount shift=0` an instruction takes one nanosecond,
 * so that nanoseconds are instructions (in steps of one tick: 31 to 63 of them). */
#ifndef EDGEOPS_PORT_MPS2_CLOCK_H
#define EDGEOPS_PORT_MPS2_CLOCK_H

#include <stdint.h>

void clock_start(void);

/* Nanoseconds and milliseconds since clock_start; monotonic as long as interrupts are on. */
uint64_t clock_ns(void);
uint64_t clock_ms(void);

#endif
