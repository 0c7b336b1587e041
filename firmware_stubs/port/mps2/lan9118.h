/* The SMSC LAN9118 of the mps2-an385: whole Ethernet frames in and out, without their checksum. */
#ifndef EDGEOPS_PORT_MPS2_LAN9118_H
#define EDGEOPS_PORT_MPS2_LAN9118_H

#include <stddef.h>
#include <stdint.h>

#define LAN9118_FRAME_BYTES 1514u

/* 0, or -1 where no such chip answers. */
int lan9118_start(const uint8_t mac[6]);

/* Sends `size` bytes (at most LAN9118_FRAME_BYTES). 0, or -1 while the chip has no room. */
int lan9118_send(const uint32_t *frame, size_t size);

/* The next frame that came: its size, 0 where there is none. What is broken or longer than `size` is dropped. */
size_t lan9118_receive(uint32_t *frame, size_t size);

/* Its interrupt ends a wait for interrupts; it stays quiet from then on until it is armed again. */
void lan9118_arm(void);

#endif
