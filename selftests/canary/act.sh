#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Makes the canary module do what the argument says; passes, if it lives.
echo "TAP version 13"
echo "1..1"
# Two seconds are as good as the minute that init gives.
[ "$1" != hang ] || echo 2 >/proc/sys/kernel/hung_task_timeout_secs
echo "$1" >/sys/module/canary/parameters/act || exit 1
echo "ok 1 $1"
