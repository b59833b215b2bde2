# SPDX-License-Identifier: Apache-2.0
# What the source has to be like: tools/lint-tree checks how it is built, the analysers the rest.

.PHONY: lint
CODE    := $(foreach part,$(PARTS),$(call in_part,$(part),*.c))
SOURCES := $(foreach part,$(PARTS),$(call in_part,$(part),*.[ch] *.inl)) \
           $(wildcard tests/unit/*.[ch] tests/fuzz/*.[ch] tests/fuzz/*.inl tests/faults/*.[ch])
PYTHON  := tools/lint-openapi tools/lint-tree
SCRIPTS := $(filter-out $(PYTHON) %.mk,$(wildcard tools/*)) .ci/run guest/felhom-controller-bootstrap \
           $(foreach script,preinst postinst prerm postrm,$(wildcard debian/*.$(script))) \
           $(wildcard debian/tests/acceptance tests/packages/* tests/lib/*.sh) \
           $(wildcard tests/e2e/*.t tests/bench/*.bench tests/bench/*.bash)
CPPCHECK := cppcheck --quiet --error-exitcode=1 --std=c17 --enable=warning,performance,portability --inline-suppr \
            --suppress=missingIncludeSystem --suppress=ctuuninitvar --suppress=unmatchedSuppression -D_GNU_SOURCE -I.

# What clang-tidy and clangd read.
compile_commands.json: Makefile
	@tools/compile-commands "$(CC)" "$(CPPFLAGS) $(CFLAGS)" $(CODE) >$@

lint: | build/.packages-build build/.packages-lint build/.packages-check $(CIVETWEB)/src/civetweb.c
	@$(MAKE) --no-print-directory compile_commands.json
	@echo "  LINT tree"; tools/lint-tree
	@echo "  LINT openapi"; tools/lint-openapi
	@echo "  LINT clang-format"; clang-format --dry-run --Werror $(SOURCES)
	@echo "  LINT shellcheck"; shellcheck --severity=warning --external-sources $(SCRIPTS)
	@echo "  LINT cppcheck"; $(CPPCHECK) -j $(JOBS) $(CODE)
	@echo "  LINT clang-tidy"; printf '%s\n' $(CODE) | \
	    xargs -P $(JOBS) -n 1 clang-tidy --quiet --warnings-as-errors='*' 2>/dev/null
	@echo "  LINT clang"; $(MAKE) --jobs=$(JOBS) CC=clang BUILD=build/clang programs
