#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# bash completes every command and option that pagerctl's help names, and no
# other. KTAP.

bin=${EXTPAGER_BIN:-$(dirname "$0")/../../build/bin}
PATH=$(cd "$bin" && pwd):$PATH
count=0
failed=0

# verdict NAME WANTED GOT
verdict() {
	count=$((count + 1))
	if [ "$2" = "$3" ] && [ -n "$2" ]; then
		echo "ok $count $1"
	else
		diff <(echo "$2") <(echo "$3") | sed 's/^/# /'
		echo "not ok $count $1"
		failed=$((failed + 1))
	fi
}

# What is offered for the last of these words, a line each, sorted. As bash
# does, "=" is a word of its own.
offered() {
	COMP_WORDS=(pagerctl "$@")
	COMP_CWORD=$#
	COMPREPLY=()
	_pagerctl
	printf '%s\n' "${COMPREPLY[@]}" | sort
}

# The commands of the help, each a line of its words. The list of stores is below.
commands() {
	pagerctl --help | sed -n '/^Stores/q; s/^  \([a-z]\+\( [a-z]\+\)\?\) .*/\1/p'
}

options_of() {
	pagerctl "$@" --help | grep -o -- '--[a-z][a-z-]*[a-z]' | cat - <(printf '%s\n' --help --version) |
		sort -u
}

# The script that is tested; without it, all of what follows fails.
script=$(pagerctl completion bash)
eval "$script"

echo "KTAP version 1"
verdict "shellcheck has no complaints" none \
	"$(shellcheck -s bash - <<< "$script" 2>&1 | grep . || echo none)"
mapfile -t all < <(commands)
verdict nouns "$(printf '%s\n' "${all[@]%% *}" | sort -u)" "$(offered '')"
for noun in $(printf '%s\n' "${all[@]}" | sed -n 's/ .*//p' | sort -u); do
	verdict "verbs of $noun" "$(printf '%s\n' "${all[@]}" | sed -n "s/^$noun //p" | sort)" \
		"$(offered "$noun" '')"
done
for command in "${all[@]}"; do
	read -ra words <<< "$command"
	verdict "options of $command" "$(options_of "${words[@]}")" "$(offered "${words[@]}" --)"
done

verdict "a part of a word" "--page-in-action
--page-in-timeout
--pager-uid
--policy" "$(offered target add x --p)"
verdict "a value" "fail
hold
spill" "$(offered target add x --policy '')"
verdict "a value behind =" hold "$(offered target add x --policy = ho)"
verdict "nothing behind = yet" "fail
hold
spill" "$(offered target add x --policy =)"
verdict "a value that is a word or not" unlimited "$(offered target set x --spill-limit '')"
verdict users "$(compgen -u root | sort)" "$(offered target set x --uid root)"
verdict groups "$(compgen -g root | sort)" "$(offered target set x --gid root)"
verdict stores "mem:" "$(offered target add x --store m)"

# Targets: those that the module has; here a pagerctl that has two.
pagerctl() { printf 'NAME STATE\none live\ntwo new\n'; }
verdict "names of targets" "one
two" "$(offered target show '')"
verdict "a name after a value" two "$(offered target set --grace 5m t)"
verdict "a name for latency" two "$(offered latency --svg x.svg t)"
verdict "a name for stats" one "$(offered -j stats o)"
verdict "one name only" none "$(offered target del one '' | grep . || echo none)"
verdict "no name for a new target" none "$(offered target add '' | grep . || echo none)"
echo "1..$count"
[ "$failed" = 0 ]
