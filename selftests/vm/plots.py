# SPDX-License-Identifier: GPL-2.0-only
"""What programs tell of their way, drawn: time series and histograms in SVG, by gnuplot.

A program says once which lines its plot has, then again and again how they stand:

  # plot NAME: written dirty spilled returned
  # point NAME SECONDS MIB MIB MIB MIB

Or what it has measured, in milliseconds, as often as it has done so:

  # histogram NAME: pause start
  # sample NAME MS MS
"""
import json
import re
import subprocess
from collections import Counter

from . import tree

PLOT = re.compile(r"# (plot|histogram) (\w+): (.+)")
POINT = re.compile(r"# (?:point|sample) (\w+) ([-\d. ]+)$")

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

HISTOGRAM = """\
set terminal svg noenhanced size 900,420 background "#ffffff"
set output "{path}"
set title "{title}"
set xlabel "milliseconds, in steps of {step}"
set ylabel "times"
set yrange [0:*]
set grid ytics
set key outside right top
set style fill solid 1 noborder
set boxwidth {width}
$bins << END
{bins}
END
plot for [i=0:{columns}-1] $bins index i using 1:2 with boxes title word("{names}", i + 1)
"""
BINS = 40


def collect(lines):
    """The plots of a program's output: {name: (kind, columns, rows)}."""
    plots = {}
    for line in lines:
        if match := PLOT.match(line):
            plots[match[2]] = (match[1], match[3].split(), [])
        elif (match := POINT.match(line)) and match[1] in plots:
            kind, columns, rows = plots[match[1]]
            row = match[2].split()
            if len(row) == len(columns) + (kind == "plot"):
                rows.append(row)
    return plots


def step_for(values):
    """Of 1, 2, 5, 10 and so on the least that makes no more than BINS bins."""
    power = 1
    while True:
        for step in (power, 2 * power, 5 * power):
            if max(values) - min(values) < (BINS - 1) * step:
                return step
        power *= 10


def bins_of(samples, step, width):
    """Blocks of gnuplot's data, one for each column; boxes of one bin stand side by side."""
    for i, column in enumerate(samples):
        counts = Counter(value // step for value in column)
        yield "\n".join(f"{number * step + (i + 0.5) * width} {count}"
                        for number, count in sorted(counts.items()))


def histogram(name, place, title, columns, rows):
    """Writes build/report/NAME.json, and returns the script of the drawing."""
    samples = [[float(value) for value in column] for column in zip(*rows)]
    path = tree.BUILD / "report" / f"{name}.json"
    path.write_text(json.dumps({"kernel": place, "unit": "ms", **dict(zip(columns, samples))},
                               indent=1) + "\n")
    step = step_for(sum(samples, []))
    width = 0.9 * step / len(columns)
    return HISTOGRAM.format(path=path.with_suffix(".svg"), title=title, step=step, width=width,
                            bins="\n\n\n".join(bins_of(samples, step, width)),
                            columns=len(columns), names=" ".join(columns))


def time_series(path, title, columns, rows):
    return SCRIPT.format(path=path, title=title, points="\n".join(map(" ".join, rows)),
                         columns=1 + len(columns), names=" ".join(columns))


def draw(program, place, lines):
    """Writes build/report/PROGRAM-PLOT-PLACE.svg of each plot that has two points, and
    build/report/NAME.svg of histograms, which are of one place."""
    for name, (kind, columns, rows) in collect(lines).items():
        if len(rows) < 2:
            continue
        directory = tree.BUILD / "report"
        directory.mkdir(parents=True, exist_ok=True)
        title = f"{program}: {name.replace('_', ' ')}, {place}"
        if kind == "histogram":
            script = histogram(name, place, title, columns, rows)
        else:
            script = time_series(directory / f"{program}-{name}-{place}.svg", title, columns, rows)
        subprocess.run(["gnuplot"], input=script, text=True, check=True)
