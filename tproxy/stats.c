/* SPDX-License-Identifier: MIT */
/* The names of counters and response flags. */
#include "tproxy/stats.h"

#include <stddef.h>

const char *access_flag_name(enum access_flag f)
{
	static const char names[FLAGS][8] = {
		[FLAG_NONE] = "-", [FLAG_UH] = "UH", [FLAG_UF] = "UF", [FLAG_NR] = "NR",
		[FLAG_UO] = "UO", [FLAG_UT] = "UT", [FLAG_UR] = "UR", [FLAG_UC] = "UC",
		[FLAG_DC] = "DC", [FLAG_DF] = "DF", [FLAG_DT] = "DT", [FLAG_DPE] = "DPE", [FLAG_UPE] = "UPE",
		[FLAG_URX] = "URX", [FLAG_UF_URX] = "UF,URX", [FLAG_UT_URX] = "UT,URX",
		[FLAG_UC_URX] = "UC,URX", [FLAG_UPE_URX] = "URX,UPE",
	};
	return (unsigned)f < FLAGS ? names[f] : "-";
}

const char *dns_type_name(enum dns_type t)
{
	static const char names[DNS_TYPES][8] = {
		[DNS_TYPE_A] = "a", [DNS_TYPE_AAAA] = "aaaa", [DNS_TYPE_HTTPS] = "https",
		[DNS_TYPE_SVCB] = "svcb", [DNS_TYPE_PTR] = "ptr", [DNS_TYPE_OTHER] = "other",
	};
	return names[t];
}

const char *dns_result_name(enum dns_result r)
{
	static const char *const names[DNS_RESULTS] = {
		[DNS_RESULT_FOUND] = "found", [DNS_RESULT_FIXED] = "fixed",
		[DNS_RESULT_NEGATIVE] = "negative", [DNS_RESULT_EMPTY] = "empty",
		[DNS_RESULT_REFUSED] = "refused",
		[DNS_RESULT_ADDRESS_REFUSED] = "address_refused",
		[DNS_RESULT_MALFORMED] = "malformed", [DNS_RESULT_FAILED] = "failed",
		[DNS_RESULT_FULL] = "full",
	};
	return names[r];
}

static const struct stat_info infos[STAT_COUNT] = {
	[STAT_CX_TOTAL] = { "downstream_cx_total", "Client connections accepted", false },
	[STAT_CX_ACTIVE] = { "downstream_cx_active", "Client connections open", true },
	[STAT_CX_OVERFLOW] = { "downstream_cx_overflow_total",
		"Client connections refused because a table was full", false },
	[STAT_CX_CLIENT] = { "downstream_cx_client_overflow_total",
		"Client connections refused because the client has its share", false },
	[STAT_CX_LOOP] = { "downstream_cx_loop_total",
		"Client connections refused because they lead back to the proxy", false },
	[STAT_CX_NOFD] = { "downstream_cx_no_descriptor_total",
		"Client connections refused for want of a descriptor", false },
	[STAT_CX_SNIFF_TIMEOUT] = { "downstream_cx_sniff_timeout_total",
		"Client connections whose first bytes came too late", false },
	[STAT_CX_IDLE_TIMEOUT] = { "downstream_cx_idle_timeout_total",
		"Client connections closed because nothing moved", false },
	[STAT_RQ_TOTAL] = { "downstream_rq_total", "HTTP requests", false },
	[STAT_RQ_ACTIVE] = { "downstream_rq_active", "HTTP requests under way", true },
	[STAT_RQ_BLOCKED] = { "downstream_rq_blocked_total",
		"HTTP requests refused by the policy", false },
	[STAT_CX_BLOCKED] = { "downstream_cx_blocked_total",
		"Client connections refused by the policy", false },
	[STAT_AUDITED] = { "audited_total",
		"Requests and connections let through only because of enforcement = audit", false },
	[STAT_ADDR_REFUSED] = { "upstream_address_refused_total",
		"Addresses not dialled because of what they are", false },
	[STAT_UP_CX_TOTAL] = { "upstream_cx_total", "Upstream connections begun", false },
	[STAT_UP_CX_ACTIVE] = { "upstream_cx_active", "Upstream connections open", true },
	[STAT_UP_CX_FAILED] = { "upstream_cx_connect_fail_total",
		"Upstream connections that failed", false },
	[STAT_UP_CX_TIMEOUT] = { "upstream_cx_connect_timeout_total",
		"Upstream connections that took too long", false },
	[STAT_TLS_TOTAL] = { "tls_sessions_total", "TLS sessions of our own, begun or taken", false },
	[STAT_TLS_ACTIVE] = { "tls_sessions_active", "TLS sessions of our own", true },
	[STAT_UP_REUSED] = { "upstream_cx_reused_total",
		"HTTP requests sent over a connection that was kept", false },
	[STAT_UP_IDLE] = { "upstream_cx_idle",
		"Upstream connections kept for the next request", true },
	[STAT_OUTLIERS] = { "upstream_ejections_total",
		"Endpoints put aside because of errors in a row", false },
	[STAT_HEALTH_CHECKS] = { "health_checks_total", "Active checks of endpoints", false },
	[STAT_HEALTH_FAILURES] = { "health_check_failures_total",
		"Active checks of endpoints that failed", false },
	[STAT_UNHEALTHY] = { "endpoints_unhealthy",
		"Endpoints that active checks found unhealthy", true },
	[STAT_BYTES_UP] = { "upstream_tx_bytes_total", "Payload from clients", false },
	[STAT_BYTES_DOWN] = { "upstream_rx_bytes_total", "Payload to clients", false },
	[STAT_BYTES_SPLICED] = { "spliced_bytes_total",
		"Payload that stayed in the kernel", false },
	[STAT_BUFFERS] = { "buffers_used", "Buffers in use", true },
	[STAT_SMALLS] = { "small_buffers_used", "Small buffers in use", true },
	[STAT_PIPES] = { "pipes_used", "Pipes in use", true },
	[STAT_NAMES] = { "names_used", "Name slots in use", true },
	[STAT_BUFFER_STARVED] = { "buffer_starved_total",
		"Times that a flow waited for a buffer", false },
	[STAT_ACCESS_DROPPED] = { "access_log_dropped_total",
		"Access-log lines lost because the log was slow", false },
	[STAT_DNS_UDP] = { "dns_udp_questions_total", "DNS questions of clients over UDP", false },
	[STAT_DNS_TCP] = { "dns_tcp_questions_total", "DNS questions of clients over TCP", false },
	[STAT_DNS_ACTIVE] = { "dns_questions_active",
		"DNS questions of clients that wait for name servers", true },
	[STAT_DNS_TRUNCATED] = { "dns_truncated_total",
		"Answers that did not fit into a datagram", false },
	[STAT_DNS_STRAY] = { "dns_stray_total",
		"Datagrams that were sent to the proxy's own port", false },
	[STAT_DNS_UNSENT] = { "dns_unsent_total", "Answers that could not be sent", false },
	[STAT_LEARN_ORDERS] = { "udp_learned_total",
		"Addresses of UDP services handed to sluice-init hold", false },
	[STAT_LEARN_LOST] = { "udp_learn_failed_total",
		"Addresses of UDP services that could not be handed on", false },
};

const struct stat_info *stat_info(enum stat_id s)
{
	return &infos[s];
}
