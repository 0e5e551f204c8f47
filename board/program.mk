# SPDX-License-Identifier: MIT
# How objects and programs are made. Three sides: target (the device), host, and sanitize (host, ASan
# and UBSan); a side's objects are in $(O)/obj/SIDE, laid out as the sources are.

SAN_FLAGS   := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
cc_target    = $(CC) $(STD_FLAGS) $(WARN_FLAGS) $(SIZE_FLAGS) $(CFLAGS) $(TARGETINC)
cc_host      = $(HOSTCC) $(STD_FLAGS) $(WARN_FLAGS) $(HOSTCFLAGS) $(HOSTINC)
cc_sanitize  = $(CLANG) $(STD_FLAGS) $(WARN_FLAGS) -O1 -g $(SAN_FLAGS) $(HOSTINC)
cc_fuzz      = $(CLANG) $(STD_FLAGS) $(WARN_FLAGS) -O1 -g -fsanitize=fuzzer-no-link $(SAN_FLAGS) $(HOSTINC)
TARGETINC   := -isystem $(UAPI) -isystem $(DEPS_TARGET)/include
HOSTINC     := -isystem $(DEPS_HOST)/include $(INIH_FLAGS)
$(O)/obj/target/tproxy/tls_mbedtls%: TARGETINC += -isystem $(DEPS_TARGET)/mbed
$(foreach s,host sanitize fuzz,$(O)/obj/$(s)/tproxy/tls_mbedtls%): HOSTINC += -isystem $(DEPS_HOST)/mbed

# $(1) side, $(2) word for the log, $(3) what must be there first
define object-rule
$(O)/obj/$(1)/%.o: %.c $(O)/autoconf.h $(O)/.toolchain | $(3)
	$$(call say,$(2),$$<)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(cc_$(1)) -MMD -MP -c -o $$@ $$<
endef
$(eval $(call object-rule,target,CC,$(UAPI)/.stamp $(DEPS_TARGET_LIBS)))
# The one host program needs no other libraries, and who builds only the programs builds no others.
$(eval $(call object-rule,host,HOSTCC,$(addprefix $(DEPS_HOST)/lib/,libinih.a libbearssl.a)))
$(eval $(call object-rule,sanitize,ASAN,$(DEPS_HOST_LIBS)))
$(eval $(call object-rule,fuzz,FUZZCC,$(DEPS_HOST_LIBS)))

comma       := ,
space       := $(subst ,, )
objects      = $(patsubst %.c,$(O)/obj/$(1)/%.o,$(2))
archives     = $(foreach d,$(2),$(O)/deps/$(1)/lib/lib$(patsubst c-%,c%,$(d:lib%=%)).a)

# $(1) program, $(2) sources, $(3) libraries
define sanitize-program
$(O)/sanitize/$(1): $(call objects,sanitize,$(filter-out init/fortify.c $(DEVICE_SRC),$(2))) $(call archives,host,$(3))
	$$(call say,LINK,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CLANG) $$(SAN_FLAGS) -o $$@ $$^ -lpthread
SANITIZED += $(O)/sanitize/$(1)
endef

define host-program
$(O)/$(1): $(call objects,host,$(2)) $(call archives,host,$(3))
	$$(call say,HOSTLD,$$@)
	$$(Q)$$(HOSTCC) $$(HOSTCFLAGS) -o $$@ $$^
PROGRAMS     += $(O)/$(1)
PROGRAM_LIBS += $(1)=$(subst $(space),$(comma),$(strip $(3)))
$(call sanitize-program,$(1),$(2),$(3))
endef

# The linker can make a dynamic program of -static without a word, so the result is looked at.
define device-program
$(O)/$(1).debug: $(call objects,target,$(2)) $(call archives,target,$(3))
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) $$(SIZE_FLAGS) $$(CFLAGS) $$(LDFLAGS) $$(STATIC) -o $$@ $$^ -lpthread
$(O)/$(1): $(O)/$(1).debug
	$$(call say,STRIP,$$@)
	$$(Q)$$(STRIP) -s -R .comment -o $$@.new $$<
	$$(Q)! $$(READELF) -lW $$@.new | grep -q INTERP || { echo '$$@: not static' >&2; exit 1; }
	$$(Q)mv $$@.new $$@
PROGRAMS     += $(O)/$(1)
PROGRAM_LIBS += $(1)=$(subst $(space),$(comma),$(strip $(3) musl))
$(call sanitize-program,$(1),$(2),$(3))
endef
