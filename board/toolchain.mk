# SPDX-License-Identifier: MIT
# The compilers: CC for the device (musl), HOSTCC for the build machine, CLANG for fuzzing.
#
# CROSS_COMPILE is the prefix of any musl toolchain. On Debian only -gcc has the prefix, so the other
# tools' names are asked of the compiler. A CC in the environment means the host's: it is not taken.

CROSS_COMPILE ?=
ifneq ($(origin CC),command line)
CC          := $(if $(CROSS_COMPILE),$(CROSS_COMPILE)gcc,musl-gcc)
endif
HOSTCC      ?= gcc
CLANG       ?= clang
HAVE_CC     := $(shell command -v $(firstword $(CC)))
cc-prog      = $(if $(HAVE_CC),$(shell $(CC) -print-prog-name=$(1)),$(1))
STRIP       ?= $(call cc-prog,strip)
OBJCOPY     ?= $(call cc-prog,objcopy)
SIZE        ?= $(call cc-prog,size)
READELF     ?= $(call cc-prog,readelf)

# The Debian names of the device's and the build machine's architectures.
TRIPLET     := $(if $(HAVE_CC),$(shell $(CC) -dumpmachine))
debian-arch  = $(strip $(if $(filter x86_64-%,$(1)),amd64,\
               $(if $(filter aarch64-%,$(1)),arm64,\
               $(if $(filter arm%hf,$(1)),armhf,\
               $(if $(filter riscv64-%,$(1)),riscv64,unknown)))))
TARGET_ARCH := $(call debian-arch,$(TRIPLET))
HOST_ARCH   := $(shell dpkg --print-architecture)

# What depends on a compiler, or on a compiler and its flags, is made anew when these files change.
define record
	$(file >$@.new,$(1))
	$(Q)cmp -s $@.new $@ && rm $@.new || mv $@.new $@
endef
$(O)/.compiler: FORCE | $(O)/
	$(Q)$(if $(HAVE_CC),:,echo "make: $(CC): not found: as root run .ci/setup build" >&2; exit 69)
	$(Q)$(if $(filter unknown,$(TARGET_ARCH)),echo "make: $(TRIPLET): not among the known targets" >&2; exit 69,:)
	$(call record,$(TRIPLET) $(CC) $(HOSTCC) $(SIZE_FLAGS))
$(O)/.toolchain: $(O)/.compiler FORCE
	$(call record,$(foreach side,target host sanitize fuzz,$(cc_$(side))) $(LDFLAGS))

# Linux uapi headers. A real cross toolchain has them in its sysroot, Debian's musl-dev has not: then
# they are linked from linux-libc-dev, and only they, so that no header of glibc's can slip in.
UAPI        := $(O)/uapi
$(UAPI)/.stamp: $(O)/.compiler
	$(call say,UAPI,$(UAPI))
	$(Q)rm -rf $(UAPI) && mkdir -p $(UAPI)
	$(Q)echo '#include <linux/netfilter/nf_tables.h>' | $(CC) -E -x c - >/dev/null 2>&1 || \
		board/uapi $(TRIPLET) $(UAPI)
	$(Q)touch $@
