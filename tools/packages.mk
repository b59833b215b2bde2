# SPDX-License-Identifier: Apache-2.0
# The Debian packages that each kind of work needs. build/.packages-KIND is there once they are installed; every
# target that compiles, tests or packages depends on it, so that nothing is compiled before all is installed.

PACKAGES_BUILD := gcc libc6-dev pkg-config dpkg-dev debian-archive-keyring ca-certificates \
                  libmbedtls-dev libsqlite3-dev libyaml-dev libjansson-dev libcurl4-openssl-dev
PACKAGES_CHECK := libcmocka-dev perl curl openssl jq sqlite3 iproute2 util-linux procps faketime mandoc \
                  python3 python3-yaml python3-jsonschema \
                  lxc uidmap mmdebstrap docker-registry apache2-utils busybox-static
PACKAGES_LINT  := clang clang-format clang-tidy cppcheck shellcheck universal-ctags \
                  python3 python3-yaml python3-jsonschema
PACKAGES_DEMO  := curl openssl jq iproute2 util-linux python3
PACKAGES_BENCH := perl nginx-light wrk curl jq openssl python3 sqlite3 iproute2 strace util-linux
PACKAGES_VM        := qemu-system-x86 kmod busybox-static
PACKAGES_CHROOT    := mmdebstrap debian-archive-keyring
PACKAGES_DEB       := build-essential dpkg-dev debhelper git
PACKAGES_DEB_CHECK := autopkgtest lintian lxc uidmap mmdebstrap perl python3

build/.packages-%: tools/packages.mk
	@mkdir -p build
	@tools/install-packages $(PACKAGES_$(shell echo $* | tr a-z- A-Z_))
	@touch $@
