/* mps2-an500: Cortex-M7. Numbers only: the linker script reads this file too. */
#define BOARD_CPU_HZ 25000000
#define BOARD_CODE_AT 0x00000000
#define BOARD_CODE_BYTES 0x00100000
#define BOARD_MODEL_AT 0x00100000
#define BOARD_MODEL_BYTES 0x00300000
#define BOARD_RAM_AT 0x20000000
#define BOARD_RAM_BYTES 0x00400000
#define BOARD_STACK_BYTES 0x4000
