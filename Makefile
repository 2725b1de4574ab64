# SPDX-License-Identifier: GPL-2.0
# The front door. Everything is built below build/; nothing is installed.

K ?= 6.12
T ?= *
O := $(CURDIR)/build
kernels = scripts/kernels
KDIR ?= $(shell $(kernels) path $(K))/build

.PHONY: all help deps modules lib daemon examples selftests unit check check-deep vm-test
.PHONY: sparse checkpatch demo bench clean

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

# The module is built in a farm of links, so that kernels do not share objects.
# $(KDIR) may be any prepared kernel build directory; $(K) then only names it.
FARM ?= $(O)/$(K)
modules: ## extpager.ko for a kernel: K=6.1|6.12|debug, or KDIR=
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
check-deep: deps ## the same with more rounds and every mutant
	@selftests/check --deep

vm-test: ## tests in a VM: K=6.1|6.12|debug T='prog' or 'prog:test', globs
	@selftests/run --kernel $(K) --only '$(T)'

sparse: ## sparse and W=1 on the module, for both stock kernels
	@selftests/static sparse
checkpatch: ## checkpatch on all C files
	@selftests/static checkpatch

bench: ## instructions per page on 6.12 and 6.1, beside mmap and userfaultfd
	@bench/run

demo: all modules ## a guest in which a pager pages
	demo/run

clean: ## remove build/
	rm -rf $(O)
