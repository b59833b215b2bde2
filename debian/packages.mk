# SPDX-License-Identifier: Apache-2.0
# The Debian packages, for this machine's release or, in a chroot, for another.

RELEASE := $(shell . /etc/os-release && echo $$VERSION_CODENAME)
.PHONY: deb deb-bookworm deb-trixie check-deb check-deb-bookworm check-deb-trixie

deb: | build/.packages-build build/.packages-deb $(CIVETWEB)/src/civetweb.c
	tools/make-deb build/deb $(CIVETWEB)

deb-bookworm deb-trixie: deb-%: | build/.packages-chroot
	tools/in-chroot $*/build make deb
	rm -rf build/deb/$*
	mkdir -p build/deb/$*
	cp build/chroot/$*/build/src/build/deb/* build/deb/$*
	cp build/deb/$*/*.deb build/deb

check-deb: | build/.packages-build build/.packages-deb build/.packages-deb-check
	@$(MAKE) --no-print-directory deb
	tools/check-deb $(RELEASE) build/deb

check-deb-bookworm check-deb-trixie: check-deb-%: | build/.packages-deb-check
	@$(MAKE) --no-print-directory deb-$*
	tools/check-deb $* build/deb/$*
