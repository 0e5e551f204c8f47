/* SPDX-License-Identifier: MIT */
/* A rule as lines for iptables-restore and ip6tables-restore. */
#include "init/iptables.h"

#include <netinet/in.h>
#include <string.h>

/* ---- matches ---- */

static const char *protocol_name(uint32_t protocol)
{
	return protocol == IPPROTO_TCP ? "tcp" : "udp";
}

/* A single address, a prefix or a range; side: 's' or 'd'. */
static void put_addresses(const struct iptables_writer *w, char side, const char *text, size_t len)
{
	const char *bits = memchr(text, '/', len) != NULL ? "" : w->v4 ? "/32" : "/128";

	if (memchr(text, '-', len) != NULL)
		fprintf(w->out, " -m iprange --%s-range %.*s", side == 's' ? "src" : "dst",
			(int)len, text);
	else
		fprintf(w->out, " -%c %.*s%s", side, (int)len, text, bits);
}

static void put_ports(const struct iptables_writer *w, uint32_t protocol, char *text)
{
	char *dash = strchr(text, '-');

	if (dash != NULL)
		*dash = ':';
	fprintf(w->out, " -m %s --dport %s", protocol_name(protocol), text);
}

/* "SOURCE . DESTINATION . PORTS" */
static void put_udp(const struct iptables_writer *w, char *text)
{
	char *destination = strchr(text, ' ') + 3, *port = strchr(destination, ' ') + 3;

	fputs(" -p udp", w->out);
	put_addresses(w, 's', text, (size_t)(destination - 3 - text));
	put_addresses(w, 'd', destination, (size_t)(port - 3 - destination));
	put_ports(w, IPPROTO_UDP, port);
}

/* One element of a set stands for the set. */
void iptables_put_element(const struct iptables_writer *w, const struct item *i,
	const struct element *e)
{
	char text[SET_TEXT];

	set_format(w->r->sets[i->value].key, e, text);
	switch (i->kind) {
	case ITEM_IIFNAME_IN: fprintf(w->out, " -i %s", text); break;
	case ITEM_OIFNAME_IN: fprintf(w->out, " -o %s", text); break;
	case ITEM_UID_IN: fprintf(w->out, " -m owner --uid-owner %s", text); break;
	case ITEM_GID_IN: fprintf(w->out, " -m owner --gid-owner %s", text); break;
	case ITEM_ICMPV6_IN:
		fprintf(w->out, " -p ipv6-icmp -m icmp6 --icmpv6-type %s", text);
		break;
	case ITEM_DPORT_IN: put_ports(w, i[-1].value, text); break;
	case ITEM_UDP4_IN: case ITEM_UDP6_IN: put_udp(w, text); break;
	default: put_addresses(w, 'd', text, strlen(text)); break;
	}
}

static void put_match(const struct iptables_writer *w, const struct item *i)
{
	const char *not = i->not ? " !" : "";
	FILE *out = w->out;

	switch (i->kind) {
	case ITEM_IIFNAME: fprintf(out, "%s -i %s", not, i->text); break;
	case ITEM_OIFNAME: fprintf(out, "%s -o %s", not, i->text); break;
	case ITEM_MARK: fprintf(out, " -m mark --mark 0x%x", i->value); break;
	case ITEM_UID: fprintf(out, " -m owner --uid-owner %u", i->value); break;
	case ITEM_OWNED: fprintf(out, " -m owner --uid-owner 0-%u", RULESET_NOBODY - 1); break;
	case ITEM_CT_MARK: fprintf(out, " -m connmark --mark 0x%x", i->value); break;
	case ITEM_CT_NEW: fputs(" -m conntrack --ctstate NEW", out); break;
	case ITEM_CT_UNKNOWN: fputs(" -m conntrack --ctstate INVALID,UNTRACKED", out); break;
	case ITEM_CT_ORIGINAL: fputs(" -m conntrack --ctdir ORIGINAL", out); break;
	case ITEM_CT_REPLY: fputs(" -m conntrack --ctdir REPLY", out); break;
	case ITEM_CT_DNAT: fputs(" -m conntrack --ctstate DNAT", out); break;
	case ITEM_TO_LOCAL: fputs(" -m addrtype --dst-type LOCAL", out); break;
	case ITEM_FROM_LOCAL: fputs(" -m addrtype --src-type LOCAL", out); break;
	case ITEM_SOURCE_ASTRAY: fputs(" -m rpfilter --invert", out); break;
	case ITEM_L4: /* of two that are excluded, the first has a line of its own */
		if (!i->not || i[1].kind != ITEM_L4)
			fprintf(out, "%s -p %s", not, protocol_name(i->value));
		break;
	case ITEM_TCP_SYN: fputs(" -m tcp --tcp-flags FIN,SYN,RST,ACK SYN", out); break;
	case ITEM_DPORT:
		fprintf(out, " -m %s --dport %u", protocol_name(i[-1].value), i->value);
		break;
	case ITEM_SADDR6_NONE: fputs(" -s ::/128", out); break;
	case ITEM_HOPLIMIT: fprintf(out, " -m hl --hl-eq %u", i->value); break;
	case ITEM_LINK_MULTICAST: fputs(" -d ff02::/16", out); break;
	default: break;
	}
}

/* ---- targets ---- */

static void put_return(const struct iptables_writer *w)
{
	if (w->otherwise[0] != '\0')
		fprintf(w->out, " -g %s", w->otherwise);
	else
		fputs(" -j RETURN", w->out);
}

static void put_target(const struct iptables_writer *w, const struct rule *rule,
	const struct item *i)
{
	FILE *out = w->out;

	if (rule == w->outside) { /* and there is the target */
		fprintf(out, " -j %s_OUT", w->name);
		return;
	}
	switch (i->kind) {
	case ITEM_SET_MARK: fprintf(out, " -j MARK --set-xmark 0x%x/0xffffffff", i->value); break;
	case ITEM_SET_CT_MARK:
		fprintf(out, " -j CONNMARK --set-xmark 0x%x/0xffffffff", i->value);
		break;
	case ITEM_TPROXY:
		fprintf(out, " -j TPROXY --on-port %u --on-ip %s --tproxy-mark 0x0/0x0", i->value,
			w->v4 ? "0.0.0.0" : "::");
		break;
	case ITEM_REDIRECT: fprintf(out, " -j REDIRECT --to-ports %u", i->value); break;
	case ITEM_REJECT_RESET: fputs(" -j REJECT --reject-with tcp-reset", out); break;
	case ITEM_REJECT_PORT:
		fprintf(out, " -j REJECT --reject-with %s",
			w->v4 ? "icmp-port-unreachable" : "icmp6-port-unreachable");
		break;
	case ITEM_REJECT_ADMIN:
		fprintf(out, " -j REJECT --reject-with %s",
			w->v4 ? "icmp-admin-prohibited" : "icmp6-adm-prohibited");
		break;
	case ITEM_ACCEPT: fputs(" -j RETURN", out); break;
	case ITEM_RETURN: put_return(w); break;
	case ITEM_JUMP: fprintf(out, " -g %s_COUNT", w->name); break;
	default: fputs(" -j DROP", out); break;
	}
}

/* ---- rules ---- */

/*
 * Counting is a match here, and asked once: what follows in the rule looks for the mark that the
 * flow then has.
 */
static void put_count(const struct iptables_writer *w, const struct item *count,
	const struct item *target)
{
	if (target[-1].kind == ITEM_SET_CT_MARK)
		fprintf(w->out, " -m connmark --mark 0x%x", target[-1].value);
	else
		fprintf(w->out,
			" -m connlimit --connlimit-upto %u --connlimit-mask %d --connlimit-saddr",
			count->value, w->v4 ? 32 : 128);
}

static bool is_count(enum item_kind kind)
{
	return kind == ITEM_COUNT_FLOWS4 || kind == ITEM_COUNT_FLOWS6;
}

static void put_line(const struct iptables_writer *w, const struct rule *rule,
	const struct element *e, const struct item *target)
{
	fprintf(w->out, "-A %s", w->chain);
	for (const struct item *i = rule->item; i < target; i++) {
		if (is_count(i->kind))
			put_count(w, i, target);
		else if (item_is_set(i->kind) && !i->not)
			iptables_put_element(w, i, e);
		else if (i->kind <= ITEM_ARP && !item_is_set(i->kind))
			put_match(w, i);
	}
	fprintf(w->out, " -m comment --comment \"%s\"", rule->comment);
	put_target(w, rule, target);
	fputc('\n', w->out);
}

/* That cannot be true here: of the other family, or an owner of what no process has sent. */
static bool is_void(const struct iptables_writer *w, enum item_kind kind)
{
	switch (kind) {
	case ITEM_DADDR6_IN: case ITEM_SADDR6_NONE: case ITEM_UDP6_IN: case ITEM_ICMPV6_IN:
	case ITEM_COUNT_FLOWS6:
		return w->v4;
	case ITEM_DADDR4_IN: case ITEM_UDP4_IN: case ITEM_COUNT_FLOWS4:
		return !w->v4;
	case ITEM_OWNED: /* which the kernel does not even take */
		return strcmp(w->hook, "OUTPUT") != 0 &&
			strcmp(w->hook, "POSTROUTING") != 0;
	default:
		return false;
	}
}

/* What has to be said before: lines of their own. */
static void put_before(const struct iptables_writer *w, const struct item *i)
{
	/* Two protocols cannot be excluded in one rule; at the end of a chain leaving does it. */
	if (i->kind == ITEM_L4 && i->not && i[1].kind == ITEM_L4) {
		fprintf(w->out, "-A %s -p %s", w->chain, protocol_name(i->value));
		put_return(w);
		fputc('\n', w->out);
	}
	/* DHCP: nftables lets these be by itself. */
	if (i->kind == ITEM_SOURCE_ASTRAY && w->v4)
		fprintf(w->out, "-A %s -s 0.0.0.0/32 -d 255.255.255.255/32 -j RETURN\n"
			"-A %s -s 0.0.0.0/32 -d 224.0.0.0/24 -j RETURN\n", w->chain, w->chain);
}

/* iptables has one target a rule. */
unsigned iptables_put_rule(struct iptables_writer *w, const struct rule *rule)
{
	const struct item *set = NULL, *target;
	struct element e;
	unsigned n = 0;
	uint32_t at = 0;
	bool more = true, negated = false;

	for (target = rule->item; target->kind <= ITEM_COUNT_FLOWS6; target++) {
		if (is_void(w, target->kind))
			return 0;
		if (item_is_set(target->kind) && target->not)
			negated = true;
		else if (item_is_set(target->kind))
			set = target;
		if (!w->declare)
			put_before(w, target);
	}
	if (negated)
		w->outside = rule;
	if (set != NULL)
		more = set_next(w->r, set->value, &at, &e);
	for (; more; n++) {
		for (const struct item *t = target; t->kind != ITEM_END && !w->declare; t++)
			if (t->kind != ITEM_COUNTER &&
				!(t->kind == ITEM_ACCEPT && t[-1].kind == ITEM_TPROXY))
				put_line(w, rule, &e, t);
		more = set != NULL && set_next(w->r, set->value, &at, &e);
	}
	return n;
}

