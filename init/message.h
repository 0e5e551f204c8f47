/* SPDX-License-Identifier: MIT */
/* Messages to people, on standard error. */
#ifndef SLUICE_INIT_MESSAGE_H
#define SLUICE_INIT_MESSAGE_H

#define MESSAGE_PROGRAM "sluice-init"

/*
 * Prints "sluice-init: " and the message. Returns code, so that `return message(EX_OSERR, ...)`
 * says and fails.
 */
int message(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/*
 * Says so and ends the program with EX_OSERR: it changes nothing before all it wants to say is
 * ready.
 */
void message_out_of_memory(void) __attribute__((noreturn));

#endif
