# Other people's code, brought into $(DEPS), once; after a change of mk/deps.sh again.

deps: $(DEPS)/.complete

$(DEPS)/.complete: mk/deps.sh
	mk/deps.sh $(DEPS) $(PYTHON)
