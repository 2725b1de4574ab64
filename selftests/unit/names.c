// SPDX-License-Identifier: LGPL-2.1-or-later
/* Names of states, policies, events and counters: all of them, and unknown ones. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#include <extpager.h>
#include <linux/extpager.h>
#include <linux/extpager_netlink.h>

#include "../../lib/names.h"

static void every_number_has_a_name_of_its_own(const char *(*name)(unsigned int),
					       unsigned int last)
{
	for (unsigned int i = 1; i <= last; i++) {
		assert_string_not_equal(name(i), "unknown");
		for (unsigned int j = 1; j < i; j++)
			assert_string_not_equal(name(i), name(j));
	}
	assert_string_equal(name(0), "unknown");
	assert_string_equal(name(last + 1), "unknown");
	assert_string_equal(name(~0U), "unknown");
}

static void states(void **state)
{
	(void)state;
	every_number_has_a_name_of_its_own(extpager_state_name, EXTPAGER_STATE_DEAD);
	assert_string_equal(extpager_state_name(EXTPAGER_STATE_ORPHANED), "orphaned");
}

static void policies(void **state)
{
	(void)state;
	every_number_has_a_name_of_its_own(extpager_policy_name, EXTPAGER_POLICY_SPILL);
	assert_string_equal(extpager_policy_name(EXTPAGER_HOLD), "hold");
}

static void actions(void **state)
{
	(void)state;
	every_number_has_a_name_of_its_own(extpager_action_name, EXTPAGER_ACTION_SPILL);
	assert_string_equal(extpager_action_name(EXTPAGER_ACT_ERROR), "error");
}

static void events(void **state)
{
	(void)state;
	every_number_has_a_name_of_its_own(extpager_event_name, EXTPAGER_EVENT_SLOW);
	assert_string_equal(extpager_event_name(EXTPAGER_EVENT_ADDED), "added");
}

static void counters(void **state)
{
	(void)state;
	for (unsigned int i = EXTPAGER_A_STATS_PAD + 1; i < EXTPAGER_A_STATS_LATENCY; i++) {
		assert_non_null(xp_counter_name(i));
		for (unsigned int j = EXTPAGER_A_STATS_PAD + 1; j < i; j++)
			assert_string_not_equal(xp_counter_name(i), xp_counter_name(j));
	}
	assert_null(xp_counter_name(EXTPAGER_A_STATS_NAME));
	assert_null(xp_counter_name(EXTPAGER_A_STATS_PAD));
	assert_null(xp_counter_name(EXTPAGER_A_STATS_LATENCY));
	assert_null(xp_counter_name(EXTPAGER_A_STATS_MAX + 1));
}

static void requests_phases_and_places(void **state)
{
	(void)state;
	every_number_has_a_name_of_its_own(xp_request_name, EXTPAGER_EV_SYNC);
	assert_string_equal(xp_request_name(EXTPAGER_EV_DATA_RETURN), "return");
	every_number_has_a_name_of_its_own(xp_phase_name, EXTPAGER_LATENCY_WAKING);
	assert_string_equal(xp_phase_name(EXTPAGER_LATENCY_PAGER), "pager");
	every_number_has_a_name_of_its_own(xp_place_name, EXTPAGER_PENDING_PARKED);
	assert_string_equal(xp_place_name(EXTPAGER_PENDING_PARKED), "parked");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states),
		cmocka_unit_test(policies),
		cmocka_unit_test(actions),
		cmocka_unit_test(events),
		cmocka_unit_test(counters),
		cmocka_unit_test(requests_phases_and_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
