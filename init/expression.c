/* SPDX-License-Identifier: MIT */
/*
 * The expressions of libnftnl that are linked: those that bytecode.c makes.
 *
 * Inside libnftnl this function is the only one that names them all, forty in number. Defined here,
 * it takes the library's place in a static link, and what it does not name stays out: 50 KB of 230.
 * A rule of somebody else's with another expression is read as one without expressions, which
 * compare.c finds different.
 */
#include <stddef.h>
#include <string.h>

struct expr_ops;

extern struct expr_ops expr_ops_bitwise, expr_ops_byteorder, expr_ops_cmp, expr_ops_counter,
	expr_ops_connlimit, expr_ops_ct, expr_ops_dynset, expr_ops_fib, expr_ops_immediate,
	expr_ops_lookup, expr_ops_meta, expr_ops_payload, expr_ops_redir, expr_ops_reject,
	expr_ops_tproxy;
struct expr_ops *nftnl_expr_ops_lookup(const char *name);

struct expr_ops *nftnl_expr_ops_lookup(const char *name)
{
	static const struct { const char *name; struct expr_ops *ops; } linked[] = {
		{"bitwise", &expr_ops_bitwise},
		{"byteorder", &expr_ops_byteorder},
		{"cmp", &expr_ops_cmp},
		{"connlimit", &expr_ops_connlimit},
		{"counter", &expr_ops_counter},
		{"ct", &expr_ops_ct},
		{"dynset", &expr_ops_dynset},
		{"fib", &expr_ops_fib},
		{"immediate", &expr_ops_immediate},
		{"lookup", &expr_ops_lookup},
		{"meta", &expr_ops_meta},
		{"payload", &expr_ops_payload},
		{"redir", &expr_ops_redir},
		{"reject", &expr_ops_reject},
		{"tproxy", &expr_ops_tproxy},
	};

	for (size_t i = 0; i < sizeof(linked) / sizeof(linked[0]); i++)
		if (strcmp(name, linked[i].name) == 0)
			return linked[i].ops;
	return NULL;
}
