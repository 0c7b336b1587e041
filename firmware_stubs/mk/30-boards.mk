# Bare-metal images for the emulated boards: build/<board>/<image>.elf, `make boards`. For speed instead of for size:
# `make boards SPEED=1`, into build/<board>-speed; without the kernels for the DSP extension: PORTABLE=1, into
# build/<board>-portable or -speed-portable. The same sources give the same bytes in any folder.

CROSS ?= arm-none-eabi-
BOARDS := an385 an386 an500 an505 an547 microbit
BOARD_OPTIMIZE := $(if $(SPEED),-O2,-Os)
BOARD_KERNELS := $(if $(PORTABLE),-DEO_KERNELS_portable)
BOARD_SUFFIX := $(if $(SPEED),-speed)$(if $(PORTABLE),-portable)

# No FPU: what is in floating point (quantize, dequantize, the front ends) is emulated, and costs those who use it.
CPU_an385 := -mcpu=cortex-m3
CPU_an386 := -mcpu=cortex-m4 -mfloat-abi=soft
CPU_an500 := -mcpu=cortex-m7 -mfloat-abi=soft
CPU_an505 := -mcpu=cortex-m33 -mfloat-abi=soft
CPU_an547 := -mcpu=cortex-m55+nomve+nofp -mfloat-abi=soft
CPU_microbit := -mcpu=cortex-m0

BOARD_FLAGS := -mthumb -ffunction-sections -fdata-sections -fno-common -fno-unwind-tables \
    -fno-asynchronous-unwind-tables -ffile-prefix-map=$(CURDIR)=. -fcallgraph-info=su $(BOARD_OPTIMIZE) $(BOARD_KERNELS)
# What makes the agent smaller still, and costs it nothing that counts; kernels and front ends go without, for their loops.
BOARD_SMALL := $(if $(SPEED),,-fno-schedule-insns2 -fno-move-loop-invariants -fno-tree-loop-im -fno-tree-dominator-opts \
    -fno-tree-coalesce-vars -fno-tree-sink)
board_small = $(if $(filter src/runtime/% src/features/%,$(1)),,$(BOARD_SMALL))
BOARD_LINK := -nostartfiles -static -Wl,--gc-sections -Wl,--build-id=none -Wl,--strip-debug -Wl,--fatal-warnings \
    $(if $(SPEED),,--specs=nano.specs)

BOARD_SUPPORT := port/mps2/startup.c port/mps2/semihosting.c port/mps2/clock.c
BOARD_IMAGES := run_vectors board_check
BOARD_RUNTIME := $(wildcard src/runtime/*.c) $(wildcard src/runtime/*/*.c)

# Images are linked from objects, not from archives, so that a map names every source with its folder (mk/sizes.py).
# What only the board with a network has.
NET_BOARD := an385
NET_IMAGES := net_smoke edgeops_agent
NET_SUPPORT := port/mps2/arguments.c port/mps2/lan9118.c port/mps2/net.c port/mps2/mqtt.c port/mps2/mqtt_link.c
LWIP_INCLUDES := -isystem $(DEPS)/lwip/src/include -isystem port/mps2/lwip_port
LWIP_SOURCES := $(addprefix $(DEPS)/lwip/src/,core/def.c core/inet_chksum.c core/init.c core/ip.c core/mem.c \
    core/memp.c core/netif.c core/pbuf.c core/tcp.c core/tcp_in.c core/tcp_out.c core/timeouts.c core/ipv4/etharp.c \
    core/ipv4/icmp.c core/ipv4/ip4.c core/ipv4/ip4_addr.c netif/ethernet.c)

board_objects = $(patsubst %.c,$(BUILD)/$(1)$(BOARD_SUFFIX)/%.o,$(2))

# $(1): the board
define BOARD_RULES
$(1)_FOLDER := $$(BUILD)/$(1)$$(BOARD_SUFFIX)
$(1)_CC := $$(CROSS)gcc $$(CPU_$(1)) $$(BOARD_FLAGS) -DBOARD_HEADER='"boards/$(1).h"'

$$($(1)_FOLDER)/$$(DEPS)/%.o: $$(DEPS)/%.c mk/30-boards.mk | $$(DEPS)/.complete
	@mkdir -p $$(@D)
	$$($(1)_CC) -std=c99 -w $$(BOARD_SMALL) $$(DEPS_DEFINES) $$(DEPS_INCLUDES) $$(LWIP_INCLUDES) $$(INCLUDES) -MMD -MP -c $$< -o $$@

$$($(1)_FOLDER)/%.o: %.c Makefile mk/30-boards.mk | $$(DEPS)/.complete
	@mkdir -p $$(@D)
	$$($(1)_CC) $$(WARNINGS) $$(call board_small,$$<) $$(DEPS_DEFINES) $$(DEPS_INCLUDES) $$(LWIP_INCLUDES) $$(INCLUDES) -Iport/mps2 -MMD -MP -c $$< -o $$@

$$($(1)_FOLDER)/board.ld: port/mps2/board.ld.in port/mps2/boards/$(1).h
	@mkdir -p $$(@D)
	$$($(1)_CC) -E -P -x c -Iport/mps2 $$< -o $$@

$$($(1)_FOLDER)/%.elf: $$($(1)_FOLDER)/port/mps2/%.o $$(call board_objects,$(1),$$(BOARD_SUPPORT)) \
        $$($(1)_FOLDER)/board.ld mk/30-boards.mk
	$$($(1)_CC) $$(BOARD_LINK) -T $$($(1)_FOLDER)/board.ld -Wl,-Map=$$(@:.elf=.map) $$(filter %.o,$$^) -lm -o $$@

$$($(1)_FOLDER)/run_vectors.elf: $$(call board_objects,$(1),$$(BOARD_RUNTIME))

boards: $$(BOARD_IMAGES:%=$$($(1)_FOLDER)/%.elf)
endef

NET_FOLDER := $(BUILD)/$(NET_BOARD)$(BOARD_SUFFIX)

$(LWIP_SOURCES): | $(DEPS)/.complete

$(NET_FOLDER)/net_smoke.elf: $(call board_objects,$(NET_BOARD),$(NET_SUPPORT) $(LWIP_SOURCES))

AGENT_SUPPORT := port/mps2/main.c port/mps2/port.c port/mps2/emulated_flash.c $(BOARD_SUPPORT) $(NET_SUPPORT)
AGENT_SOURCES := $(wildcard src/*/*.c) $(wildcard src/runtime/*/*.c)
AGENT_OBJECTS := $(call board_objects,$(NET_BOARD),$(AGENT_SUPPORT) $(AGENT_SOURCES) $(DEPS_SOURCES) $(LWIP_SOURCES))

$(NET_FOLDER)/edgeops_agent.elf: $(AGENT_OBJECTS) $(NET_FOLDER)/board.ld mk/30-boards.mk
	$($(NET_BOARD)_CC) $(BOARD_LINK) -T $(NET_FOLDER)/board.ld -Wl,-Map=$(@:.elf=.map) $(AGENT_OBJECTS) -lm -o $@

boards: $(NET_IMAGES:%=$(NET_FOLDER)/%.elf)

$(foreach board,$(BOARDS),$(eval $(call BOARD_RULES,$(board))))

-include $(foreach board,$(BOARDS),$(wildcard $(BUILD)/$(board)$(BOARD_SUFFIX)/*/*/*.d $(BUILD)/$(board)$(BOARD_SUFFIX)/*/*/*/*.d))
.SECONDARY:
