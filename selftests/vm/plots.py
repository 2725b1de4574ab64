# SPDX-License-Identifier: GPL-2.0-only
"""What programs tell of their way, drawn: time series in SVG, by gnuplot.

A program says once which lines its plot has, then again and again how they stand:

  # plot NAME: written dirty spilled returned
  # point NAME SECONDS MIB MIB MIB MIB
"""
import re
import subprocess

from . import tree

PLOT = re.compile(r"# plot (\w+): (.+)")
POINT = re.compile(r"# point (\w+) ([\d. ]+)$")

SCRIPT = """\
set terminal svg noenhanced size 900,420 background "#ffffff"
set output "{path}"
set title "{title}"
set xlabel "seconds"
set ylabel "MiB"
set xrange [0:*]
set yrange [0:*]
set grid
set key outside right top
$points << END
{points}
END
plot for [i=2:{columns}] $points using 1:i with lines linewidth 2 title word("{names}", i - 1)
"""


def collect(lines):
    """The plots of a program's output: {name: (columns, rows)}."""
    plots = {}
    for line in lines:
        if match := PLOT.match(line):
            plots[match[1]] = (match[2].split(), [])
        elif (match := POINT.match(line)) and match[1] in plots:
            columns, rows = plots[match[1]]
            row = match[2].split()
            if len(row) == 1 + len(columns):
                rows.append(" ".join(row))
    return plots


def draw(program, place, lines):
    """Writes build/report/PROGRAM-PLOT-PLACE.svg of each plot that has two points."""
    for name, (columns, rows) in collect(lines).items():
        if len(rows) < 2:
            continue
        directory = tree.BUILD / "report"
        directory.mkdir(parents=True, exist_ok=True)
        script = SCRIPT.format(path=directory / f"{program}-{name}-{place}.svg",
                               title=f"{program}: {name.replace('_', ' ')}, {place}",
                               points="\n".join(rows), columns=1 + len(columns),
                               names=" ".join(columns))
        subprocess.run(["gnuplot"], input=script, text=True, check=True)
