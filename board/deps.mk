# SPDX-License-Identifier: MIT
# Third-party libraries: downloaded by package name, built static into $(O)/deps/{target,host}.
#
# Changing a version: change it here, `make distclean all check`. Another version than the expected one
# (a security update) is used all the same, with a warning, and is what the SBOM names.

#           package        arch    suites  expected version                  licence
inih     := libinih        source  trixie  59-1                              BSD-3-Clause
c-ares   := c-ares         source  trixie,forky  1.34.9-1~deb13u1           MIT
llhttp   := libllhttp-dev  any     trixie  9.2.1~7.3.0+dfsg1+~cs24.12.11-1   MIT
libmnl   := libmnl-dev     any     trixie  1.0.5-3                           LGPL-2.1-or-later
libnftnl := libnftnl-dev   any     trixie  1.2.9-1                           GPL-2.0-or-later
bearssl  := bearssl        source  bookworm,trixie  0.6+dfsg.1-3             MIT
mbed     := mbedtls        source  trixie  3.6.6-0.1~deb13u1                 Apache-2.0

DL_DIR      ?= dl
DEPS        := inih c-ares llhttp libmnl libnftnl bearssl mbed
# Whoever includes <ini.h> needs them too: they change its handler's type.
INIH_FLAGS  := -DINI_HANDLER_LINENO=1 -DINI_CALL_HANDLER_ON_NEW_SECTION=1 -DINI_ALLOW_MULTILINE=0 \
               -DINI_MAX_LINE=8192
ARCHIVES    := llhttp libmnl libnftnl
DEPS_TARGET := $(O)/deps/target
DEPS_HOST   := $(O)/deps/host

# A toolchain with a musl sysroot of its own (Buildroot, OpenWrt, Alpine) may have some of the libraries.
# Debian's wrappers around a glibc compiler call themselves -gnu, and what they find is glibc's.
IN_SYSROOT  := $(if $(findstring musl,$(TRIPLET)),$(foreach d,$(ARCHIVES),\
               $(if $(filter /%,$(shell $(CC) -print-file-name=lib$(d:lib%=%).a)),$(d))))

dep-receipt  = $(DL_DIR)/$(word 1,$($(1)))_$(if $(filter any,$(word 2,$($(1)))),$(2),source).pkg

# $(1) library, $(2) architecture
define receipt-rule
$(call dep-receipt,$(1),$(2)):
	$$(call say,FETCH,$(word 1,$($(1))) $(2))
	$$(Q)board/fetch $$(DL_DIR) $(word 3,$($(1))) $(word 1,$($(1))) $(2) $(word 4,$($(1)))
endef

# A -dev package's static archive, without the unwind tables that no C program of ours reads. $(1) library, $(2) target or host, $(3) architecture
define archive-rule
$(O)/deps/$(2)/lib/lib$(1:lib%=%).a: $(call dep-receipt,$(1),$(3)) $(O)/.compiler
	$$(call say,UNPACK,$(2) $(1))
	$$(Q)board/unpack $$< $(O)/deps/src/$(1)-$(2)
	$$(Q)mkdir -p $(O)/deps/$(2)/include $$(@D)
	$$(Q)cp -R $(O)/deps/src/$(1)-$(2)/usr/include/. $(O)/deps/$(2)/include/
	$$(Q)$(if $(filter target,$(2)),$(OBJCOPY) -R .eh_frame -R .rela.eh_frame,cp) \
		$(O)/deps/src/$(1)-$(2)/usr/lib/*/$$(@F) $$@
endef

# $(1) library
define sysroot-rule
$(DEPS_TARGET)/lib/lib$(1:lib%=%).a: $(O)/.compiler
	$$(call say,SYSROOT,$(1))
	$$(Q)mkdir -p $(DEPS_TARGET)/include $$(@D)
	$$(Q)cp $$$$($$(CC) -print-file-name=$$(@F)) $$@
endef

# Functions of c-ares's that tproxy/cares.c has in their place.
CARES_OWN   := ares_buf_load_file ares_parse_sortlist

# Nothing of c-ares but the resolver: no tools, no tests, and no threads, since each worker drives its
# own channel from its own loop. $(1) target or host, $(2) compiler, $(3) flags, $(4) more of configure's
define cares-rule
$(O)/deps/$(1)/lib/libcares.a: $(call dep-receipt,c-ares) $(O)/.compiler
	$$(call say,BUILD,$(1) c-ares)
	$$(Q)board/unpack $$< $(O)/deps/src/c-ares-$(1) 'CVE-*'
	$$(Q)cd $(O)/deps/src/c-ares-$(1) && ./configure -q --disable-shared --disable-tests \
		--disable-cares-threads --disable-dependency-tracking --without-pic $(4) \
		CC="$(2)" CFLAGS="$(3) -w -ffile-prefix-map=$$(abspath $(O))=out" >build.log 2>&1 || \
		{ tail -n 20 build.log >&2; exit 1; }
	$$(Q)+$$(MAKE) -s -C $(O)/deps/src/c-ares-$(1)/src/lib libcares.la >>$(O)/deps/src/c-ares-$(1)/build.log 2>&1 || \
		{ tail -n 20 $(O)/deps/src/c-ares-$(1)/build.log >&2; exit 1; }
	$$(Q)mkdir -p $(O)/deps/$(1)/include $$(@D)
	$$(Q)cp $(O)/deps/src/c-ares-$(1)/include/*.h $(O)/deps/$(1)/include/
	$$(Q)$(if $(filter target,$(1)),$(OBJCOPY),objcopy) $(CARES_OWN:%=--weaken-symbol=%) \
		$(O)/deps/src/c-ares-$(1)/src/lib/.libs/libcares.a $$@
endef

# One file: our flags, not those of Debian's library. $(1) target or host, $(2) compiler, $(3) flags
define inih-rule
$(O)/deps/$(1)/lib/libinih.a: $(call dep-receipt,inih) $(O)/.compiler
	$$(call say,BUILD,$(1) inih)
	$$(Q)board/unpack $$< $(O)/deps/src/inih-$(1)
	$$(Q)mkdir -p $(O)/deps/$(1)/include $$(@D) && rm -f $$@
	$$(Q)cd $(O)/deps/src/inih-$(1) && $(2) $(3) $(INIH_FLAGS) -c ini.c
	$$(Q)ar crD $$@ $(O)/deps/src/inih-$(1)/ini.o
	$$(Q)cp $(O)/deps/src/inih-$(1)/ini.h $(O)/deps/$(1)/include/
endef

# Randomness and time are the proxy's affair: the library opens no device and asks no clock.
BEARSSL_OFF := -DBR_USE_URANDOM=0 -DBR_USE_GETENTROPY=0 -DBR_RDRAND=0 -DBR_USE_UNIX_TIME=0

# $(1) target or host, $(2) compiler, $(3) flags, $(4) ar
define bearssl-rule
$(O)/deps/$(1)/lib/libbearssl.a: $(call dep-receipt,bearssl) $(O)/.compiler
	$$(call say,BUILD,$(1) bearssl)
	$$(Q)board/unpack $$< $(O)/deps/src/bearssl-$(1)
	$$(Q)+cd $(O)/deps/src/bearssl-$(1) && $$(MAKE) -s lib DLL=no O=.o CC="$(2)" AR="$(4)" \
		CFLAGS="$(3) $(BEARSSL_OFF) -w -ffile-prefix-map=$$(abspath $(O))=out" >build.log 2>&1 || \
		{ tail -n 20 build.log >&2; exit 1; }
	$$(Q)mkdir -p $(O)/deps/$(1)/include $$(@D)
	$$(Q)cp $(O)/deps/src/bearssl-$(1)/inc/*.h $(O)/deps/$(1)/include/
	$$(Q)cp $(O)/deps/src/bearssl-$(1)/build/libbearssl.a $$@
endef

# All of it with our own configuration, in a library of another name than the distribution's, whose
# headers nobody else gets to see. $(1) target or host, $(2) compiler, $(3) flags, $(4) ar
define mbed-rule
$(O)/deps/$(1)/lib/libmbed.a: $(call dep-receipt,mbed) $(O)/.compiler tproxy/tls_mbedtls_config.h
	$$(call say,BUILD,$(1) mbedtls)
	$$(Q)board/unpack $$< $(O)/deps/src/mbed-$(1) 'CVE-*'
	$$(Q)cp tproxy/tls_mbedtls_config.h $(O)/deps/src/mbed-$(1)/include/mbedtls/mbedtls_config.h
	$$(Q)mkdir -p $(O)/deps/src/mbed-$(1)/objects $(O)/deps/$(1)/mbed $$(@D) && rm -f $$@
	$$(Q)cd $(O)/deps/src/mbed-$(1)/objects && $(2) $(3) -w -ffile-prefix-map=$$(abspath $(O))=out \
		-I../include -c ../library/*.c
	$$(Q)cp -R $(O)/deps/src/mbed-$(1)/include/. $(O)/deps/$(1)/mbed/
	$$(Q)$(4) crD $$@ $(O)/deps/src/mbed-$(1)/objects/*.o
endef

# The architectures that library $(1) is downloaded for.
dep-arches   = $(if $(filter any,$(word 2,$($(1)))),$(sort $(HOST_ARCH) $(TARGET_ARCH)),source)
$(foreach d,$(DEPS),$(foreach a,$(call dep-arches,$(d)),$(eval $(call receipt-rule,$(d),$(a)))))
$(foreach d,$(ARCHIVES),$(eval $(call archive-rule,$(d),host,$(HOST_ARCH))))
$(foreach d,$(filter-out $(IN_SYSROOT),$(ARCHIVES)),$(eval $(call archive-rule,$(d),target,$(TARGET_ARCH))))
$(foreach d,$(IN_SYSROOT),$(eval $(call sysroot-rule,$(d))))
$(eval $(call cares-rule,target,$(CC),$(SIZE_FLAGS),--host=$(subst gnu,musl,$(TRIPLET))))
$(eval $(call cares-rule,host,$(HOSTCC),-O2 -g))
$(eval $(call inih-rule,host,$(HOSTCC),-O2 -g))
$(eval $(call bearssl-rule,target,$(CC),$(SIZE_FLAGS),$(call cc-prog,ar)))
$(eval $(call bearssl-rule,host,$(HOSTCC),-O2 -g,ar))
$(eval $(call mbed-rule,target,$(CC),$(SIZE_FLAGS),$(call cc-prog,ar)))
$(eval $(call mbed-rule,host,$(HOSTCC),-O2 -g -ffunction-sections -fdata-sections,ar))

# The device gets the TLS library that was chosen, tests both.
TLS_LIB          := $(filter-out none,$(TLS:mbedtls=mbed))
DEPS_TARGET_LIBS := $(addprefix $(DEPS_TARGET)/lib/,libcares.a libllhttp.a libmnl.a libnftnl.a \
                    $(TLS_LIB:%=lib%.a))
DEPS_HOST_LIBS   := $(addprefix $(DEPS_HOST)/lib/,libinih.a libcares.a libllhttp.a libmnl.a libnftnl.a \
                    libbearssl.a libmbed.a)
DEPS_RECEIPTS    := $(sort $(foreach d,$(DEPS),$(foreach a,$(call dep-arches,$(d)),$(call dep-receipt,$(d),$(a)))))

# What is linked into which program (PROGRAM_LIBS) and where it came from.
sbom-linked  = $(filter $(foreach p,$(PROGRAM_LIBS),$(subst $(comma), ,$(lastword $(subst =, ,$(p))))),$(DEPS))
sbom-library = $(1)=$(word 5,$($(1)))=$(if $(filter $(1),$(IN_SYSROOT)),,$(call dep-receipt,$(1),$(TARGET_ARCH)))
$(O)/sluice.cdx.json: $(DEPS_RECEIPTS) $(O)/.toolchain board/sbom $(wildcard Makefile */*.mk)
	$(call say,SBOM,$@)
	$(Q)board/sbom $(VERSION) "$(CC)" $(PROGRAM_LIBS) musl=MIT= \
		$(foreach d,$(sbom-linked),$(call sbom-library,$(d))) >$@.new
	$(Q)mv $@.new $@

deps: $(DEPS_TARGET_LIBS) $(DEPS_HOST_LIBS)
fetch: $(DEPS_RECEIPTS)
.PHONY: deps fetch
