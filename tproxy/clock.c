/* SPDX-License-Identifier: MIT */
/* Times. */
#include "tproxy/clock.h"

#include <time.h>

#define DAY 86400
#define SECOND_MIN (-62167219200) /* 0000-01-01 */
#define SECOND_MAX 253402300799   /* 9999-12-31 */

static int64_t now_ms(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_monotonic_ms(void)
{
	return now_ms(CLOCK_MONOTONIC);
}

int64_t clock_real_ms(void)
{
	return now_ms(CLOCK_REALTIME);
}

static void two(char *out, uint32_t v)
{
	out[0] = (char)('0' + v / 10);
	out[1] = (char)('0' + v % 10);
}

/*
 * Days are counted from 1 March of the year 0, so that the leap day is the last of its year: then
 * months have the lengths of (153 m + 2) / 5.
 */
void clock_date(int64_t second, char out[static CLOCK_DATE_LEN])
{
	if (second < SECOND_MIN)
		second = SECOND_MIN;
	if (second > SECOND_MAX)
		second = SECOND_MAX;
	/* 400 years more than needed keeps the first days of the year 0 positive. */
	uint32_t day = (uint32_t)((second - SECOND_MIN) / DAY) - 60 + 146097;
	uint32_t rest = (uint32_t)((second - SECOND_MIN) % DAY);
	uint32_t era = day / 146097, in_era = day % 146097;
	uint32_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	uint32_t in_year = in_era - (365 * year + year / 4 - year / 100);
	uint32_t month = (5 * in_year + 2) / 153;

	year += 400 * era - 400 + (month >= 10);
	two(out, year / 100);
	two(out + 2, year % 100);
	two(out + 5, month < 10 ? month + 3 : month - 9);
	two(out + 8, in_year - (153 * month + 2) / 5 + 1);
	two(out + 11, rest / 3600);
	two(out + 14, rest / 60 % 60);
	two(out + 17, rest % 60);
	out[4] = out[7] = '-';
	out[10] = 'T';
	out[13] = out[16] = ':';
	out[19] = '.';
}

void clock_text(int64_t ms, char out[static CLOCK_TEXT_LEN])
{
	int64_t second = ms / 1000 - (ms % 1000 < 0);
	uint32_t milli = (uint32_t)(ms - second * 1000);

	clock_date(second, out);
	out[20] = (char)('0' + milli / 100);
	two(out + 21, milli % 100);
	out[23] = 'Z';
}
