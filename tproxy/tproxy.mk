# SPDX-License-Identifier: MIT
# sluice-tproxy, for the device.

# tls.h by one library; $(1) none, bearssl, mbedtls
tls-backend = $(wildcard tproxy/tls_$(1).c tproxy/tls_$(1)_*.c)
TLS_BACKENDS := $(foreach b,none bearssl mbedtls,$(call tls-backend,$(b)))
TLS_SHARED := $(filter-out $(TLS_BACKENDS),$(wildcard tproxy/tls_*.c))

TPROXY_SRC := $(filter-out $(TLS_BACKENDS),$(wildcard tproxy/*.c)) $(call tls-backend,$(TLS)) \
              $(READER_SRC) $(DEVICE_SRC)

$(eval $(call device-program,sluice-tproxy,$(TPROXY_SRC),c-ares llhttp $(TLS_LIB)))
