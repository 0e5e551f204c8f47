# SPDX-License-Identifier: MIT
#
## make                    the programs and the SBOM, for the pod board unless another is chosen
## make demo               see it work: installs what it needs (as root), builds, plays a scenario
## make check              installs what it needs (as root), builds, runs all tests
##
## make BOARD_defconfig    choose a board: one of the folders in board/
## make menuconfig         change the configuration; also: oldconfig, olddefconfig, savedefconfig
## make size               sizes against the budget
## make install            into DESTDIR and PREFIX (/usr/local); also: uninstall
## make clean              remove what was built; distclean: also the configuration and downloads
##
## make check-unit         one part of the tests: check-init, check-e2e, check-leak, check-resource, ...
## make soak               the long forms of attacks on resources: an hour
## make sanitize           the programs with ASan and UBSan, in out/sanitize
## make fuzz               every fuzz target for FUZZ_SECONDS (60); fuzz-NAME: one of them
## make lint               cppcheck, shellcheck, mandoc
## make bench-smoke        a short benchmark; bench: the long one
## make fetch, make deps   only download, only build the third-party libraries
##
## O=DIR                   build there instead of in out
## CROSS_COMPILE=PREFIX-   any musl toolchain: aarch64-linux-musl-, arm-linux-musleabihf-, ...
## V=1                     show commands

VERSION     := 0.1.0
# Certificates are never checked against an earlier date than this: that of the version, in seconds since 1970
RELEASED    := 1795564800
O           ?= out
V           ?= 0
PREFIX      ?= /usr/local

Q           := $(if $(filter 1,$(V)),,@)
quiet       := $(if $(filter 1,$(V)),y,$(findstring s,$(firstword -$(MAKEFLAGS))))
say          = $(if $(quiet),@:,@printf '  %-8s%s\n' '$(1)' '$(2)')

all: programs sbom

SIZE_FLAGS  := -Os -fno-pie -fno-jump-tables -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables
CFLAGS      ?= -g
HOSTCFLAGS  ?= -O2 -g
# Nothing makes a static program's relro read-only, so it would only be room up to the next page's end; the
# smaller "common page" keeps the linker from leaving such room before the data.
STATIC      := -static -no-pie -Wl,--gc-sections -Wl,-z,max-page-size=4096 -Wl,-z,common-page-size=64 \
               -Wl,-z,noseparate-code -Wl,-z,norelro
WARN_FLAGS  := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
               -Wwrite-strings -Wformat=2 -Wvla -Wimplicit-fallthrough -Wundef
STD_FLAGS   := -std=c11 -D_GNU_SOURCE -DSLUICE_VERSION='"$(VERSION)"' -DSLUICE_RELEASED=$(RELEASED) -I. -I$(O) -include autoconf.h \
               -ffile-prefix-map=$(CURDIR)=. -ffile-prefix-map=$(abspath $(O))=out

include board/config.mk
include board/toolchain.mk
include board/deps.mk
include board/program.mk
include rules/rules.mk
include init/init.mk
include tproxy/tproxy.mk
include tests/tests.mk

programs: $(PROGRAMS)
sbom: $(O)/sluice.cdx.json
size: programs
	$(Q)board/size $(SIZE) $(TARGET_ARCH) $(O) $(TLS)

MAN          = $(wildcard docs/man/*.[1-9])
SHARE       := $(DESTDIR)$(PREFIX)/share
BOARD_FILES  = $(patsubst board/%,%,$(wildcard board/*/*))
install: all
	$(call say,INSTALL,$(DESTDIR)$(PREFIX))
	$(Q)install -D -t $(DESTDIR)$(PREFIX)/bin $(O)/sluice-rules
	$(Q)install -D -t $(DESTDIR)$(PREFIX)/sbin $(O)/sluice-init $(O)/sluice-tproxy
	$(Q)$(foreach m,$(MAN),install -D -m 644 -t $(SHARE)/man/man$(subst .,,$(suffix $(m))) $(m) &&) :
	$(Q)$(foreach b,$(BOARD_FILES),install -D -m 644 board/$(b) $(SHARE)/sluice/board/$(b) &&) :
	$(Q)install -D -m 644 -t $(SHARE)/doc/sluice LICENSE $(wildcard README.md) $(O)/sluice.cdx.json
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/sluice-rules $(addprefix $(DESTDIR)$(PREFIX)/sbin/,sluice-init sluice-tproxy)
	rm -f $(foreach m,$(MAN),$(SHARE)/man/man$(subst .,,$(suffix $(m)))/$(notdir $(m)))
	rm -rf $(SHARE)/sluice $(SHARE)/doc/sluice

# The libraries stay: they take longest, and only distclean or another toolchain makes them anew.
clean:
	rm -rf $(PROGRAMS) $(addsuffix .debug,$(PROGRAMS)) $(addprefix $(O)/,obj sanitize tests fuzz) $(O)/sluice.cdx.json
distclean: clean
	rm -rf $(addprefix $(O)/,deps uapi .config .config.old autoconf.h defconfig kconfig.log .compiler .toolchain)
	-rmdir $(O)
	rm -rf dl
help:
	@sed -n 's/^## \{0,1\}//p' Makefile
print-%:
	@echo $($*)
$(O)/:
	@mkdir -p $@
FORCE:
.PHONY: all programs sbom size install uninstall clean distclean help FORCE

-include $(shell find $(O)/obj -name '*.d' 2>/dev/null)
