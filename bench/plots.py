# SPDX-License-Identifier: GPL-2.0-only
"""A plot in SVG for each case: bars by kernel and system, and the goals; for outstanding,
curves. By gnuplot."""
import subprocess

from plan import CASES

COLOURS = {"mmap": "#8c8c8c", "userfaultfd": "#9ecae1", "userfaultfd-process": "#c6dbef",
           "userfaultfd-batched": "#6baed6",
           "userfaultfd-sigbus": "#3182bd", "userfaultfd-minor": "#08519c",
           "fuse": "#fdae6b", "fuse-uring": "#fd8d3c", "ublk": "#e6550d",
           "extpager-copy": "#31a354", "extpager-file": "#006d2c", "extpager-delegate": "#00441b",
           "extpager-watched": "#74c476", "pagerd-copy": "#a1d99b", "pagerd-file": "#41ab5d",
           "extpager-slow": "#de2d26", "extpager-shifted": "#de2d26"}
ROW, MARGIN, WIDTH = 24, 108, 900        # pixels
CURVES_HEIGHT = 420

HEAD = """\
set terminal svg size {width},{height} font "sans,13" background "white"
set output "{path}"
set label "{case}: {what}" at screen 0.02,screen {top} font ",16"
set tmargin 3
set xlabel "instructions per page"
set lmargin 46
set rmargin 4
unset key
set border 3
set xrange [0:{most}]
set yrange [{last}:-0.6]
set format x "%.0f"
set grid xtics lt 1 lc rgb "#e0e0e0"
set tics nomirror scale 0
set style fill solid 1 noborder
"""


CURVES = """\
set terminal svg size {width},{height} font "sans,13" background "white"
set output "{path}"
set title "{case}: {what}" font ",16"
set xlabel "others that wait"
set ylabel "instructions, the median touch"
set logscale y
set key outside right
set xtics ({xtics})
set xrange [-0.2:{last}]
set grid ytics lt 1 lc rgb "#e0e0e0"
set format y "%.0f"
"""


def rows_of(comparisons, case):
    """(kind, text, value, colour, rows up to what it bounds), from top to bottom."""
    for comparison in comparisons:
        results = [r for r in comparison.results if r["case"] == case]
        if not results:
            continue
        yield "kernel", f"Linux {results[0]['kernel'].split('+')[0]}", 0, "", 0
        for result in results:
            void = " (void)" if result["void"] else ""
            yield ("bar", result["system"] + void, result["instructions_per_page"],
                   COLOURS[result["system"]], 0)
        names = [result["system"] for result in results]
        for i, (goal, limit, allowed, _) in enumerate(comparison.goals(case)):
            yield ("goal", f"goal: {goal.number(limit)} {goal.unit}", allowed, "#a50f15",
                   len(names) - names.index(goal.system) + i)
        yield "gap", "", 0, "", 0


def script(comparisons, case, what, path):
    rows = list(rows_of(comparisons, case))[:-1]
    most = 1.05 * max(value for _, _, value, _, _ in rows)
    height = MARGIN + ROW * len(rows)
    lines = [HEAD.format(width=WIDTH, height=height, path=path, case=case, what=what, most=most,
                         last=len(rows) - 0.4, top=1 - 20 / height)]
    tics, data = [], []
    for y, (kind, text, value, colour, above) in enumerate(rows):
        if kind == "kernel":
            text = f"{{/:Bold {text}}}"
        elif kind != "gap":
            text += f"  {{/:Bold {value:,.0f}}}"
        tics.append(f'"{text}" {y}')
        if kind == "goal":
            lines.append(f'set arrow from {value},{y + 0.4} to {value},{y - above - 0.5} nohead '
                         f'lw 2 lc rgb "{colour}" front')
        if kind == "bar":
            data.append(f"0 {y} 0 {value} {y - 0.38} {y + 0.38} {int(colour[1:], 16)}")
    lines.append(f"set ytics ({', '.join(tics)})")
    lines += ["$bars << END", *data, "END",
              "plot $bars using 1:2:3:4:5:6:7 with boxxyerror lc rgb variable", ""]
    return "\n".join(lines)


def curves(comparisons, case, what, path):
    """A touch's cost by how many others wait, for each system and kernel."""
    lines = {(c.kernel, system): touch for c in comparisons
             for system, touch in c.outstanding.items()}
    numbers = sorted({others for touch in lines.values() for others in touch})
    xtics = ", ".join(f'"{others:,}" {x}' for x, others in enumerate(numbers))
    text = [CURVES.format(width=WIDTH, height=CURVES_HEIGHT, path=path, case=case, what=what,
                          xtics=xtics, last=len(numbers) - 0.8)]
    plotted = []
    for i, ((kernel, system), touch) in enumerate(lines.items()):
        text += [f"$line{i} << END",
                 *(f"{x} {touch[others]}" for x, others in enumerate(numbers) if others in touch),
                 "END"]
        dash = 1 if kernel == comparisons[0].kernel else 2
        plotted.append(f'$line{i} with linespoints lw 2 pt 7 dt {dash} '
                       f'lc rgb "{COLOURS[system]}" title "{system}, {kernel}"')
    return "\n".join([*text, f"plot {', '.join(plotted)}", ""])


def ratios(clock, path):
    """Pages per second to mmap's: the median, and from the lowest to the highest."""
    rows = list(clock.ratios())
    lines = [HEAD.format(width=WIDTH, height=MARGIN + ROW * len(rows), path=path,
                         case="by the clock", what="four threads at random, NVMe disk, two CPUs",
                         most=1.05 * max(high for _, (_, _, high) in rows), last=len(rows) - 0.4,
                         top=1 - 20 / (MARGIN + ROW * len(rows))),
             'set xlabel "pages per second, as a multiple of mmap\'s"', 'set format x "%.1f"',
             "set arrow from 1,-0.5 to 1,{} nohead lw 2 lc rgb \"#a50f15\"".format(len(rows) - 0.5)]
    tics = ", ".join(f'"{system}  {{/:Bold {median:.2f}}}" {y}'
                     for y, (system, (_, median, _)) in enumerate(rows))
    lines += [f"set ytics ({tics})", "$bars << END"]
    lines += [f"0 {y} 0 {median} {y - 0.38} {y + 0.38} {int(COLOURS[system][1:], 16)}"
              for y, (system, (_, median, _)) in enumerate(rows)]
    lines += ["END", "$spread << END"]
    lines += [f"{median} {y} {low} {high}" for y, (_, (low, median, high)) in enumerate(rows)]
    lines += ["END", "plot $bars using 1:2:3:4:5:6:7 with boxxyerror lc rgb variable, \\",
              "$spread using 1:2:3:4 with xerrorbars pt 0 lw 2 lc rgb \"black\"", ""]
    return "\n".join(lines)


def draw(comparisons, clock, directory):
    """Writes directory/bench-CASE.svg, and bench-clock.svg."""
    if clock and list(clock.ratios()):
        subprocess.run(["gnuplot"], input=ratios(clock, directory / "bench-clock.svg"), text=True,
                       check=True)
    for case, what in CASES.items():
        draw_case, there = script, any(r["case"] == case for c in comparisons for r in c.results)
        if case == "outstanding":
            draw_case, there = curves, any(c.outstanding for c in comparisons)
        if there:
            path = directory / f"bench-{case}.svg"
            subprocess.run(["gnuplot"], input=draw_case(comparisons, case, what, path),
                           text=True, check=True)
