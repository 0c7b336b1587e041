/* The network of the mps2-an385: lwIP over the LAN9118, polled. */
#ifndef EDGEOPS_PORT_MPS2_NET_H
#define EDGEOPS_PORT_MPS2_NET_H

#include <stdint.h>

/* The emulator's own network: this board, and the host that it reaches as its gateway. `seed` spreads port numbers, so
 * that a board that was reset does not meet its former connection. 0, or -1 without the chip. */
int net_start(uint32_t seed);

/* Takes in what came and does what is due. */
void net_poll(void);

/* Sleeps until something may have come, 10 ms at most. */
void net_sleep(void);

#endif
