#!/bin/sh
# Makes the canary module do what the argument says; passes, if it lives.
echo "TAP version 13"
echo "1..1"
echo "$1" >/sys/module/canary/parameters/act || exit 1
echo "ok 1 $1"
