#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A symbol of a debug kernel's configuration that olddefconfig has dropped or
# changed is an error that names it: scripts/kernels check-config on doctored
# configurations. KTAP.

top=$(cd "$(dirname "$0")/../.." && pwd)
wanted=$top/selftests/vm/debug.config
config=$(mktemp)
trap 'rm -f "$config"' EXIT
kernel=debug
count=0
failed=0

# check NAME STATUS TEXT SED...: the configuration, doctored by sed, gives this.
check() {
	local name=$1 status=$2 text=$3 out got
	shift 3
	count=$((count + 1))
	{
		grep -E '^(CONFIG_|# CONFIG_)' "$wanted"
		echo 'CONFIG_OF_NO_INTEREST=y'
	} | sed "$@" >"$config"
	out=$("$top/scripts/kernels" check-config "$config" $kernel 2>&1)
	got=$?
	if [ $got = "$status" ] && [[ $out == *"$text" ]] && { [ "$text" ] || [ -z "$out" ]; }; then
		echo "ok $count $name"
	else
		echo "# status $got, not $status, and: ${out//$'\n'/ | }"
		echo "not ok $count $name"
		failed=$((failed + 1))
	fi
}

symbol=$(grep -m1 -oE '^CONFIG_KASAN=y' "$wanted" | cut -d= -f1)
off=$(grep -m1 -oE '^# CONFIG_\w+ is not set' "$wanted" | cut -d' ' -f2)

echo 'KTAP version 1'
echo '1..8'
check all_symbols_are_there 0 '' -e ''
check a_symbol_is_gone 1 "dropped: $symbol=y" -e "/^$symbol=/d"
check a_symbol_is_not_set 1 "dropped: $symbol=y" -e "s/^$symbol=.*/# $symbol is not set/"
check a_symbol_has_another_value 1 "dropped: $symbol=y" -e "s/^$symbol=y/$symbol=m/"
check a_symbol_is_set_that_must_not_be 1 "dropped: #_${off}_is_not_set" -e "s/^# $off is not set/$off=y/"
check an_unset_symbol_may_be_invisible 0 '' -e "/^# $off is not set/d"

# kcsan's fragment comes after the debug kernel's; this is what both make.
kernel=kcsan
replaced=$(grep -oE 'CONFIG_\w+' "$top/selftests/vm/kcsan.config" | sort -u)
both=$(mktemp)
grep -vwF "$replaced" "$wanted" | cat - "$top/selftests/vm/kcsan.config" >"$both"
wanted=$both
check a_later_fragment_replaces_lines 0 '' -e ''
check a_line_that_it_does_not_replace_stays 1 'dropped: CONFIG_SMP=y' -e '/^CONFIG_SMP=/d'
rm "$both"
[ $failed = 0 ]
