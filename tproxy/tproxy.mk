# SPDX-License-Identifier: MIT
# sluice-tproxy, for the device.

# tls.h by one library; $(1) none, bearssl, mbedtls
tls-backend = $(wildcard tproxy/tls_$(1).c tproxy/tls_$(1)_*.c)
TLS_BACKENDS := $(foreach b,none bearssl mbedtls,$(call tls-backend,$(b)))
TLS_SHARED := $(filter-out $(TLS_BACKENDS),$(wildcard tproxy/tls_*.c))

# Without a library there is nothing that backends share but what faults are called.
TLS_OFF := $(TLS_BACKENDS) $(if $(filter none,$(TLS)),$(filter-out tproxy/tls_fault.c,$(TLS_SHARED)))
TPROXY_SRC := $(filter-out $(TLS_OFF),$(wildcard tproxy/*.c)) $(call tls-backend,$(TLS)) \
              $(READER_SRC) $(DEVICE_SRC)

$(eval $(call device-program,sluice-tproxy,$(TPROXY_SRC),c-ares llhttp $(TLS_LIB)))
