#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Plans two tests, reports one, and exits as if that were well.
echo "TAP version 13"
echo "1..2"
echo "ok 1 first"
