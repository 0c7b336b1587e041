# make fuzz [FUZZ_SECONDS=10] [FUZZ=plan]: every tests/fuzz/<name>_fuzz.c under libFuzzer with the address and undefined
# sanitizers, so long each. What one finds is left in build/fuzz/findings/<name>, what it says in build/fuzz/<name>.log.
# Seeds: what tests/fuzz/write_seeds.py makes of real artifacts in build/fuzz/seeds/<name>, where it knows the name,
# and tests/fuzz/seeds/<name>, where that exists. The corpus grows from one run to the next in build/fuzz/corpus.

CLANG ?= clang
FUZZ_SECONDS ?= 10
FUZZ ?= $(patsubst tests/fuzz/%_fuzz.c,%,$(wildcard tests/fuzz/*_fuzz.c))
FUZZ_FOLDER := $(BUILD)/fuzz
FUZZ_FLAGS := -std=c99 -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_OBJECTS := $(HOST_SOURCES:%.c=$(FUZZ_FOLDER)/%.o) $(DEPS_SOURCES:%.c=$(FUZZ_FOLDER)/%.o)
FUZZERS := $(FUZZ:%=$(FUZZ_FOLDER)/%_fuzz)

.PHONY: fuzz fuzz-seeds

$(FUZZ_FOLDER)/$(DEPS)/%.o: $(DEPS)/%.c | $(DEPS)/.complete
	@mkdir -p $(@D)
	$(CLANG) $(FUZZ_FLAGS) -w $(DEPS_DEFINES) $(DEPS_INCLUDES) $(INCLUDES) -c $< -o $@

$(FUZZ_FOLDER)/%.o: %.c | $(DEPS)/.complete
	@mkdir -p $(@D)
	$(CLANG) $(WARNINGS) $(FUZZ_FLAGS) $(DEPS_DEFINES) $(DEPS_INCLUDES) $(INCLUDES) -MMD -MP -c $< -o $@

$(FUZZ_FOLDER)/libedgeops.a: $(FUZZ_OBJECTS)
	@rm -f $@
	$(AR) rcsD $@ $^

$(FUZZ_FOLDER)/%_fuzz: $(FUZZ_FOLDER)/tests/fuzz/%_fuzz.o $(FUZZ_FOLDER)/libedgeops.a
	$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer $^ -lm -o $@

fuzz-seeds:
	@$(PYTHON) tests/fuzz/write_seeds.py $(FUZZ_FOLDER)/seeds

fuzz: $(FUZZERS) fuzz-seeds
	@set -e; for name in $(FUZZ); do began=$$(date +%s); \
	    mkdir -p $(FUZZ_FOLDER)/corpus/$$name $(FUZZ_FOLDER)/findings/$$name; seeds=; \
	    for folder in $(FUZZ_FOLDER)/seeds/$$name tests/fuzz/seeds/$$name; do \
	        if [ -d $$folder ]; then seeds="$$seeds $$folder"; fi; done; \
	    log=$(FUZZ_FOLDER)/$$name.log; \
	    if ! $(FUZZ_FOLDER)/$${name}_fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -timeout=10 -rss_limit_mb=1024 \
	        -verbosity=0 -print_final_stats=1 -artifact_prefix=$(FUZZ_FOLDER)/findings/$$name/ \
	        $(FUZZ_FOLDER)/corpus/$$name $$seeds >$$log 2>&1; then \
	        tail -n 40 $$log; echo "FAILED $$name: see $$log and $(FUZZ_FOLDER)/findings/$$name"; exit 1; fi; \
	    runs=$$(sed -n 's/^stat::number_of_executed_units: *//p' $$log); \
	    if [ "$${runs:-0}" -eq 0 ]; then tail -n 40 $$log; echo "FAILED $$name: nothing was run, see $$log"; exit 1; fi; \
	    while echo "$$runs" | grep -q '[0-9]\{4\}'; do \
	        runs=$$(echo "$$runs" | sed 's/\([0-9]\)\([0-9]\{3\}\)\($$\|,\)/\1,\2\3/'); done; \
	    echo "ok $$name: $$runs runs in $$(($$(date +%s) - began)) s"; done

-include $(wildcard $(FUZZ_FOLDER)/src/*/*.d $(FUZZ_FOLDER)/src/*/*/*.d $(FUZZ_FOLDER)/tests/fuzz/*.d)
.PRECIOUS: $(FUZZ_FOLDER)/tests/fuzz/%_fuzz.o
