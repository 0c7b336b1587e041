/* mps2-an385: Cortex-M3. Numbers only: the linker script reads this file too. */
#define BOARD_CPU_HZ 25000000
#define BOARD_CODE_AT 0x00000000
#define BOARD_CODE_BYTES 0x00100000
#define BOARD_MODEL_AT 0x00100000
#define BOARD_MODEL_BYTES 0x00300000
#define BOARD_RAM_AT 0x20000000
#define BOARD_RAM_BYTES 0x00400000
#define BOARD_STACK_BYTES 0x4000
/* where the agent's flash is emulated: the board's PSRAM */
#define BOARD_STORE_AT 0x21000000
#define BOARD_STORE_BYTES 0x00100000
#define BOARD_TIMER_AT 0x40000000
#define BOARD_TIMER_IRQ 8
#define BOARD_ETHERNET_AT 0x40200000
#define BOARD_ETHERNET_IRQ 13
