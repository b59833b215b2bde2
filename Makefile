# SPDX-License-Identifier: Apache-2.0
# felhom-agent. `make help` lists the targets.

VERSION := $(shell sed -n 's/.*FELHOM_VERSION "\(.*\)"/\1/p' schema/base/version.h)
BUILD   ?= build
PREFIX  ?= /usr
DESTDIR ?=
JOBS    ?= $(shell nproc)

# --- packages that each kind of work needs ---------------------------------------------------------------
PACKAGES_BUILD := gcc libc6-dev pkg-config dpkg-dev debian-archive-keyring ca-certificates \
                  libmbedtls-dev libsqlite3-dev libyaml-dev libjansson-dev libcurl4-openssl-dev
PACKAGES_CHECK := libcmocka-dev perl curl openssl jq sqlite3 iproute2 util-linux procps python3 python3-yaml \
                  python3-jsonschema faketime mandoc \
                  lxc uidmap mmdebstrap docker-registry apache2-utils busybox-static
PACKAGES_LINT  := clang clang-format clang-tidy cppcheck shellcheck universal-ctags python3 python3-yaml python3-jsonschema
PACKAGES_DEMO  := curl openssl jq iproute2 util-linux python3
PACKAGES_CHROOT := mmdebstrap debian-archive-keyring
PACKAGES_DEB   := build-essential dpkg-dev debhelper git
PACKAGES_DEB_CHECK := autopkgtest lintian lxc uidmap mmdebstrap perl python3
PACKAGES_BENCH := perl nginx-light wrk curl jq openssl python3 sqlite3 iproute2 util-linux

# `make V=1` shows the commands.
ifndef V
QUIET = @echo "  $(1) $@";
else
QUIET =
endif

# --- compiler ---------------------------------------------------------------------------------------------
CC       ?= gcc
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
HARDEN   := -fstack-protector-strong -fstack-clash-protection -fPIE
LINK     := -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed,-O1
OPTIMIZE ?= -O2 -g
# The hook is static (hooks/no_plugins.c says why); sanitizers need it dynamic.
LINK_HOOK = -static-pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed,--gc-sections,-u,dlopen,--no-warnings
ifdef SANITIZE
LINK_HOOK = $(LINK)
OPTIMIZE := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=undefined
LINK     += -fsanitize=$(SANITIZE)
else
HARDEN   += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
# schema/base/memory.h says why; within a static program it takes --wrap.
LINK_HOOK += -Wl,-u,wiping_free,--wrap=free,--defsym=__wrap_free=wiping_free,--wrap=realloc,--defsym=__wrap_realloc=wiping_realloc
WIPING    := -Wl,-u,wiping_free,--defsym=free=wiping_free,--defsym=realloc=wiping_realloc
endif
ifeq ($(shell uname -m),x86_64)
HARDEN   += -fcf-protection
endif
CPPFLAGS += -D_GNU_SOURCE -I. -I$(CIVETWEB)/include
CFLAGS   += -std=gnu17 $(OPTIMIZE) $(WARNINGS) $(HARDEN) -MMD -MP

# --- what is built from what ------------------------------------------------------------------------------
CIVETWEB := build/source/civetweb
PARTS    := schema store hooks server cli
# in_part PART,PATTERN...: its files, in its sub-folders as well
in_part   = $(foreach pattern,$(2),$(wildcard $(1)/$(pattern) $(1)/*/$(pattern)))
objects   = $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(1)/main.c,$(call in_part,$(1),*.c)))

LIBS_STORE  := -lsqlite3 -lmbedx509 -lmbedcrypto -lyaml -ljansson
LIBS_SERVER := -lmbedtls $(LIBS_STORE) -lpthread -lrt

PROGRAMS := $(BUILD)/felhom-hook $(BUILD)/felhomd $(BUILD)/felhomctl

.PHONY: all programs help
all: $(PROGRAMS) compile_commands.json
programs: $(PROGRAMS)

help:
	@sed -n 's/^## //p' Makefile

## make              builds build/felhom-hook, build/felhomd, build/felhomctl; installs what is missing
## make demo         plays a guest's whole life on a scratch host
## make check        every test: units, end to end; plain and under ASan+UBSan
## make check-trixie the same in a Debian 13 chroot
## make lint         format, static analysis, layering, both compilers
## make fuzz         every parser under libFuzzer, FUZZ_SECONDS (60) each
## make fuzz-keep    adds what that found to the kept inputs, tests/fuzz/corpus
## make bench        timings, each as a ratio to a peer in the same run
## make deb          the Debian packages, into build/deb/; deb-bookworm, deb-trixie: those of that release, made in a chroot
## make check-deb    the packages: the same bytes twice, lintian, their life in a chroot and under systemd; check-deb-bookworm, check-deb-trixie
## make install      the host's part into DESTDIR; install-guest: what a golden image has

# Copied as a package's files are: what the linker has written in pieces lies in pieces in the page cache, and starts a tenth slower.
$(BUILD)/felhom-hook: $(BUILD)/hooks/main.o $(BUILD)/hooks.a $(BUILD)/store.a $(BUILD)/schema.a
	$(call QUIET,LINK)$(CC) $(LINK_HOOK) -o $@.linked $^ $(LIBS_STORE) -lm
	@cp $@.linked $@.new && mv $@.new $@ && rm $@.linked

$(BUILD)/felhomd: $(BUILD)/server/main.o $(BUILD)/server.a $(BUILD)/store.a $(BUILD)/schema.a
	$(call QUIET,LINK)$(CC) $(LINK) $(WIPING) -o $@ $^ $(LIBS_SERVER)

$(BUILD)/felhomctl: $(BUILD)/cli/main.o $(BUILD)/cli.a $(BUILD)/store.a $(BUILD)/schema.a
	$(call QUIET,LINK)$(CC) $(LINK) $(WIPING) -o $@ $^ -lmbedtls $(LIBS_STORE)

define archive
$(BUILD)/$(1).a: $$(call objects,$(1))
	@rm -f $$@
	$$(call QUIET,AR  )ar qcs $$@ $$^
endef
$(foreach part,$(PARTS),$(eval $(call archive,$(part))))
$(BUILD)/store.a: $(BUILD)/migrations.o
$(BUILD)/server.a: $(BUILD)/civetweb.o $(BUILD)/openapi_document.o

$(BUILD)/%.o: %.c | build/.packages-build
	@mkdir -p $(@D)
	$(call QUIET,CC  )$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/migrations.c: $(wildcard schema/sql/*.sql) tools/embed-migrations tools/embed-text
	@mkdir -p $(@D)
	$(call QUIET,MAKE)tools/embed-migrations $(sort $(wildcard schema/sql/*.sql)) >$@
$(BUILD)/openapi_document.c: schema/openapi.yaml tools/embed-text
	@mkdir -p $(@D)
	$(call QUIET,MAKE)(echo '#include "server/api/openapi_document.h"'; tools/embed-text openapi_document $<) >$@
$(BUILD)/migrations.o $(BUILD)/openapi_document.o: %.o: %.c
	$(call QUIET,CC  )$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# CivetWeb is fed on standard input, so that its #include "mod_mbedtls.inl" finds server/'s first: nothing of it is changed.
# It adds up lengths of chunks that a peer may make as long as it likes: sums that are too large are to wrap around (-fwrapv).
CIVETWEB_FLAGS = -D_GNU_SOURCE -std=gnu17 $(OPTIMIZE) $(HARDEN) -fwrapv -DUSE_MBEDTLS -DNO_SSL -DNO_CGI -DNO_FILES -DNO_CACHING \
                 -DUSE_STACK_SIZE=262144 -iquote $(dir $(call in_part,server,mod_mbedtls.inl)) -iquote $(CIVETWEB)/src -I. -I$(CIVETWEB)/include
$(BUILD)/civetweb.o: $(call in_part,server,mod_mbedtls.inl *.h) $(CIVETWEB)/src/civetweb.c
	@mkdir -p $(@D)
	$(call QUIET,CC  )$(CC) $(CIVETWEB_FLAGS) -x c -c -o $@ - <$(CIVETWEB)/src/civetweb.c

# Objects that include civetweb.h need the fetched source first.
$(call objects,server) $(BUILD)/server/main.o: | $(CIVETWEB)/src/civetweb.c

$(CIVETWEB)/src/civetweb.c: | build/.packages-build
	tools/fetch-civetweb build/source

build/.packages-%: Makefile
	@mkdir -p build
	@tools/install-packages $(PACKAGES_$(shell echo $* | tr a-z- A-Z_))
	@touch $@

compile_commands.json: Makefile
	@tools/compile-commands "$(CC)" "$(CPPFLAGS) $(CFLAGS)" $(foreach part,$(PARTS),$(call in_part,$(part),*.c)) >$@

# --- tests ------------------------------------------------------------------------------------------------
# A unit test tests/unit/PART_NOUN.c is linked with the part it names and with those below. What it defines itself takes the place of what
# these have under that name.
# make unit T=schema_cidr runs one, make unit T='schema_*' some.
T     ?=
UNITS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/$(or $(T),*).c))
below_schema := $(BUILD)/schema.a
below_store  := $(BUILD)/store.a $(below_schema)
below_hooks  := $(BUILD)/hooks.a $(below_store)
below_cli    := $(BUILD)/cli.a $(below_store)
below_server := $(BUILD)/server.a $(below_store)

define unit
$(BUILD)/unit/$(1): tests/unit/$(1).c $$(below_$(firstword $(subst _, ,$(1)))) | build/.packages-check
	@mkdir -p $$(@D)
	$$(call QUIET,LINK)$$(CC) $$(CPPFLAGS) $$(CFLAGS) $$(LINK) -Wl,-z,muldefs -o $$@ $$< $$(filter %.a,$$^) $$(LIBS_SERVER) -lcmocka
endef
$(foreach test,$(patsubst tests/unit/%.c,%,$(wildcard tests/unit/*.c)),$(eval $(call unit,$(test))))

# What changes a header is built against all tests of it.
compile-units: $(UNITS)

.PHONY: $(UNITS:=.run) compile-units unit e2e check check-plain check-sanitized check-trixie demo bench fuzz lint install install-guest clean

# Tests wait more than they work: four at a time, the slowest of the end-to-end tests first.
unit: $(UNITS)
	@$(MAKE) --no-print-directory --jobs=4 --output-sync=target $(UNITS:=.run)
$(UNITS:=.run): %.run: %
	@$<

HARNESS := $(addprefix $(BUILD)/,fault allocations.so felhom-hook-shared)
SLOWEST := $(patsubst %,tests/e2e/%.t,08-daemon 31-faults 27-lxc-guest 23-watchdog 28-rollover 26-guest-script 29-doctor)
# What guests and documents are about is no other with sanitizers.
PLAIN   := $(if $(SANITIZE),$(patsubst %,tests/e2e/%.t,20-openapi 25-words 26-guest-script 27-lxc-guest))
# make e2e T=06 runs one.
E2E ?= $(if $(T),$(wildcard tests/e2e/$(T)*.t),$(filter-out $(PLAIN),$(SLOWEST) $(filter-out $(SLOWEST),$(sort $(wildcard tests/e2e/*.t)))))
e2e: $(PROGRAMS) $(HARNESS) | build/.packages-check build/guest/rootfs/.ready
	BIN=$(abspath $(BUILD)) prove --jobs 4 --timer $(E2E)

# They let programs fail from outside (tests/faults), and have nothing of theirs.
$(BUILD)/fault: tests/faults/fault.c tests/faults/call.c tests/faults/call.h | build/.packages-check
	@mkdir -p $(@D)
	$(call QUIET,LINK)$(CC) -D_GNU_SOURCE -std=gnu17 -O2 -g -I. $(WARNINGS) -o $@ $(filter %.c,$^)
$(BUILD)/allocations.so: tests/faults/allocations.c | build/.packages-check
	@mkdir -p $(@D)
	$(call QUIET,LINK)$(CC) -D_GNU_SOURCE -std=gnu17 -O2 -g $(WARNINGS) -shared -fPIC -o $@ $<
# The hook as one that allocations.so can be preloaded to.
$(BUILD)/felhom-hook-shared: $(BUILD)/hooks/main.o $(BUILD)/hooks.a $(BUILD)/store.a $(BUILD)/schema.a
	$(call QUIET,LINK)$(CC) $(LINK) $(WIPING) -o $@ $^ $(LIBS_STORE)

# Containers for tests, where they can be made: by root.
build/guest/rootfs/.ready: tools/make-guest-image | build/.packages-check
	@if [ "$$(id -u)" -eq 0 ]; then tools/make-guest-image $(@D); fi

check-plain:
	$(MAKE) --jobs=$(JOBS) $(PROGRAMS) $(HARNESS) $(UNITS) build/guest/rootfs/.ready
	$(MAKE) unit
	$(MAKE) e2e

check-sanitized:
	ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1 \
	    $(MAKE) BUILD=build/asan SANITIZE=address,undefined check-plain

check:
	$(MAKE) check-sanitized
	$(MAKE) check-plain

check-trixie: | build/.packages-chroot
	tools/in-chroot trixie/check make check-plain

demo: $(PROGRAMS) | build/.packages-demo
	@BIN=$(abspath $(BUILD)) tools/demo

bench: $(PROGRAMS) | build/.packages-bench
	@for bench in tests/bench/*.bench; do BIN=$(abspath $(BUILD)) $$bench || exit 1; done

# --- fuzzing ----------------------------------------------------------------------------------------------
# Each target tests/fuzz/NOUN.c runs for FUZZ_SECONDS, from the seeds in tests/fuzz/seeds/NOUN, which are written by hand, and from the
# inputs kept in tests/fuzz/corpus/NOUN. What it finds besides goes to build/fuzz/corpus/NOUN, until fuzz-keep takes it over.
FUZZ_SECONDS ?= 60
FUZZ_FLAGS   ?=
FUZZERS := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/*.c))
.PHONY: fuzzers fuzz-keep $(FUZZERS:=.run) $(FUZZERS:=.keep)
fuzzers: | build/.packages-lint
	$(MAKE) --jobs=$(JOBS) CC=clang BUILD=build/fuzz/parts SANITIZE=fuzzer-no-link,address,undefined $(FUZZERS)
# A target may define what the programs have otherwise, such as what reads from a peer: the first definition counts.
$(FUZZERS): build/fuzz/%: tests/fuzz/%.c $(BUILD)/cli.a $(BUILD)/server.a $(BUILD)/store.a $(BUILD)/schema.a
	$(call QUIET,LINK)$(CC) $(CPPFLAGS) $(CFLAGS) -fsanitize=fuzzer -Wl,-z,muldefs -o $@ $< $(filter %.o,$^) $(filter %.a,$^) $(LIBS_SERVER)
build/fuzz/http_request: $(BUILD)/civetweb_talk.o
$(BUILD)/civetweb_talk.o: tests/fuzz/civetweb_talk.inl tests/fuzz/civetweb_talk.h $(BUILD)/civetweb.o
	$(call QUIET,CC  )cat $(CIVETWEB)/src/civetweb.c $< | $(CC) $(CIVETWEB_FLAGS) -x c -c -o $@ -

fuzz: fuzzers
	@$(MAKE) --no-print-directory --jobs=$(JOBS) --output-sync=target $(FUZZERS:=.run)
$(FUZZERS:=.run): build/fuzz/%.run:
	@mkdir -p build/fuzz/corpus/$*
	@echo "fuzzing $* for $(FUZZ_SECONDS) s"
	@build/fuzz/$* $(FUZZ_FLAGS) -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -verbosity=0 -artifact_prefix=build/fuzz/$*- \
	    build/fuzz/corpus/$* $(wildcard tests/fuzz/corpus/$* tests/fuzz/seeds/$*)

# By the branches that an input takes alone, not by how often it does: a kept corpus is to stay small.
fuzz-keep: fuzzers
	@$(MAKE) --no-print-directory --jobs=$(JOBS) --output-sync=target $(FUZZERS:=.keep)
$(FUZZERS:=.keep): build/fuzz/%.keep:
	@mkdir -p build/fuzz/corpus/$* tests/fuzz/corpus/$*
	@build/fuzz/$* -merge=1 -use_counters=0 -max_len=4096 -verbosity=0 tests/fuzz/corpus/$* build/fuzz/corpus/$* 2>build/fuzz/$*.merge || \
	    { cat build/fuzz/$*.merge; exit 1; }
	@echo "$*: $$(ls tests/fuzz/corpus/$* | wc -l) inputs kept"

# --- quality ----------------------------------------------------------------------------------------------
CODE    := $(foreach part,$(PARTS),$(call in_part,$(part),*.c))
SOURCES := $(foreach part,$(PARTS),$(call in_part,$(part),*.[ch] *.inl)) $(wildcard tests/unit/*.[ch] tests/fuzz/*.[ch] tests/fuzz/*.inl tests/faults/*.[ch])
SCRIPTS := $(filter-out tools/lint-openapi,$(wildcard tools/*)) .ci/run guest/felhom-controller-bootstrap \
           $(foreach script,preinst postinst prerm postrm,$(wildcard debian/*.$(script))) $(wildcard debian/tests/acceptance tests/packages/*) \
           $(wildcard tests/lib/*.sh) $(wildcard tests/e2e/*.t tests/bench/*.bench tests/bench/*.bash)

lint: compile_commands.json $(CIVETWEB)/src/civetweb.c | build/.packages-lint build/.packages-check
	@echo "  LINT layers, shape"; tools/lint-layers && tools/lint-shape
	@echo "  LINT openapi"; tools/lint-openapi
	@echo "  LINT clang-format"; clang-format --dry-run --Werror $(SOURCES)
	@echo "  LINT shellcheck"; shellcheck --severity=warning --external-sources $(SCRIPTS)
	@echo "  LINT cppcheck"; cppcheck --quiet --error-exitcode=1 --std=c17 \
	    --enable=warning,performance,portability --inline-suppr --suppress=missingIncludeSystem \
	    --suppress=ctuuninitvar --suppress=unmatchedSuppression -D_GNU_SOURCE -I. $(CODE)
	@echo "  LINT clang-tidy"; printf '%s\n' $(CODE) | \
	    xargs -P $(JOBS) -n 1 clang-tidy --quiet --warnings-as-errors='*' 2>/dev/null
	@echo "  LINT clang"; $(MAKE) --jobs=$(JOBS) CC=clang BUILD=build/clang \
	    build/clang/felhom-hook build/clang/felhomd build/clang/felhomctl

# --- installation -----------------------------------------------------------------------------------------
install: $(PROGRAMS)
	install -D -m 755 $(BUILD)/felhom-hook $(DESTDIR)$(PREFIX)/libexec/felhom-agent/felhom-hook
	install -D -m 755 $(BUILD)/felhomd $(DESTDIR)$(PREFIX)/sbin/felhomd
	install -D -m 755 $(BUILD)/felhomctl $(DESTDIR)$(PREFIX)/sbin/felhomctl
	install -D -m 644 debian/agent.yaml $(DESTDIR)/etc/felhom-agent/agent.yaml
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man8 hooks/felhom-hook.8 server/felhomd.8 cli/felhomctl.8
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man5 schema/agent.yaml.5
	install -D -m 644 cli/felhomctl.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/felhomctl

install-guest:
	install -D -m 755 guest/felhom-controller-bootstrap $(DESTDIR)$(PREFIX)/sbin/felhom-controller-bootstrap
	sed -i 's/@VERSION@/$(VERSION)/' $(DESTDIR)$(PREFIX)/sbin/felhom-controller-bootstrap
	install -D -m 644 guest/felhom-controller-bootstrap.default $(DESTDIR)/etc/default/felhom-controller-bootstrap
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man8 guest/felhom-controller-bootstrap.8

# --- packages ---------------------------------------------------------------------------------------------
RELEASE := $(shell . /etc/os-release && echo $$VERSION_CODENAME)
.PHONY: deb deb-bookworm deb-trixie check-deb check-deb-bookworm check-deb-trixie
deb: $(CIVETWEB)/src/civetweb.c | build/.packages-deb build/.packages-build
	tools/make-deb build/deb $(CIVETWEB)

deb-bookworm deb-trixie: deb-%: | build/.packages-chroot
	tools/in-chroot $*/build make deb
	rm -rf build/deb/$*
	mkdir -p build/deb/$*
	cp build/chroot/$*/build/src/build/deb/* build/deb/$*
	cp build/deb/$*/*.deb build/deb

check-deb: deb | build/.packages-deb-check
	tools/check-deb $(RELEASE) build/deb

check-deb-bookworm check-deb-trixie: check-deb-%: deb-% | build/.packages-deb-check
	tools/check-deb $* build/deb/$*

clean:
	rm -rf build compile_commands.json

-include $(wildcard $(foreach part,$(PARTS) unit,$(BUILD)/$(part)/*.d $(BUILD)/$(part)/*/*.d) $(BUILD)/*.d)
