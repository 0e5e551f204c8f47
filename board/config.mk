# SPDX-License-Identifier: MIT
# The configuration: Kconfig and a board's defconfig -> $(O)/.config -> $(O)/autoconf.h.

KCONFIG     := /usr/bin/python3 -m
export KCONFIG_CONFIG := $(O)/.config
export KCONFIG_WARN_UNDEF_ASSIGN := y

# $(1) one of kconfiglib's tools and its arguments. A value out of range or an option that does not exist
# is a warning to it and lost; here it is an error.
define kconfig
	$(Q)$(KCONFIG) $(1) >$(O)/kconfig.log 2>&1 && ! grep -qi warning $(O)/kconfig.log || \
		{ cat $(O)/kconfig.log >&2; rm -f $@; exit 65; }
endef

# A fresh build directory gets the pod board.
$(O)/.config: | $(O)/
	$(call say,CONFIG,pod)
	$(call kconfig,defconfig --kconfig Kconfig board/pod/defconfig)

$(O)/autoconf.h: $(O)/.config Kconfig
	$(call say,GEN,$@)
	$(call kconfig,genconfig --header-path $@ Kconfig)
	$(Q)touch $@

# Which library TLS is by. Before there is a configuration, what Kconfig will say.
TLS         := $(or $(filter none bearssl mbedtls,$(shell sed -n 's/^CONFIG_TLS_\(.*\)=y$$/\L\1/p' \
               $(O)/.config 2>/dev/null)),bearssl)

%_defconfig: board/%/defconfig | $(O)/
	$(call say,CONFIG,$*)
	$(call kconfig,defconfig --kconfig Kconfig $<)

menuconfig oldconfig olddefconfig: | $(O)/
	$(Q)$(KCONFIG) $@ Kconfig

# The minimal form of the current configuration, as a board's defconfig should be.
savedefconfig: $(O)/.config
	$(call say,GEN,$(O)/defconfig)
	$(call kconfig,savedefconfig --kconfig Kconfig --out $(O)/defconfig)

.PHONY: menuconfig oldconfig olddefconfig savedefconfig
