# SPDX-License-Identifier: Apache-2.0
# The tests: tests/unit by cmocka, tests/e2e by prove with the real programs, tests/bench.

.PHONY: unit compile-units unit-objects e2e check check-plain check-sanitized check-trixie
.PHONY: prepare-check prepare-trixie check-vm demo bench

# --- units ------------------------------------------------------------------------------------------------
# A unit test tests/unit/PART_NOUN.c is linked with the part that it names and with the parts below. A function
# that the test defines itself takes the place of the program's (muldefs).
T     ?=
UNITS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/$(or $(T),*).c))
below_schema := $(BUILD)/schema.a
below_store  := $(BUILD)/store.a $(below_schema)
below_hooks  := $(BUILD)/hooks.a $(below_store)
below_cli    := $(BUILD)/cli.a $(below_store)
below_server := $(BUILD)/server.a $(below_store)

define unit
$(BUILD)/unit/$(1): $(BUILD)/tests/unit/$(1).o $$(below_$(firstword $(subst _, ,$(1))))
	@mkdir -p $$(@D)
	$$(call QUIET,LINK)$$(CC) $$(LINK) -Wl,-z,muldefs -o $$@ $$^ $$(LIBS_SERVER) -lcmocka
endef
$(foreach test,$(patsubst tests/unit/%.c,%,$(wildcard tests/unit/*.c)),$(eval $(call unit,$(test))))

UNIT_OBJECTS := $(UNITS:$(BUILD)/unit/%=$(BUILD)/tests/unit/%.o)
$(UNIT_OBJECTS): | build/.packages-check $(CIVETWEB)/src/civetweb.c
compile-units: $(UNITS)
unit-objects: $(UNIT_OBJECTS)

# Tests wait more than they work: four at a time.
unit: | build/.packages-build build/.packages-check
	$(if $(T),$(if $(UNITS),,$(error there is no tests/unit/$(T).c)))
	@$(MAKE) --no-print-directory compile-units
	@$(MAKE) --no-print-directory --jobs=4 --output-sync=target $(UNITS:=.run)
.PHONY: $(UNITS:=.run)
$(UNITS:=.run): %.run: %
	@$<

# --- end to end -------------------------------------------------------------------------------------------
# The slowest come first, so that none of them is waited for alone at the end.
SLOWEST := $(patsubst %,tests/e2e/%.t,08-daemon 31-faults 27-lxc-guest 23-watchdog 28-rollover 26-guest-script \
           29-doctor)
# These look at documents and guests, which are the same under sanitizers.
PLAIN   := $(if $(SANITIZE),$(patsubst %,tests/e2e/%.t,20-openapi 25-words 26-guest-script 27-lxc-guest))
ALL_E2E := $(filter-out $(PLAIN),$(SLOWEST) $(filter-out $(SLOWEST),$(sort $(wildcard tests/e2e/*.t))))
E2E     ?= $(if $(T),$(wildcard tests/e2e/$(T)*.t),$(ALL_E2E))
e2e: | build/.packages-build build/.packages-check
	$(if $(T),$(if $(E2E),,$(error there is no tests/e2e/$(T)*.t)))
	@$(MAKE) --no-print-directory $(PROGRAMS) $(HARNESS) $(GUEST_IMAGE)
	BIN=$(abspath $(BUILD)) prove --jobs 4 --timer $(E2E)

# tests/faults: they make programs fail from outside, and share no code with them.
HARNESS       := $(addprefix $(BUILD)/,fault allocations.so felhom-hook-shared)
HARNESS_FLAGS := -D_GNU_SOURCE -std=gnu17 -O2 -g -I. $(WARNINGS)
$(BUILD)/fault: tests/faults/fault.c tests/faults/call.c tests/faults/call.h | build/.packages-check
	@mkdir -p $(@D)
	$(call QUIET,LINK)$(CC) $(HARNESS_FLAGS) -o $@ $(filter %.c,$^)
$(BUILD)/allocations.so: tests/faults/allocations.c | build/.packages-check
	@mkdir -p $(@D)
	$(call QUIET,LINK)$(CC) $(HARNESS_FLAGS) -shared -fPIC -o $@ $<
# The hook as a dynamic program, to which allocations.so can be preloaded.
$(BUILD)/felhom-hook-shared: $(BUILD)/hooks/main.o $(BUILD)/hooks.a $(BUILD)/store.a $(BUILD)/schema.a
	$(call QUIET,LINK)$(CC) $(LINK) $(WIPING) -o $@ $^ $(LIBS_STORE)

# Containers for tests, where they can be made: by root.
GUEST_IMAGE := build/guest/rootfs/.ready
$(GUEST_IMAGE): tools/make-guest-image | build/.packages-check
	@if [ "$$(id -u)" -eq 0 ]; then tools/make-guest-image $(@D); fi

# --- all of it --------------------------------------------------------------------------------------------
prepare-check: | build/.packages-build build/.packages-check
	$(MAKE) --jobs=$(JOBS) $(PROGRAMS) $(HARNESS) compile-units $(GUEST_IMAGE)

check-plain: prepare-check
	$(MAKE) unit
	$(MAKE) e2e

check-sanitized:
	ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1 \
	    $(MAKE) BUILD=build/asan SANITIZE=address,undefined check-plain

check:
	$(MAKE) check-sanitized
	$(MAKE) check-plain

# Makes the chroot and compiles in it, for whoever has other work to do beside that.
prepare-trixie: | build/.packages-chroot
	tools/in-chroot trixie/check make prepare-check

check-trixie: | build/.packages-chroot
	tools/in-chroot trixie/check make FAULTS=few check-plain

# Networks that not every machine's kernel can make, with a kernel of Debian's.
check-vm: | build/.packages-build build/.packages-check build/.packages-vm
	@$(MAKE) --no-print-directory $(PROGRAMS) $(HARNESS)
	tools/in-vm env BIN=$(abspath $(BUILD)) prove --timer $(foreach t,$(or $(T),54 58),$(wildcard tests/e2e/$(t)*.t))

demo: | build/.packages-build build/.packages-demo
	@$(MAKE) --no-print-directory programs
	@BIN=$(abspath $(BUILD)) tools/demo

bench: | build/.packages-build build/.packages-bench
	@$(MAKE) --no-print-directory programs
	@for bench in tests/bench/$(or $(T),*).bench; do BIN=$(abspath $(BUILD)) $$bench || exit 1; done
