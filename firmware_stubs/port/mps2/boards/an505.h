/* mps2-an505: Cortex-M33. It starts in secure state with its vectors at 0x10000000, so everything is at the secure
 * addresses (bit 28 set). Numbers only: the linker script reads this file too. */
#define BOARD_CPU_HZ 20000000
#define BOARD_CODE_AT 0x10000000
#define BOARD_CODE_BYTES 0x00100000
#define BOARD_MODEL_AT 0x10100000
#define BOARD_MODEL_BYTES 0x00300000
#define BOARD_RAM_AT 0x38000000
#define BOARD_RAM_BYTES 0x00200000
#define BOARD_STACK_BYTES 0x4000
