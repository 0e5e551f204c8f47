/* SPDX-License-Identifier: MIT */
/* Connections when the process is to end: who is idle ends now, who asks has time, and then not. */
#include "tproxy/conn.h"
#include "tproxy/exchange.h"

void conn_end(struct worker *w, struct conn *c)
{
	if (c->state == CONN_HTTP && c->exchange != NONE) {
		exchange_abort(w, c, FLAG_DT, "drain_timeout");
		return;
	}
	if (c->state == CONN_RELAY || c->state == CONN_DIAL)
		conn_log(w, c, FLAG_DT, NULL, "drain_timeout");
	conn_close(w, c, true);
}

void conn_drain(struct worker *w, struct conn *c)
{
	/*
	 * Nothing was asked yet, or nothing is being asked: nobody loses an answer. But a node that
	 * connects to a gateway asks at once.
	 */
	if ((c->state == CONN_SNIFF && !c->flow[UPWARD].len && !c->at_gateway) ||
	    (c->state == CONN_DNS && !c->questions && !c->flow[UPWARD].len) ||
	    (c->state == CONN_HTTP && c->exchange == NONE))
		conn_close(w, c, false);
}
