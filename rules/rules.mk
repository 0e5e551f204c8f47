# SPDX-License-Identifier: MIT
# sluice-rules, for the build host. The reader is what the device programs link too.

READER_SRC   := $(patsubst %,rules/%.c,addr addr_class capture capture_order crc32c gateway http_rule lookup name notify \
                policy route route_gateway traffic verify verify_gateway verify_record verify_rule \
                verify_table verify_traffic word)
# In the place of the C library's, in the device programs.
DEVICE_SRC   := rules/libc.c rules/output.c rules/printf.c
COMPILER_SRC := $(filter-out $(READER_SRC) $(DEVICE_SRC),$(wildcard rules/*.c))
RULES_SRC    := $(READER_SRC) $(COMPILER_SRC)

$(eval $(call host-program,sluice-rules,$(RULES_SRC),inih bearssl))
