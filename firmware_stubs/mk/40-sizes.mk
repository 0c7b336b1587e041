# Flash and RAM per module of the Cortex-M3 agent at -Os: `make sizes`, for a program `make sizes JSON=1`.

SIZES_MAPS := $(BUILD)/an385/edgeops_agent.elf $(BUILD)/an386/run_vectors.elf

sizes: $(SIZES_MAPS)
	@$(PYTHON) mk/sizes.py $(if $(JSON),--json) --agent $(BUILD)/an385/edgeops_agent.map --dsp $(BUILD)/an386/run_vectors.map \
	    --graphs $(BUILD)/an385/src $(BUILD)/an385/$(DEPS)
