/* microbit: Cortex-M0 (nRF51822). Numbers only: the linker script reads this file too. */
#define BOARD_CPU_HZ 16000000
#define BOARD_CODE_AT 0x00000000
#define BOARD_CODE_BYTES 0x00008000
#define BOARD_MODEL_AT 0x00008000
#define BOARD_MODEL_BYTES 0x00038000
#define BOARD_RAM_AT 0x20000000
#define BOARD_RAM_BYTES 0x00004000
#define BOARD_STACK_BYTES 0x0400
