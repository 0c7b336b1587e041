# The C agent for Linux: build/host/edgeops_agent. It needs libmosquitto (Debian: libmosquitto-dev); `make host` leaves
# it out, with a line that says so, where that is missing.

POSIX_SOURCES := $(wildcard port/posix/*.c)
POSIX_OBJECTS := $(POSIX_SOURCES:%.c=$(HOST)/%.o)
HAVE_MOSQUITTO := $(shell printf '\043include <mosquitto.h>\n' | $(CC) -E - >/dev/null 2>&1 && echo yes)

.PHONY: posix
posix: $(HOST)/edgeops_agent

$(HOST)/edgeops_agent: $(POSIX_OBJECTS) $(HOST)/libedgeops.a $(HOST)/libdeps.a
	$(CC) $(HOST_FLAGS) $^ -lmosquitto -lm -o $@

ifeq ($(HAVE_MOSQUITTO),yes)
host: posix
else
host:
	@echo "edgeops_agent is left out: no mosquitto.h. Fix: sudo apt-get install libmosquitto-dev" >&2
endif

-include $(wildcard $(HOST)/port/posix/*.d)
