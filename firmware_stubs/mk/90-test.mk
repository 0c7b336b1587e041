# make test: everything that is promised of the firmware, on a fresh machine.
# make prove: the part of it that needs no Python tests: C tests (plain and sanitized), lint, fuzzers, sizes.

FUZZ_SECONDS ?= 10

.PHONY: tools prove c-tests python-tests

# The cross compiler, the emulator, the broker, and the virtual environment that the Python tests run in.
tools:
	@$(MAKE) --no-print-directory -C .. setup-dev system-packages

c-tests:
	@$(MAKE) --no-print-directory host
	@set -e; for test in build/host/tests/*_test; do echo "$$test"; $$test; done
	@$(MAKE) --no-print-directory SANITIZE=1 host
	@set -e; for test in build/sanitized/tests/*_test; do echo "$$test"; $$test; done

prove: tools
	@$(MAKE) --no-print-directory c-tests
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=$(FUZZ_SECONDS)
	@$(MAKE) --no-print-directory sizes

python-tests: tools
	cd .. && .venv/bin/python -m pytest tests/firmware tests/compile tests/e2e/test_firmware_fleet.py --numprocesses auto --dist loadfile $(ARGS)

test: prove python-tests
