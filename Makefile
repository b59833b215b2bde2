# SPDX-License-Identifier: Apache-2.0
# felhom-agent. `make help` lists the targets. This file says how the three programs are built and installed;
# tests/tests.mk and tests/fuzz/fuzz.mk say how they are tested, tools/lint.mk how the source is checked,
# debian/packages.mk how the packages are made, tools/packages.mk which Debian packages all this needs.

VERSION := $(shell sed -n 's/.*FELHOM_VERSION "\(.*\)"/\1/p' schema/base/version.h)
BUILD   ?= build
PREFIX  ?= /usr
DESTDIR ?=
JOBS    ?= $(shell nproc)

# `make V=1` shows the commands.
ifndef V
QUIET = @echo "  $(1) $@";
else
QUIET =
endif

PROGRAMS := $(addprefix $(BUILD)/,felhom-hook felhomd felhomctl)

.PHONY: all programs help install install-guest clean
all: $(PROGRAMS) compile_commands.json
programs: $(PROGRAMS)

help:
	@sed -n 's/^## //p' Makefile

## make              builds build/felhom-hook, build/felhomd, build/felhomctl; installs what is missing
## make demo         plays a guest's whole life on a scratch host
## make check        runs every test: units and end to end, first under ASan and UBSan, then plain
## make unit         runs the unit tests;        make unit T=schema_cidr runs one, T='schema_*' some
## make e2e          runs the end-to-end tests;  make e2e T=06 runs one
## make check-trixie runs every test in a Debian 13 chroot
## make check-vm     runs tests/e2e/54 with a kernel of Debian's in a virtual machine; T=39: another test
## make lint         checks format, layers, circles, sizes; runs static analysers; builds with clang
## make fuzz         runs every parser under libFuzzer, FUZZ_SECONDS (60) each
## make fuzz-keep    adds the inputs that fuzzing found to those that are kept, tests/fuzz/corpus
## make bench        prints timings, each as a ratio to a peer in the same run
## make deb          builds the Debian packages into build/deb/
##                   deb-bookworm, deb-trixie: those of that release, built in a chroot
## make check-deb    tests the packages: the same bytes twice, lintian, their life under dpkg and systemd
##                   check-deb-bookworm, check-deb-trixie: those of that release
## make install      installs the host's part into DESTDIR; install-guest: what a golden image needs
## make clean        removes build/

# --- compiler and linker ---------------------------------------------------------------------------------
CC       ?= gcc
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
HARDEN   := -fstack-protector-strong -fstack-clash-protection -fPIE
LINK     := -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed,-O1
OPTIMIZE ?= -O2 -g
# The hook is static (hooks/static_link.c says why); sanitizers need it dynamic. Sections for each function and each
# variable let the linker leave out what the hook never uses of a file that it needs.
LINK_HOOK = -static-pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed,--gc-sections \
            -Wl,-u,dlopen,--no-warnings
ifdef SANITIZE
LINK_HOOK = $(LINK)
OPTIMIZE := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=undefined
LINK     += -fsanitize=$(SANITIZE)
else
HARDEN   += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
# What is freed is wiped: schema/base/memory.h says why, and how in the hook.
WIPING    := -Wl,-u,wiping_free,--defsym=free=wiping_free,--defsym=realloc=wiping_realloc
endif
ifeq ($(shell uname -m),x86_64)
HARDEN   += -fcf-protection
endif
CPPFLAGS += -D_GNU_SOURCE -I. -I$(CIVETWEB)/include
CFLAGS   += -std=gnu17 $(OPTIMIZE) $(WARNINGS) $(HARDEN) -ffunction-sections -fdata-sections -MMD -MP

LIBS_STORE  := -lsqlite3 -lmbedx509 -lmbedcrypto -lyaml -ljansson
LIBS_SERVER := -lmbedtls $(LIBS_STORE) -lpthread -lrt

# --- what is built from what ------------------------------------------------------------------------------
CIVETWEB := build/source/civetweb
PARTS    := schema store hooks server cli
# $(call in_part,PART,PATTERN...): the part's files of these names, those in its sub-folders as well
in_part   = $(foreach pattern,$(2),$(wildcard $(1)/$(pattern) $(1)/*/$(pattern)))
objects   = $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(1)/main.c,$(call in_part,$(1),*.c)))

include tools/packages.mk

# The linker leaves the file in pieces in the page cache, and such a program starts a tenth slower than an
# installed one. So it is copied, as a package's files are.
$(BUILD)/felhom-hook: $(BUILD)/hooks/main.o $(BUILD)/hooks.a $(BUILD)/store.a $(BUILD)/schema.a
	$(call QUIET,LINK)$(CC) $(LINK_HOOK) -o $@.linked $^ $(LIBS_STORE) -lm
	@cp $@.linked $@.new && mv $@.new $@ && rm $@.linked

$(BUILD)/felhomd: $(BUILD)/server/main.o $(BUILD)/server.a $(BUILD)/store.a $(BUILD)/schema.a
	$(call QUIET,LINK)$(CC) $(LINK) $(WIPING) -o $@ $^ $(LIBS_SERVER)

$(BUILD)/felhomctl: $(BUILD)/cli/main.o $(BUILD)/cli.a $(BUILD)/store.a $(BUILD)/schema.a
	$(call QUIET,LINK)$(CC) $(LINK) $(WIPING) -o $@ $^ -lmbedtls $(LIBS_STORE)

# Members of one name from two folders have to be in an archive both: q appends, r would replace.
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

# --- files that are generated -----------------------------------------------------------------------------
MIGRATIONS := $(sort $(wildcard schema/sql/*.sql))
$(BUILD)/migrations.c: $(MIGRATIONS) tools/embed-migrations tools/embed-text Makefile
	@mkdir -p $(@D)
	$(call QUIET,MAKE)tools/embed-migrations $(MIGRATIONS) >$@
$(BUILD)/openapi_document.c: schema/openapi.yaml tools/embed-text Makefile
	@mkdir -p $(@D)
	$(call QUIET,MAKE)(echo '#include "server/api/route.h"'; tools/embed-text openapi_document $<) >$@
$(BUILD)/migrations.o $(BUILD)/openapi_document.o: %.o: %.c | build/.packages-build
	$(call QUIET,CC  )$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# --- CivetWeb, unmodified ---------------------------------------------------------------------------------
# Its source is fed on standard input, so that its #include "mod_mbedtls.inl" finds ours first. It adds up
# lengths of chunks that a peer may make as long as it likes: too large a sum has to wrap around (-fwrapv).
GLUE := $(call in_part,server,mod_mbedtls.inl)
CIVETWEB_FLAGS = -D_GNU_SOURCE -std=gnu17 $(OPTIMIZE) $(HARDEN) -fwrapv \
                 -DUSE_MBEDTLS -DNO_SSL -DNO_CGI -DNO_FILES -DNO_CACHING -DUSE_STACK_SIZE=262144 \
                 -iquote $(dir $(GLUE)) -iquote $(CIVETWEB)/src -I. -I$(CIVETWEB)/include
$(BUILD)/civetweb.o: $(GLUE) $(call in_part,server,*.h) $(CIVETWEB)/src/civetweb.c
	@mkdir -p $(@D)
	$(call QUIET,CC  )$(CC) $(CIVETWEB_FLAGS) -x c -c -o $@ - <$(CIVETWEB)/src/civetweb.c

# Objects that include civetweb.h need the fetched source first.
$(call objects,server) $(BUILD)/server/main.o $(BUILD)/openapi_document.o: | $(CIVETWEB)/src/civetweb.c

$(CIVETWEB)/src/civetweb.c: | build/.packages-build
	tools/fetch-civetweb build/source

# --- installation -----------------------------------------------------------------------------------------
SBIN := $(DESTDIR)$(PREFIX)/sbin
MAN  := $(DESTDIR)$(PREFIX)/share/man
COMPLETIONS := $(DESTDIR)$(PREFIX)/share/bash-completion/completions
install: $(PROGRAMS)
	install -D -m 755 $(BUILD)/felhom-hook $(DESTDIR)$(PREFIX)/libexec/felhom-agent/felhom-hook
	install -D -m 755 -t $(SBIN) $(BUILD)/felhomd $(BUILD)/felhomctl
	install -D -m 644 debian/agent.yaml $(DESTDIR)/etc/felhom-agent/agent.yaml
	install -D -m 644 -t $(MAN)/man8 hooks/felhom-hook.8 server/felhomd.8 cli/felhomctl.8
	install -D -m 644 -t $(MAN)/man5 schema/agent.yaml.5
	install -D -m 644 cli/felhomctl.bash $(COMPLETIONS)/felhomctl

install-guest:
	install -D -m 755 -t $(SBIN) guest/felhom-controller-bootstrap
	sed -i 's/@VERSION@/$(VERSION)/' $(SBIN)/felhom-controller-bootstrap
	install -D -m 644 guest/felhom-controller-bootstrap.default $(DESTDIR)/etc/default/felhom-controller-bootstrap
	install -D -m 644 -t $(MAN)/man8 guest/felhom-controller-bootstrap.8

clean:
	rm -rf build compile_commands.json

include tests/tests.mk tests/fuzz/fuzz.mk tools/lint.mk debian/packages.mk
-include $(wildcard $(foreach part,$(PARTS) tests,$(BUILD)/$(part)/*.d $(BUILD)/$(part)/*/*.d) $(BUILD)/*.d)
