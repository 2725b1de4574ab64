#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Never ends, and leaves a child that does not either.
echo "TAP version 13"
echo "1..1"
echo "ok 1 looks_fine"
sleep 1000 &
sleep 1000
