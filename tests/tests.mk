# SPDX-License-Identifier: MIT
# Everything that checks. A suite is a program that prints TAP; tests/run runs and counts them.

FUZZ_SECONDS ?= 60
export SLUICE_OUT := $(abspath $(O))
export UBSAN_OPTIONS ?= print_stacktrace=1

# A test program's source says which others it needs besides: /* LINK: rules/policy.c rules/name.c */
linked-with  = $(shell sed -n 's,.*LINK: *\(.*\) *\*/.*,\1,p' $(1))
# and which libraries of the machine's: /* LIBS: -lgnutls */
libraries-of = $(shell sed -n 's,.*LIBS: *\(.*\) *\*/.*,\1,p' $(1))

UNIT_SRC    := $(wildcard tests/unit/test_*.c)
FUZZ_SRC    := $(wildcard tests/fuzz/fuzz_*.c)
UNIT_TESTS  := $(UNIT_SRC:tests/unit/test_%.c=$(O)/tests/unit/test_%)
REPLAYS     := $(FUZZ_SRC:tests/fuzz/fuzz_%.c=$(O)/tests/replay/%)
FUZZERS     := $(FUZZ_SRC:tests/fuzz/%.c=$(O)/fuzz/%)
DIFF_SRC    := $(wildcard tests/differential/*.c)
DIFF_TESTS  := $(DIFF_SRC:%.c=$(O)/%)
TLS_TESTS   := $(addprefix $(O)/tests/tls/,bearssl mbedtls)
TEST_LIBS   := -L$(DEPS_HOST)/lib -linih -lcares -lllhttp -lnftnl -lmnl -lbearssl -lmbed -lpthread

# $(1) program, $(2) side, $(3) sources, $(4) more flags and libraries
define test-program
$(1): $(call objects,$(2),$(3)) $(DEPS_HOST_LIBS)
	$$(call say,LINK,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CLANG) $(SAN_FLAGS) -o $$@ $(call objects,$(2),$(3)) $(4) $(TEST_LIBS)
endef
$(foreach t,$(UNIT_SRC),$(eval $(call test-program,$(t:%.c=$(O)/%),sanitize,\
	$(t) $(call linked-with,$(t)),-lcmocka)))
$(foreach t,$(FUZZ_SRC),$(eval $(call test-program,$(t:tests/fuzz/fuzz_%.c=$(O)/tests/replay/%),sanitize,\
	$(t) tests/fuzz/replay.c $(call linked-with,$(t)))))
$(foreach t,$(FUZZ_SRC),$(eval $(call test-program,$(t:tests/fuzz/%.c=$(O)/fuzz/%),fuzz,\
	$(t) $(call linked-with,$(t)),-fsanitize=fuzzer)))
$(foreach t,$(DIFF_SRC),$(eval $(call test-program,$(t:%.c=$(O)/%),sanitize,\
	$(t) $(call linked-with,$(t)),$(call libraries-of,$(t)))))
# One driver, linked with each library that tls.h can be by.
$(foreach t,$(TLS_TESTS),$(eval $(call test-program,$(t),sanitize,\
	tests/tls/peer.c $(TLS_SHARED) $(call tls-backend,$(notdir $(t))))))

# The TLS libraries' own tests: of the device's library where it can run here. What mbedTLS tests of a
# part is in the part, which takes the place of the library's.
LIBRARY_SIDE := $(if $(filter $(HOST_ARCH),$(TARGET_ARCH)),target,host)
BEARSSL_SRC := $(O)/deps/src/bearssl-$(LIBRARY_SIDE)
MBED_SRC    := $(O)/deps/src/mbed-$(LIBRARY_SIDE)
LIBRARY_TESTS := $(addprefix $(O)/tests/libraries/,testcrypto selftest) $(BEARSSL_SRC)/build/testx509
library_target = $(CC) $(SIZE_FLAGS) -w -static -Wl,--gc-sections
library_host = $(HOSTCC) -O2 -w -Wl,--gc-sections
MBED_TESTED := aes bignum chacha20 chachapoly ecp gcm poly1305 rsa sha1 sha256 sha512
$(O)/tests/libraries/testcrypto $(BEARSSL_SRC)/build/testx509: $(O)/deps/$(LIBRARY_SIDE)/lib/libbearssl.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(library_$(LIBRARY_SIDE)) -DSRCDIRNAME=.. -I$(BEARSSL_SRC)/src -I$(BEARSSL_SRC)/inc \
		-o $@ $(BEARSSL_SRC)/test/$(patsubst test%,test_%,$(@F)).c $<
$(O)/tests/libraries/selftest: $(O)/deps/$(LIBRARY_SIDE)/lib/libmbed.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(library_$(LIBRARY_SIDE)) -DMBEDTLS_SELF_TEST -I$(MBED_SRC)/include -I$(MBED_SRC)/library \
		-o $@ $(MBED_SRC)/programs/test/selftest.c $(MBED_TESTED:%=$(MBED_SRC)/library/%.c) $<

sanitize: $(SANITIZED)
tests: $(UNIT_TESTS) $(REPLAYS) $(DIFF_TESTS) $(TLS_TESTS) $(LIBRARY_TESTS)

# A suite for each unit test and each fuzz target's seeds; the others are one runner each.
UNIT_SUITES  = $(foreach t,$(UNIT_TESTS),'unit/$(notdir $(t)): CMOCKA_MESSAGE_OUTPUT=TAP $(t)') \
               $(foreach t,$(REPLAYS),'replay/$(notdir $(t)): $(t) tests/fuzz/seeds/$(notdir $(t))')
RUNNERS     := $(patsubst tests/%/run,%,$(wildcard $(patsubst %,tests/%/run,docs build rules init tproxy differential libraries tls e2e \
               resource leak gateways plant)))
run-suites   = tests/run --log $(O)/tests/log
runner       = '$(1): tests/$(1)/run $($(1)-arguments)'
libraries-arguments = $(LIBRARY_TESTS)
e2e-arguments = --sanitize-bin $(O)/sanitize
plant-arguments = --sanitize-bin $(O)/sanitize

# Set-up comes first, and only then can a new make see the compilers that it installed.
remake       = +$(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))
check:
	$(Q).ci/setup all
	$(Q)$(remake) check-all
check-all: all sanitize tests
	$(Q)$(run-suites) $(UNIT_SUITES) $(foreach r,$(RUNNERS),$(call runner,$(r)))
check-unit: tests
	$(Q)$(run-suites) $(UNIT_SUITES)
check-differential: $(DIFF_TESTS)
check-tls: $(TLS_TESTS)
check-libraries: $(LIBRARY_TESTS)
$(addprefix check-,$(RUNNERS)): check-%: all sanitize
	$(Q)$(run-suites) $(call runner,$*)

# The same attacks with larger numbers; the programs with sanitizers get the short ones.
soak:
	$(Q).ci/setup all
	$(Q)$(remake) soak-all
soak-all: all sanitize
	$(Q)$(run-suites) --timeout 7200 'soak: tests/resource/run --soak' \
		'soak-sanitize: tests/resource/run --bin $(O)/sanitize' 'soak-leak: tests/leak/run --soak'

demo:
	$(Q).ci/setup all
	$(Q)$(remake) all
	$(Q)tests/demo --bin $(O)
bench: all
	$(Q)tests/bench/run --bin $(O)
bench-smoke: all
	$(Q)tests/bench/run --bin $(O) --rounds 1

fuzz: $(addprefix fuzz-,$(FUZZ_SRC:tests/fuzz/fuzz_%.c=%))
fuzz-%: $(O)/fuzz/fuzz_%
	$(call say,FUZZ,$* for $(FUZZ_SECONDS) s)
	$(Q)mkdir -p $(O)/fuzz/corpus/$*
	$(Q)$< -max_total_time=$(FUZZ_SECONDS) -timeout=10 -verbosity=0 -print_final_stats=1 \
		-artifact_prefix=$(O)/fuzz/$*- $(O)/fuzz/corpus/$* tests/fuzz/seeds/$*

SHELL_FILES  = $(shell grep -rlE '^\#!.*[/ ](ba)?sh' .ci board tests)
# The libraries' headers; a struct that is passed to be filled in, taken for one that is read.
CPPCHECK_OFF := missingInclude missingIncludeSystem ctuuninitvar '*:$(DEPS_HOST)/*'
lint: $(O)/autoconf.h $(DEPS_HOST_LIBS)
	$(call say,LINT,cppcheck)
	$(Q)cppcheck --quiet --std=c11 --platform=unix64 --enable=warning,performance,portability --inline-suppr \
		--error-exitcode=1 $(CPPCHECK_OFF:%=--suppress=%) -D__x86_64__ -DSLUICE_VERSION='""' $(INIH_FLAGS) \
		--include=$(O)/autoconf.h -I. -I$(DEPS_HOST)/include rules init tproxy
	$(call say,LINT,shellcheck)
	$(Q)shellcheck $(SHELL_FILES)
	$(call say,LINT,mandoc)
	$(Q)mandoc -Tlint -Wwarning $(MAN)

.SECONDARY:
.PHONY: sanitize tests check check-all check-unit $(addprefix check-,$(RUNNERS)) soak soak-all demo bench bench-smoke fuzz lint
