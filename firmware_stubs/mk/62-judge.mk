# The codec that zcbor generates from edgeops/core/wire.cddl: not in the firmware (docs/adr/0014), but the judge of what
# the firmware reads and writes. `make judge`: build/judge/wire_judge.

JUDGE := $(BUILD)/judge
JUDGED := desired receipt presence state event report labels trust-root manifest observe-plan self-test

.PHONY: judge
judge: $(JUDGE)/wire_judge

# an environment of its own: zcbor 0.9.1 does not run with the cbor2 that EdgeOps uses
$(JUDGE)/env/.complete: mk/62-judge.mk
	$(PYTHON) -m venv $(JUDGE)/env
	$(JUDGE)/env/bin/python -m pip --disable-pip-version-check --quiet install 'zcbor==0.9.1' 'cbor2<6'
	touch $@

$(JUDGE)/wire.cddl: ../edgeops/core/wire.cddl tests/judge/name_fields.py
	@mkdir -p $(@D)
	$(PYTHON) tests/judge/name_fields.py <$< >$@

$(JUDGE)/judged.cmake: $(JUDGE)/wire.cddl $(JUDGE)/env/.complete
	$(JUDGE)/env/bin/zcbor code --cddl $< --decode --encode --default-max-qty 1 --entry-types $(JUDGED) \
	    --output-cmake $@ >$(JUDGE)/zcbor.log

# the C runtime that belongs to the generated codec comes with the package
$(JUDGE)/wire_judge: tests/judge/wire_judge.c tools/lines.h $(JUDGE)/judged.cmake
	@mkdir -p $(@D)
	zcbor=$$(echo $(JUDGE)/env/lib/python3*/site-packages/zcbor); \
	$(CC) -std=c99 -O1 -g -w -DZCBOR_CANONICAL -I$$zcbor/include $(INCLUDES) -Itools -I$(JUDGE)/include $< \
	    $(JUDGE)/src/judged_decode.c $(JUDGE)/src/judged_encode.c $$zcbor/src/zcbor_common.c \
	    $$zcbor/src/zcbor_decode.c $$zcbor/src/zcbor_encode.c -o $@
