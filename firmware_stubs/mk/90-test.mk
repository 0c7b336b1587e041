# make test: everything that is promised of the firmware, on a fresh machine; about ten minutes on two cores.
# make prove: the part of it that needs no Python tests: C tests (plain and sanitized), lint, fuzzers, sizes;
# about four minutes on two cores, most of them the first build.

FUZZ_SECONDS ?= 10

# of `prove`; in `make test` the Python tests come after them
STEPS := $(if $(filter test,$(MAKECMDGOALS)),5,4)

.PHONY: tools prove c-tests python-tests

# The cross compiler, the emulator, the broker, and the virtual environment that the Python tests run in.
tools:
	@$(MAKE) --no-print-directory -C .. setup-dev system-packages

# $(1): a folder of test programs; each says what failed
run_tests = for test in $(1)/*_test; do \
    if $$test; then echo "ok $$(basename $$test)"; else echo "FAILED $$test"; exit 1; fi; done

c-tests:
	@$(MAKE) --no-print-directory host
	@$(call run_tests,build/host/tests)
	@$(MAKE) --no-print-directory SANITIZE=1 host
	@$(call run_tests,build/sanitized/tests)

prove: tools
	@echo "1 of $(STEPS): C tests, plain and with sanitizers"
	@$(MAKE) --no-print-directory c-tests
	@echo "2 of $(STEPS): lint"
	@$(MAKE) --no-print-directory lint
	@echo "3 of $(STEPS): fuzzers, $(FUZZ_SECONDS) s each"
	@$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=$(FUZZ_SECONDS)
	@echo "4 of $(STEPS): sizes of the boards' images"
	@$(MAKE) --no-print-directory sizes

python-tests: tools
	@echo "$(STEP)Python tests: the firmware on this machine, on emulated boards and in fleets"
	cd .. && .venv/bin/python -m pytest tests/firmware tests/compile tests/e2e/test_firmware_fleet.py \
	    --numprocesses auto --dist loadfile $(ARGS)

# one after the other, with -j too
test: prove
	@$(MAKE) --no-print-directory python-tests STEP='5 of 5: '
