# SPDX-License-Identifier: MIT
# sluice-tproxy, for the device.

TPROXY_SRC := $(wildcard tproxy/*.c) $(READER_SRC) $(DEVICE_SRC)

$(eval $(call device-program,sluice-tproxy,$(TPROXY_SRC),c-ares llhttp))
