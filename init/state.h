/* SPDX-License-Identifier: MIT */
/*
 * The secret mark in the state directory: drawn once, kept as long as the directory is, handed to
 * the proxy.
 */
#ifndef SLUICE_INIT_STATE_H
#define SLUICE_INIT_STATE_H

#include <stdbool.h>
#include <stdint.h>

/* There is one while rules of the iptables backend may be installed. */
#define STATE_IPTABLES_FILE "iptables"

struct state {
	const char *dir;
	uint32_t uid, gid; /* the proxy's */
	uint32_t secret;
	bool kept;         /* the secret is in the file, and the file is the proxy's */
	int lock;          /* state_lock's */
};

/* Reads the secret, or draws one. 0, or a sysexits code after a message (no randomness to be had).
 */
int state_read(struct state *s);
/*
 * Makes the directory if there is none, and waits until no other run of this program holds it; it
 * is held until state_unlock or the end of the program. The same.
 */
int state_lock(struct state *s);
void state_unlock(struct state *s);
/* Writes the secret. The same. */
int state_write(struct state *s);
/*
 * Notes, in a directory that is made if there is none, or forgets, that rules of the iptables
 * backend may be installed. The same.
 */
int state_note_iptables(const char *dir);
int state_forget_iptables(const char *dir);
bool state_has_iptables(const char *dir);
/* Deletes the files; that there are none is no error. The same. */
int state_remove(const char *dir);

/* A secret: see rules/capture.h. 0, or -1 with errno. */
int state_draw(uint32_t *secret);

#endif
