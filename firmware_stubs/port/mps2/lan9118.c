/* Polled, with an interrupt for waking up only. Register names are those of the LAN9118's data sheet. */
#include "lan9118.h"

#include "board.h"

#define LAN9118 ((volatile uint32_t *)(uintptr_t)BOARD_ETHERNET_AT)
#define RX_DATA_FIFO (0x00 / 4)
#define TX_DATA_FIFO (0x20 / 4)
#define RX_STATUS_FIFO (0x40 / 4)
#define TX_STATUS_FIFO (0x48 / 4)
#define ID_REV (0x50 / 4)
#define IRQ_CFG (0x54 / 4)
#define INT_STS (0x58 / 4)
#define INT_EN (0x5C / 4)
#define FIFO_INT (0x68 / 4)
#define TX_CFG (0x70 / 4)
#define HW_CFG (0x74 / 4)
#define RX_FIFO_INF (0x7C / 4)
#define TX_FIFO_INF (0x80 / 4)
#define MAC_CSR_CMD (0xA4 / 4)
#define MAC_CSR_DATA (0xA8 / 4)

#define ID_LAN9118 0x0118u
#define HW_CFG_RESET 1u
#define HW_CFG_TX_FIFO 0x00050000u /* 5 of 16 KB for sending */
#define TX_CFG_ON 2u
#define IRQ_CFG_ON 0x111u /* enabled, active high, push-pull */
#define INT_RX_STATUS 8u
#define TX_FIRST_AND_LAST 0x3000u
#define RX_ERROR 0x8000u
#define MAC_BUSY 0x80000000u
#define MAC_CR 1u
#define MAC_ADDRH 2u
#define MAC_ADDRL 3u
#define MAC_CR_ON 0x0010000Cu /* full duplex, transmitter, receiver */
#define TRIES 100000
#define CHECKSUM_BYTES 4u

void board_on_ethernet(void);

static int mac_write(uint32_t number, uint32_t value)
{
    LAN9118[MAC_CSR_DATA] = value;
    LAN9118[MAC_CSR_CMD] = MAC_BUSY | number;
    for (int tries = 0; tries < TRIES; tries++) {
        if ((LAN9118[MAC_CSR_CMD] & MAC_BUSY) == 0) {
            return 0;
        }
    }
    return -1;
}

int lan9118_start(const uint8_t mac[6])
{
    if (LAN9118[ID_REV] >> 16 != ID_LAN9118) {
        return -1;
    }
    LAN9118[HW_CFG] = HW_CFG_RESET;
    for (int tries = 0; (LAN9118[HW_CFG] & HW_CFG_RESET) != 0; tries++) {
        if (tries == TRIES) {
            return -1;
        }
    }
    LAN9118[HW_CFG] = HW_CFG_TX_FIFO;
    LAN9118[FIFO_INT] = 0;
    LAN9118[TX_CFG] = TX_CFG_ON;
    const uint32_t low = (uint32_t)mac[0] | (uint32_t)mac[1] << 8 | (uint32_t)mac[2] << 16 | (uint32_t)mac[3] << 24;
    const uint32_t high = (uint32_t)mac[4] | (uint32_t)mac[5] << 8;
    if (mac_write(MAC_ADDRL, low) != 0 || mac_write(MAC_ADDRH, high) != 0 || mac_write(MAC_CR, MAC_CR_ON) != 0) {
        return -1;
    }
    LAN9118[INT_EN] = INT_RX_STATUS;
    LAN9118[IRQ_CFG] = IRQ_CFG_ON;
    lan9118_arm();
    return 0;
}

void board_on_ethernet(void)
{
    board_irq_disable(BOARD_ETHERNET_IRQ);
}

void lan9118_arm(void)
{
    LAN9118[INT_STS] = INT_RX_STATUS;
    board_irq_enable(BOARD_ETHERNET_IRQ);
}

int lan9118_send(const uint32_t *frame, size_t size)
{
    const uint32_t words = ((uint32_t)size + 3u) / 4u;
    /* 8: the two command words */
    if (size > LAN9118_FRAME_BYTES || (LAN9118[TX_FIFO_INF] & 0xFFFFu) < words * 4u + 8u) {
        return -1;
    }
    LAN9118[TX_DATA_FIFO] = TX_FIRST_AND_LAST | (uint32_t)size;
    LAN9118[TX_DATA_FIFO] = (uint32_t)size;
    for (uint32_t i = 0; i < words; i++) {
        LAN9118[TX_DATA_FIFO] = frame[i];
    }
    while ((LAN9118[TX_FIFO_INF] >> 16 & 0xFFu) != 0) {
        (void)LAN9118[TX_STATUS_FIFO]; /* what is not read fills it up */
    }
    return 0;
}

size_t lan9118_receive(uint32_t *frame, size_t size)
{
    while ((LAN9118[RX_FIFO_INF] >> 16 & 0xFFu) != 0) {
        const uint32_t status = LAN9118[RX_STATUS_FIFO];
        const uint32_t bytes = status >> 16 & 0x3FFFu;
        const uint32_t words = (bytes + 3u) / 4u;
        const int wanted = (status & RX_ERROR) == 0 && bytes > CHECKSUM_BYTES && words * 4u <= size;
        for (uint32_t i = 0; i < words; i++) {
            const uint32_t word = LAN9118[RX_DATA_FIFO];
            if (wanted) {
                frame[i] = word;
            }
        }
        if (wanted) {
            return bytes - CHECKSUM_BYTES;
        }
    }
    return 0;
}
