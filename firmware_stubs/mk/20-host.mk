# The library, the tools and the C tests for this machine: build/host/lib*.a, build/host/<tool>, build/host/tests/<test>.
# Sources are found by folder: src/*/*.c is the library, tools/*.c and tests/*_test.c are one program each,
# port/posix/*.c is linked to what names it in POSIX_PROGRAMS. `make host SANITIZE=1` builds into build/sanitized.

CC ?= cc
HOST_FLAGS ?= -O2 -g
ifdef SANITIZE
HOST := $(BUILD)/sanitized
HOST_FLAGS += -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
else
HOST := $(BUILD)/host
endif

HOST_SOURCES := $(wildcard src/*/*.c) $(wildcard src/runtime/*/*.c)
HOST_OBJECTS := $(HOST_SOURCES:%.c=$(HOST)/%.o)
TOOLS := $(patsubst tools/%.c,$(HOST)/%,$(wildcard tools/*.c))
C_TESTS := $(patsubst tests/%.c,$(HOST)/tests/%,$(wildcard tests/*_test.c))

# system headers, so that our warnings do not judge them
DEPS_INCLUDES := -isystem $(DEPS)/monocypher -isystem $(DEPS)/mbedtls/include
DEPS_DEFINES := -DMBEDTLS_CONFIG_FILE='"trust/mbedtls_config.h"'
DEPS_SOURCES := $(DEPS)/monocypher/monocypher.c $(addprefix $(DEPS)/mbedtls/library/,sha256.c sha512.c platform_util.c)
HOST_DEPS_OBJECTS := $(DEPS_SOURCES:%.c=$(HOST)/%.o)

host: $(HOST)/libedgeops.a $(TOOLS) $(C_TESTS)

$(DEPS_SOURCES): | $(DEPS)/.complete

$(HOST)/$(DEPS)/%.o: $(DEPS)/%.c | $(DEPS)/.complete
	@mkdir -p $(@D)
	$(CC) -std=c99 $(HOST_FLAGS) -w $(DEPS_DEFINES) $(DEPS_INCLUDES) $(INCLUDES) -c $< -o $@

$(HOST)/%.o: %.c | $(DEPS)/.complete
	@mkdir -p $(@D)
	$(CC) $(WARNINGS) $(HOST_FLAGS) $(DEPS_DEFINES) $(DEPS_INCLUDES) $(INCLUDES) -MMD -MP -c $< -o $@

$(HOST)/libedgeops.a: $(HOST_OBJECTS)
	@rm -f $@
	$(AR) rcsD $@ $^

$(HOST)/libdeps.a: $(HOST_DEPS_OBJECTS)
	@rm -f $@
	$(AR) rcsD $@ $^

$(TOOLS): $(HOST)/%: $(HOST)/tools/%.o $(HOST)/libedgeops.a $(HOST)/libdeps.a
	$(CC) $(HOST_FLAGS) $^ -lm -o $@

$(C_TESTS): $(HOST)/tests/%: $(HOST)/tests/%.o $(HOST)/libedgeops.a $(HOST)/libdeps.a
	@mkdir -p $(@D)
	$(CC) $(HOST_FLAGS) $^ -lm -o $@

-include $(wildcard $(HOST)/src/*/*.d $(HOST)/src/*/*/*.d $(HOST)/tools/*.d $(HOST)/tests/*.d)
