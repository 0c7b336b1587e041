/* One interface for lwIP; time comes from clock.c, and a CMSDK timer ends each sleep. */
#include "net.h"

#include "board.h"
#include "clock.h"
#include "lan9118.h"
#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/netif.h"
#include "lwip/sys.h"
#include "lwip/timeouts.h"
#include "netif/ethernet.h"
#include "semihosting.h"

#define TIMER ((volatile uint32_t *)(uintptr_t)BOARD_TIMER_AT)
#define TIMER_CONTROL 0
#define TIMER_VALUE 1
#define TIMER_RELOAD 2
#define TIMER_CLEAR 3
#define TIMER_ON 9u /* with its interrupt */
#define SLEEPS_PER_SECOND 100u
#define MTU 1500u
#define EXIT_ASSERT 71

static struct netif interface;
static uint32_t frame[(LAN9118_FRAME_BYTES + 4u + 3u) / 4u]; /* with the checksum that the chip leaves on it */
static uint32_t random_state;

void board_on_timer(void);

void board_on_timer(void)
{
    TIMER[TIMER_CLEAR] = 1;
}

u32_t sys_now(void)
{
    return (u32_t)clock_ms();
}

/* Not for secrets: xorshift. */
uint32_t net_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

void net_assert(const char *message)
{
    semihosting_text(message);
    semihosting_text("\n");
    semihosting_exit(EXIT_ASSERT);
}

static err_t send(struct netif *netif, struct pbuf *packet)
{
    (void)netif;
    if (packet->tot_len > LAN9118_FRAME_BYTES) {
        return ERR_BUF;
    }
    (void)pbuf_copy_partial(packet, frame, packet->tot_len, 0);
    return lan9118_send(frame, packet->tot_len) == 0 ? ERR_OK : ERR_MEM;
}

static err_t prepare(struct netif *netif)
{
    static const uint8_t mac[ETH_HWADDR_LEN] = {0x02, 0x00, 0x00, 0x45, 0x4F, 0x01}; /* locally administered */
    netif->name[0] = 'e';
    netif->name[1] = 'n';
    netif->mtu = MTU;
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
    netif->hwaddr_len = ETH_HWADDR_LEN;
    MEMCPY(netif->hwaddr, mac, sizeof(mac));
    netif->output = etharp_output;
    netif->linkoutput = send;
    return lan9118_start(mac) == 0 ? ERR_OK : ERR_IF;
}

int net_start(uint32_t seed)
{
    ip4_addr_t address;
    ip4_addr_t mask;
    ip4_addr_t gateway;
    IP4_ADDR(&address, 10, 0, 2, 15);
    IP4_ADDR(&mask, 255, 255, 255, 0);
    IP4_ADDR(&gateway, 10, 0, 2, 2);
    random_state = seed == 0 ? 1 : seed;
    lwip_init();
    if (netif_add(&interface, &address, &mask, &gateway, NULL, prepare, ethernet_input) == NULL) {
        return -1;
    }
    netif_set_default(&interface);
    netif_set_up(&interface);
    TIMER[TIMER_RELOAD] = BOARD_CPU_HZ / SLEEPS_PER_SECOND - 1u;
    TIMER[TIMER_VALUE] = BOARD_CPU_HZ / SLEEPS_PER_SECOND - 1u;
    TIMER[TIMER_CONTROL] = TIMER_ON;
    board_irq_enable(BOARD_TIMER_IRQ);
    return 0;
}

void net_poll(void)
{
    size_t size;
    while ((size = lan9118_receive(frame, sizeof(frame))) != 0) {
        struct pbuf *const packet = pbuf_alloc(PBUF_RAW, (u16_t)size, PBUF_POOL);
        if (packet == NULL) {
            continue; /* lost on the way, as far as TCP knows */
        }
        (void)pbuf_take(packet, frame, (u16_t)size);
        if (interface.input(packet, &interface) != ERR_OK) {
            pbuf_free(packet);
        }
    }
    lan9118_arm();
    sys_check_timeouts();
}

void net_sleep(void)
{
    __asm__ volatile("dsb\n wfi" ::: "memory");
}
