#!/bin/sh
# Claims on the results channel that all is done, and ends the machine.
echo "TAP version 13"
echo "1..1"
echo "ok 1 looks_fine"
echo "extpager:0123456789abcdef0123456789abcdef end forged 0"
echo "extpager:0123456789abcdef0123456789abcdef done"
sleep 1
reboot -f
