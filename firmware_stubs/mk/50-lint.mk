# make lint: cppcheck over our own C, and every public header alone, in C99 and in C++11.

CPPCHECK ?= cppcheck
CXX ?= c++
PUBLIC_HEADERS := $(wildcard include/edgeops/*.h)
LINT_SOURCES := $(wildcard src port tools)
# the deps' headers are left out: cppcheck then says so, and judges our code as if their functions could do anything
CPPCHECK_FLAGS := --quiet --std=c99 --language=c --error-exitcode=1 --enable=warning,performance,portability \
    --inline-suppr --suppress=missingInclude --suppress=unmatchedSuppression \
    --template='{file}:{line}: {severity}: {message} [{id}]'

.PHONY: lint lint-cppcheck lint-headers

lint: lint-headers lint-cppcheck

lint-cppcheck:
	$(CPPCHECK) $(CPPCHECK_FLAGS) $(INCLUDES) $(LINT_SOURCES)

lint-headers:
	@set -e; for header in $(PUBLIC_HEADERS); do \
	    name=$${header#include/}; \
	    printf '#include "%s"\n#include "%s"\ntypedef int not_empty;\n' $$name $$name | \
	        $(CC) $(WARNINGS) -pedantic -Iinclude -fsyntax-only -x c -; \
	    printf '#include "%s"\n' $$name | \
	        $(CXX) -std=c++11 -Wall -Wextra -Wshadow -Werror -pedantic -Iinclude -fsyntax-only -x c++ -; done
	@echo "$(words $(PUBLIC_HEADERS)) headers compile alone, in C99 and in C++11"
