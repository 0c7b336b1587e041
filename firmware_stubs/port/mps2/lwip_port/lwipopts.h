/* lwIP for one TCP connection, polled, no threads: about 50 KB of RAM for windows of 4 segments. */
#ifndef EDGEOPS_PORT_MPS2_LWIPOPTS_H
#define EDGEOPS_PORT_MPS2_LWIPOPTS_H

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0 /* no interrupt calls lwIP */
#define LWIP_SOCKET 0
#define LWIP_NETCONN 0
#define LWIP_UDP 0
#define LWIP_RAW 0
#define LWIP_DHCP 0 /* the emulator's network gives everybody 10.0.2.15 */
#define LWIP_STATS 0
#define IP_REASSEMBLY 0
#define IP_FRAG 0

#define MEM_ALIGNMENT 4
#define MEM_SIZE 16384
#define MEMP_NUM_TCP_PCB 3 /* one in use, others in TIME_WAIT after a reconnection */
#define MEMP_NUM_TCP_PCB_LISTEN 1
#define MEMP_NUM_TCP_SEG 32
#define PBUF_POOL_SIZE 12
#define PBUF_POOL_BUFSIZE 1536

#define TCP_MSS 1460
#define TCP_WND (4 * TCP_MSS) /* less than the chip's receive buffer */
#define TCP_SND_BUF (4 * TCP_MSS) /* holds the longest packet of the outbox */
#define TCP_SND_QUEUELEN 24
#define LWIP_RANDOMIZE_INITIAL_LOCAL_PORTS 1
#define LWIP_TCP_KEEPALIVE 0

#endif
