/* mps3-an547: Cortex-M55, in secure state, from its tightly coupled memories. Numbers only: the linker script reads
 * this file too. */
#define BOARD_CPU_HZ 32000000
#define BOARD_CODE_AT 0x00000000
#define BOARD_CODE_BYTES 0x00010000
#define BOARD_MODEL_AT 0x00010000
#define BOARD_MODEL_BYTES 0x00070000
#define BOARD_RAM_AT 0x30000000
#define BOARD_RAM_BYTES 0x00080000
#define BOARD_STACK_BYTES 0x4000
