#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# pagerctl's and pagerd's command lines, with no kernel module: each line of
# the table is an exit status, a word that the output must have, and arguments.
# KTAP.

bin=${EXTPAGER_BIN:-$(dirname "$0")/../../build/bin}
count=0
failed=0

# check STATUS WORD PROGRAM ARGUMENT...
check() {
	local want=$1 word=$2 program=$3 out got
	shift 3
	count=$((count + 1))
	out=$("$bin/$program" "$@" 2>&1 < /dev/null)
	got=$?
	if [[ $* == *--help ]] && grep -E '.{81}' <<< "$out"; then
		echo "# wider than a terminal"
		word='nothing like that'
	fi
	if [ "$got" = "$want" ] && [[ $out == *"$word"* ]]; then
		echo "ok $count $program $*"
	else
		echo "# status $got, not $want; or no '$word' in: ${out//$'\n'/ | }"
		echo "not ok $count $program $*"
		failed=$((failed + 1))
	fi
}

table() {
	cat << 'END'
2|COMMAND|pagerctl
0|Exit status|pagerctl --help
0|Exit status|pagerctl help
0|target del|pagerctl target --help
0|--handshake-timeout|pagerctl target add --help
0|--discard|pagerctl target del --help
0|pagerctl 0|pagerctl --version
0|complete -o default|pagerctl completion bash
2|no command 'zsh'|pagerctl completion zsh
2|one argument too many|pagerctl completion bash x
2|no command 'targets'|pagerctl targets
2|no command 'remove'|pagerctl target remove a
2|what about it|pagerctl target
2|what about it|pagerctl pager
2|no option '-x'|pagerctl -x
2|no option '-x'|pagerctl target list -x
2|no option '--store'|pagerctl target del a --store mem:
2|cannot be changed|pagerctl target set a --size 1M
2|cannot be changed|pagerctl target set a --read-only
2|no option '--conf'|pagerctl target list --conf
2|takes no value|pagerctl target show a --conf=1
2|exclude each other|pagerctl -j target show a --conf
0|--conf|pagerctl target show --help
2|no option '--stor'|pagerctl target add a --stor mem:
2|one argument too many|pagerctl target list a
2|one argument too many|pagerctl target show a b
2|one argument too many|pagerctl stats a b
2|one argument too many|pagerctl monitor a
2|one argument too many|pagerctl latency a b
2|one argument too many|pagerctl pending a b
2|one argument too many|pagerctl top a
2|one argument too many|pagerctl metrics a
2|one argument too many|pagerctl doctor a
2|OpenMetrics is no JSON|pagerctl -j metrics
2|which?|pagerctl latency --svg x.svg
2|exclude each other|pagerctl -j latency a --svg x.svg
2|needs a file|pagerctl latency a --svg=
2|no number from 1 on|pagerctl top -n 0
2|no number from 1 on|pagerctl top --count -1
2|no number from 1 on|pagerctl top --count 1x
2|needs a COUNT|pagerctl top -n
2|given twice|pagerctl top -n 1 --count 2
2|is no time|pagerctl top --interval 2
2|no option '-n'|pagerctl stats -n 1
0|-n, --count COUNT|pagerctl top --help
2|which target|pagerctl target show
2|which target|pagerctl target add --store mem:
2|cannot be a target's name|pagerctl target show .a
2|cannot be a target's name|pagerctl target show a/b
2|cannot be a target's name|pagerctl target show aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
2|needs a store, or a size|pagerctl target add a
2|set what|pagerctl target set a
2|needs a URI|pagerctl target add a --store
2|unknown scheme|pagerctl target add a --store disk:/dev/sda
2|absolute path|pagerctl target add a --store file:x
2|no option 'length'|pagerctl target add a --store mem:?length=1M
2|is no size|pagerctl target add a --store mem: --size 1MB
2|is no size|pagerctl target add a --store mem: --size 0
2|is no size|pagerctl target add a --store mem: --size=
2|is no time|pagerctl target set a --grace 5
2|is no time|pagerctl target set a --sync-timeout=5M
2|not octal|pagerctl target set a --mode 1777
2|not octal|pagerctl target set a --mode 8
2|none of hold|pagerctl target set a --policy keep
2|none of wait|pagerctl target set a --handshake-action spill
2|none of wait|pagerctl target set a --page-in-action=spill
2|none of error|pagerctl target set a --return-action wait
2|0 or unlimited|pagerctl target set a --spill-limit 1MB
2|needs a SIZE|pagerctl target set a --spill-limit
2|there is no user|pagerctl target set a --uid no-such-user
2|there is no group|pagerctl target set a --gid -1
2|given twice|pagerctl target set a --uid 1 --uid 2
2|takes no value|pagerctl target del a --discard=1
2|exclude each other|pagerctl target del a --no-wait --wait 1s
2|only be 'fail'|pagerctl target add a --store mem: --size 1M --policy hold
2|only be 'fail'|pagerctl target add a --store mem: --size 1M --policy spill
1|--size|pagerctl target add a --store mem:
1|--size|pagerctl target add a --store file:/nonexistent/x
0|Usage|pagerd --help
0|pagerd 0|pagerd --version
2|pagerd --help|pagerd --nonsense
2|not 1 to 64|pagerd --queues 0
2|not 1 to 64|pagerd --queues 65
2|not 1 to 64|pagerd --queues 1x
2|is no time|pagerd --shutdown-timeout 10
2|names no target|pagerd --only ,
2|one argument too many|pagerd x
0|pagerd.conf|pagerd --help
2|requires an argument|pagerd --config-root
END
}

echo "KTAP version 1"
echo "1..$(table | wc -l)"
while IFS='|' read -r want word line; do
	# shellcheck disable=SC2086 # words are what is wanted
	check "$want" "$word" $line
done < <(table)
[ "$failed" = 0 ]
