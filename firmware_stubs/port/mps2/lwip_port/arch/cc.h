/* What lwIP wants to know of the compiler and the machine. */
#ifndef EDGEOPS_PORT_MPS2_ARCH_CC_H
#define EDGEOPS_PORT_MPS2_ARCH_CC_H

#include <stdint.h>

#define BYTE_ORDER LITTLE_ENDIAN
#define LWIP_NO_CTYPE_H 1

/* net.c */
uint32_t net_random(void);
void net_assert(const char *message);

#define LWIP_RAND() net_random()
#define LWIP_PLATFORM_DIAG(message)
#define LWIP_PLATFORM_ASSERT(message) net_assert(message)

#endif
