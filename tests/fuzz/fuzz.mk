# SPDX-License-Identifier: Apache-2.0
# Fuzzing. Each target tests/fuzz/NOUN.c runs for FUZZ_SECONDS. It begins with the inputs in tests/fuzz/seeds/NOUN,
# which are written by hand, and those in tests/fuzz/corpus/NOUN, which were found and kept. What it finds besides
# goes to build/fuzz/corpus/NOUN, until `make fuzz-keep` takes it over.

FUZZ_SECONDS ?= 60
FUZZ_FLAGS   ?=
FUZZERS := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/*.c))
.PHONY: fuzz fuzzers fuzz-keep $(FUZZERS:=.run) $(FUZZERS:=.keep)

fuzzers: | build/.packages-build build/.packages-lint
	$(MAKE) --jobs=$(JOBS) CC=clang BUILD=build/fuzz/parts SANITIZE=fuzzer-no-link,address,undefined $(FUZZERS)

# A target may define a function of the programs itself, such as one that reads from a peer: it takes the place of
# theirs (muldefs).
$(FUZZERS): build/fuzz/%: tests/fuzz/%.c $(BUILD)/cli.a $(BUILD)/server.a $(BUILD)/store.a $(BUILD)/schema.a
	$(call QUIET,LINK)$(CC) $(CPPFLAGS) $(CFLAGS) -fsanitize=fuzzer -Wl,-z,muldefs -o $@ $< \
	    $(filter %.o,$^) $(filter %.a,$^) $(LIBS_SERVER)
build/fuzz/http_request: $(BUILD)/civetweb_talk.o
$(BUILD)/civetweb_talk.o: tests/fuzz/civetweb_talk.inl tests/fuzz/civetweb_talk.h $(BUILD)/civetweb.o
	$(call QUIET,CC  )cat $(CIVETWEB)/src/civetweb.c $< | $(CC) $(CIVETWEB_FLAGS) -x c -c -o $@ -

fuzz: fuzzers
	@$(MAKE) --no-print-directory --jobs=$(JOBS) --output-sync=target $(FUZZERS:=.run)
$(FUZZERS:=.run): build/fuzz/%.run:
	@mkdir -p build/fuzz/corpus/$*
	@echo "fuzzing $* for $(FUZZ_SECONDS) s"
	@build/fuzz/$* $(FUZZ_FLAGS) -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -verbosity=0 \
	    -artifact_prefix=build/fuzz/$*- build/fuzz/corpus/$* $(wildcard tests/fuzz/corpus/$* tests/fuzz/seeds/$*)

# Inputs are kept for the branches that they take, not for how often they take them: a kept corpus has to stay small.
fuzz-keep: fuzzers
	@$(MAKE) --no-print-directory --jobs=$(JOBS) --output-sync=target $(FUZZERS:=.keep)
$(FUZZERS:=.keep): build/fuzz/%.keep:
	@mkdir -p build/fuzz/corpus/$* tests/fuzz/corpus/$*
	@build/fuzz/$* -merge=1 -use_counters=0 -max_len=4096 -verbosity=0 tests/fuzz/corpus/$* build/fuzz/corpus/$* \
	    2>build/fuzz/$*.merge || { cat build/fuzz/$*.merge; exit 1; }
	@echo "$*: $$(ls tests/fuzz/corpus/$* | wc -l) inputs kept"
