"""Checks of the sources that need no machine. Each is a test "static:NAME"."""
import re
import shutil
import subprocess
from pathlib import Path

from . import tree

# What checkpatch is not asked: (the files, by a pattern of the path; types; why).
CHECKPATCH_IGNORES = (
    (r"^kmod/compat/", "LINUX_VERSION_CODE,CONSTANT_COMPARISON,MACRO_ARG_UNUSED",
     "the place of version differences: KERNEL_VERSION() is taken for a constant, and a macro "
     "may drop an argument that an older function lacks"),
    (r"^(kmod/compat/|daemon/|lib/)", "LINE_SPACING",
     "one-line inline functions in a row are a table"),
    (r"trace\.h$", "OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT,LINE_SPACING",
     "the layout of TRACE_EVENT"),
    (r"^(uapi|lib|daemon|examples|bench|demo|selftests/(?!canary/kmod))",
     "BIT_MACRO,PREFER_KERNEL_TYPES,PREFER_DEFINED_ATTRIBUTE_MACRO,PREFER_FALLTHROUGH,"
     "ARRAY_SIZE,STRCPY,STRNCPY,ENOSYS,USE_NEGATIVE_ERRNO",
     "user space has no kernel macros, types and helpers, and its own use of errno"),
    (r"^selftests/(?!canary/kmod)",
     "OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT,LINE_SPACING,MACRO_ARG_REUSE,COMPLEX_MACRO,"
     "AVOID_EXTERNS,VOLATILE,MACRO_WITH_FLOW_CONTROL,EMBEDDED_FUNCTION_NAME,BRACES,"
     "MACRO_ARG_PRECEDENCE,MULTIPLE_ASSIGNMENTS,SPACING",
     "TEST() and FIXTURE() are read as functions, ASSERT_EQ() as a statement without braces; "
     "volatile makes a test really touch memory"),
    (r"^bench/", "VOLATILE,MULTIPLE_ASSIGNMENTS,SPLIT_STRING,EMBEDDED_FUNCTION_NAME",
     "a benchmark touches memory for nothing else's sake"),
    (r"^kmod/chardev\.c$", "MACRO_ARG_REUSE", "a table of constants"),
    (r"^selftests/canary/kmod", "VOLATILE", "the access must not be optimised away"),
)


def files():
    """The text files of the tree, committed or about to be."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=tree.TOP,
                            capture_output=True, text=True)
    if listed.returncode == 0:
        paths = map(Path, listed.stdout.splitlines())
    else:                   # a copy without git, such as that of a mutant
        paths = (p.relative_to(tree.TOP) for p in tree.TOP.rglob("*"))
    return sorted(p for p in paths if p.parts[0] != "build" and (tree.TOP / p).is_file()
                  and not (tree.TOP / p).is_symlink())


def build():
    """Everything for this machine builds; warnings are errors there."""
    tree.make("all")
    return []


def first_line(path):
    with open(tree.TOP / path, errors="replace") as file:
        return file.readline()


def grep(pattern, paths):
    """The lines that match, as "path:line: text"."""
    found = []
    for path in paths:
        text = (tree.TOP / path).read_text(errors="replace")
        found += [f"{path}:{number}: {line.strip()}"
                  for number, line in enumerate(text.splitlines(), 1) if re.search(pattern, line)]
    return found


def sparse(kernel):
    """A build from nothing with sparse and W=1; neither may say a word of our files."""
    farm = tree.BUILD / "static" / kernel.name
    shutil.rmtree(farm, ignore_errors=True)
    output = tree.make("modules", f"KDIR={kernel.dir / 'build'}", f"K={kernel.name}",
                       f"FARM={farm}", "KFLAGS=C=2")
    return [line for line in output.splitlines()
            if f"{farm}/" in line and re.search(r"(warning|error):", line)]


def symbols(kernel):
    """A module may use only what this kernel exports."""
    module = tree.build_module(kernel)
    exported = {line.split("\t")[1]
                for line in (kernel.dir / "build/Module.symvers").read_text().splitlines()}
    undefined = subprocess.run(["nm", "-u", module], capture_output=True, text=True, check=True)
    used = {line.split()[-1] for line in undefined.stdout.splitlines()}
    return [f"{name} is not exported by {kernel.release}" for name in sorted(used - exported)]


def checkpatch():
    script = tree.source() / "scripts/checkpatch.pl"
    complaints = []
    groups = {}
    for path in files():
        if path.suffix in (".c", ".h") and not grep(r"Do not edit", [path]):
            ignores = tuple(types for pattern, types, _ in CHECKPATCH_IGNORES
                            if re.search(pattern, str(path)))
            groups.setdefault(ignores, []).append(path)
    for ignores, paths in groups.items():
        words = [word for types in ignores for word in ("--ignore", types)]
        done = subprocess.run([script, *words, "-f", *paths], cwd=tree.TOP,
                              capture_output=True, text=True)
        found = [line for line in done.stdout.splitlines()
                 if re.search(r":\d+: (ERROR|WARNING|CHECK)", line)]
        if done.returncode and not found:
            found = (done.stdout + done.stderr).splitlines() or ["checkpatch failed"]
        complaints += found
    return complaints


def shellcheck():
    scripts = [p for p in files() if p.suffix == ".sh" or
               re.match(r"#!.*\b(ba|da)?sh\b", first_line(p))]
    done = subprocess.run(["shellcheck", "-f", "gcc", "-x", *scripts], cwd=tree.TOP,
                          capture_output=True, text=True)
    return done.stdout.splitlines() + done.stderr.splitlines()


def versions():
    """Differences between kernels live in kmod/compat/ alone."""
    return grep(r"LINUX_VERSION_CODE|\bKERNEL_VERSION\b",
                (p for p in files() if p.suffix in (".c", ".h")
                 and p.parts[:2] != ("kmod", "compat")))


def self_contained():
    """The tree depends on nothing beside it, nor on this machine."""
    return grep(r"(?<![\w.])/work/|\.\./shared\b|deb\.debian\.org",
                (p for p in files() if p != Path("selftests/vm/static.py")))


def readme():
    """The pagers that the README shows are those that are tested, and as short as it says."""
    text = (tree.TOP / "README.md").read_text()
    complaints = []
    for name, limit in (("memory-pager", 60), ("snapshot-pager", 121)):
        source = (tree.TOP / f"examples/{name}.c").read_text()
        if source.rstrip() not in text:
            complaints.append(f"README.md does not show examples/{name}.c as it is")
        if len(source.splitlines()) >= limit:
            complaints.append(f"examples/{name}.c has {limit} lines or more")
    return complaints


def checks(kernels):
    """{name: function}, each returning a list of complaints."""
    found = {"build": build, "checkpatch": checkpatch, "shellcheck": shellcheck,
             "versions": versions, "self-contained": self_contained, "readme": readme}
    for kernel in kernels:
        found[f"sparse-{kernel.name}"] = lambda kernel=kernel: sparse(kernel)
        found[f"symbols-{kernel.name}"] = lambda kernel=kernel: symbols(kernel)
    return found


def run(session, names=("6.1", "6.12")):
    for name, check in checks([tree.kernel(n) for n in names]).items():
        if not session.wants(f"static:{name}"):
            continue
        try:
            complaints = check()
        except tree.BuildError as error:
            complaints = str(error).splitlines()
        session.record(f"static:{name}", "host", "fail" if complaints else "pass",
                       f"{len(complaints)} complaints" if complaints else "")
        if complaints:
            session.say("\n".join(f"       | {line}" for line in complaints[:60]))
