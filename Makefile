# SPDX-License-Identifier: GPL-2.0
# The front door. Everything is built below build/; only `make install` writes
# elsewhere, below DESTDIR.

K ?= 6.12
T ?= *
FRESH ?=
PART ?=
SHARE ?=
SECONDS ?= 600
KERNEL ?= 6.12
SEED ?=
O := $(CURDIR)/build
VERSION := $(shell cat VERSION)
DESTDIR ?=
PREFIX ?= /usr/local
# Where DKMS looks, whatever the prefix.
DKMSDIR ?= /usr/src/extpager-$(VERSION)
kernels = scripts/kernels
KDIR ?= $(shell $(kernels) path $(K))/build

.PHONY: all help deps modules lib daemon examples doc install install-dkms deb
.PHONY: selftests unit check check-debug check-deep check-packages check-fresh vm-test
.PHONY: lint sparse checkpatch abi demo bench torture fuzz clean

all: lib daemon examples ## library, daemon, tools and examples for this machine

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## install what the build and the tests need (Debian)
	@scripts/deps

# These build themselves.
lib:
	@test ! -e lib/Makefile || $(MAKE) -C lib O=$(O) all
daemon: lib
	@test ! -e daemon/Makefile || $(MAKE) -C daemon O=$(O) all
examples: lib
	@test ! -e examples/Makefile || $(MAKE) -C examples O=$(O) all

doc: ## the manual pages; man -l build/doc/extpager.7
	$(MAKE) -C doc O=$(O) all

install: all doc install-dkms ## everything, below DESTDIR= and PREFIX=; the module as source, for DKMS
	$(MAKE) -C lib O=$(O) DESTDIR=$(DESTDIR) PREFIX=$(PREFIX) install
	$(MAKE) -C daemon O=$(O) DESTDIR=$(DESTDIR) PREFIX=$(PREFIX) install
	$(MAKE) -C doc O=$(O) DESTDIR=$(DESTDIR) PREFIX=$(PREFIX) install

dkms_files = dkms.conf $(shell find kmod uapi/linux -name '*.[ch]' -o -name Kbuild)
install-dkms:
	@for file in $(dkms_files); do \
		install -D -m 644 $$file $(DESTDIR)$(DKMSDIR)/$$file || exit; done

# From a copy of what git has, or may get: a package holds no leftovers.
deb: ## Debian packages in build/deb/
	@rm -rf $(O)/deb && mkdir -p $(O)/deb/extpager-$(VERSION)
	@{ git ls-files -co --exclude-standard 2>/dev/null || \
		find . -path ./build -prune -o -type f -print; } | \
		rsync -a --ignore-missing-args --files-from=- . $(O)/deb/extpager-$(VERSION)
	cd $(O)/deb/extpager-$(VERSION) && env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL \
		dpkg-buildpackage -us -uc -b
	@rm -rf $(O)/deb/extpager-$(VERSION)
	@ls $(O)/deb/*.deb

# The module is built in a farm of links, so that kernels do not share objects.
# $(KDIR) may be any prepared kernel build directory; $(K) then only names it.
FARM ?= $(O)/$(K)
modules: ## extpager.ko for a kernel: K=6.1|6.12|debug|kcsan, or KDIR=
	@test -e $(KDIR)/Makefile || $(kernels) fetch $(K)
	@mkdir -p $(FARM)
	@find $(FARM) -type l -xtype l -delete
	@cp -rsf $(CURDIR)/kmod $(CURDIR)/uapi $(FARM)
	$(MAKE) -C $(KDIR) M=$(FARM)/kmod CC=gcc-12 W=1 $(KFLAGS) modules

selftests: lib ## the test programs
	$(MAKE) -C selftests O=$(O) $(if $(PROGRAMS),PROGRAMS='$(PROGRAMS)') all

# The library twice more, instrumented, under the unit tests.
unit: ## the unit tests, with address and thread sanitizers
	@test ! -e lib/Makefile || $(MAKE) -C lib O=$(O)/asan all \
		CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all" \
		LDFLAGS="-fsanitize=address,undefined"
	@test ! -e lib/Makefile || $(MAKE) -C lib O=$(O)/tsan all \
		CFLAGS="-O1 -g -fsanitize=thread" LDFLAGS="-fsanitize=thread"
	$(MAKE) -C selftests O=$(O) unit

check: deps ## all tests: static checks, unit tests, VMs, canaries, mutants
	@selftests/check
check-debug: deps ## the tests on the debug kernel alone
	@selftests/run --kernel debug
check-deep: deps ## all of it; PART=6.1|6.12|debug|kcsan|mutants|packages alone, SHARE=1/3 of mutants
	@selftests/check --deep $(addprefix --part=,$(PART)) $(addprefix --share=,$(SHARE))
check-packages: deps ## the packages in a real Debian guest: run, kill, upgrade, purge
	@selftests/packages
check-fresh: deps ## the README's commands in a minimal Debian; FRESH='make demo' for one
	@selftests/fresh '$(FRESH)'

vm-test: deps ## tests in a VM: K=6.1|6.12|debug|kcsan T='prog' or 'prog:test', globs
	@selftests/run --kernel $(K) --only '$(T)'

lint: deps ## all static checks
	@selftests/static
# At a release; between releases `selftests/static abi` compares with it.
abi: lib ## keep the library's binary interface as it is now
	abidw --headers-dir lib/include --no-corpus-path --no-comp-dir-path --drop-private-types \
		--exported-interfaces-only --no-show-locs --no-elf-needed --type-id-style hash --out-file lib/abi/libextpager.abi $(O)/lib/libextpager.so.0

sparse: ## sparse and W=1 on the module, for both stock kernels
	@selftests/static sparse
checkpatch: ## checkpatch on all C files
	@selftests/static checkpatch

bench: deps ## instructions per page on 6.12 and 6.1, beside mmap, userfaultfd, FUSE, ublk
	@bench/run

torture: deps ## clients and pagers tormented: SECONDS=600 KERNEL=6.1|6.12|debug|kcsan SEED=n
	@selftests/torture --kernel $(KERNEL) --seconds $(SECONDS) $(addprefix --seed ,$(SEED))

fuzz: deps ## wrong ioctls, ring words and netlink attributes: SECONDS= KERNEL= SEED= likewise
	@selftests/torture --program fuzz --kernel $(KERNEL) --seconds $(SECONDS) \
		$(addprefix --seed ,$(SEED))

demo: deps ## a guest in which a pager pages
	@$(MAKE) all modules
	@demo/run --kernel $(K)

clean: ## remove build/
	rm -rf $(O)
