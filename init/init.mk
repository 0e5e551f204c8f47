# SPDX-License-Identifier: MIT
# sluice-init, for the device.

INIT_SRC := $(wildcard init/*.c) $(READER_SRC) $(DEVICE_SRC)

$(eval $(call device-program,sluice-init,$(INIT_SRC),libnftnl libmnl))
