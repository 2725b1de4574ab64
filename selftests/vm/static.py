# SPDX-License-Identifier: GPL-2.0-only
"""Checks of the sources that need no machine. Each is a test "static:NAME"."""
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import documents, manifest, mutants, packages, tree

# What checkpatch is not asked: (the files, by a pattern of the path; types; why).
CHECKPATCH_IGNORES = (
    (r"^kmod/compat/", "LINUX_VERSION_CODE,CONSTANT_COMPARISON,MACRO_ARG_UNUSED",
     "the place of version differences: KERNEL_VERSION() is taken for a constant, and a macro "
     "may drop an argument that an older function lacks"),
    (r"^(kmod/compat/|daemon/|lib/)", "LINE_SPACING",
     "one-line inline functions in a row are a table"),
    (r"trace\.h$", "OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT,LINE_SPACING",
     "the layout of TRACE_EVENT"),
    (r"^(uapi|lib|daemon|examples|bench|demo|selftests/(?!\w+/kmod))",
     "BIT_MACRO,PREFER_KERNEL_TYPES,PREFER_DEFINED_ATTRIBUTE_MACRO,PREFER_FALLTHROUGH,"
     "ARRAY_SIZE,STRCPY,STRNCPY,ENOSYS,USE_NEGATIVE_ERRNO",
     "user space has no kernel macros, types and helpers, and its own use of errno"),
    (r"^selftests/(?!\w+/kmod)",
     "OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT,LINE_SPACING,MACRO_ARG_REUSE,COMPLEX_MACRO,"
     "AVOID_EXTERNS,VOLATILE,MACRO_WITH_FLOW_CONTROL,EMBEDDED_FUNCTION_NAME,BRACES,"
     "MACRO_ARG_PRECEDENCE,MULTIPLE_ASSIGNMENTS,SPACING",
     "TEST() and FIXTURE() are read as functions, ASSERT_EQ() as a statement without braces; "
     "volatile makes a test really touch memory"),
    (r"^bench/", "VOLATILE,MULTIPLE_ASSIGNMENTS,SPLIT_STRING,EMBEDDED_FUNCTION_NAME",
     "a benchmark touches memory for nothing else's sake"),
    (r"^kmod/chardev\.c$", "MACRO_ARG_REUSE", "a table of constants"),
    (r"^selftests/canary/kmod", "VOLATILE,AVOID_BUG",
     "the access must not be optimised away, and the kernel is there to crash"),
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
    tree.make(f"O={tree.BUILD}", "all", directory=tree.TOP / "bench")
    return []


def linking():
    """A program is built against an installed library as its author would, and wants its
    symbols by version."""
    with tempfile.TemporaryDirectory(dir=tree.BUILD) as root:
        tree.make(f"O={tree.BUILD}", f"DESTDIR={root}", "install", directory=tree.TOP / "lib")
        libs, program = Path(root, "usr/local/lib"), Path(root, "memory-pager")
        # What is installed comes first, then what it requires of this machine.
        environment = {**os.environ, "PKG_CONFIG_PATH": str(libs / "pkgconfig"),
                       "PKG_CONFIG_SYSROOT_DIR": root, "LD_LIBRARY_PATH": str(libs)}

        def run(*words):
            done = subprocess.run(words, env=environment, capture_output=True, text=True)
            return done.returncode, done.stdout + done.stderr

        status, flags = run("pkg-config", "--cflags", "--libs", "extpager")
        if status:
            return flags.splitlines()
        status, said = run("gcc", "-Wall", "-Werror", "-o", program,
                           tree.TOP / "examples/memory-pager.c", *flags.split())
        if status:
            return said.splitlines()
        complaints = []
        if root not in flags:
            complaints.append(f"pkg-config found another library: {flags.strip()}")
        for path, section in ((libs / "libextpager.so", "Version definition section"),
                              (program, "Version needs section")):
            _, said = run("readelf", "-VW", path)
            part = said.partition(section)[2].partition("section '")[0]
            if "LIBEXTPAGER_0.1" not in part:
                complaints.append(f"{path.name}: no LIBEXTPAGER_0.1 in its {section.lower()}")
        status, said = run(program, "none")
        if status != 1 or not said.startswith("memory-pager: "):
            complaints.append(f"the program ended with {status} and said {said.strip()!r}")
        status, said = run("ldd", program)
        if f"libextpager.so.0 => {libs}/" not in said:
            complaints.append(f"the program loads another library: {said}")
    return complaints


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


def request_states():
    """Only one file changes the state of a request."""
    return grep(r"->state\s*=[^=].*\bEXTPAGER_REQUEST_|\b(req|request)->state\s*=[^=]",
                (p for p in files() if p.match("kmod/*.c") and p.name != "request.c"))


def mutants_apply():
    """A change of the sources must not leave a mutant behind that says nothing any more."""
    complaints = []
    known = manifest.load()
    for mutant in mutants.load():
        done = subprocess.run(["patch", "-p1", "--dry-run", "--forward", "--fuzz=2", "-s",
                               "-i", mutant.patch], cwd=tree.TOP, capture_output=True, text=True)
        if done.returncode:
            complaints.append(f"{mutant.name}: does not apply: {done.stdout.strip()}")
        complaints += [f"{mutant.name}: the manifest has no {test} on {mutant.kernel}"
                       for test in (f"mutant:{mutant.name}", *mutant.tests)
                       if (test, mutant.kernel) not in known]
    return complaints


# Texts, lists and settings, of which a licence is nobody's question.
NO_LICENCE = re.compile(r"^LICENSES/|\.(md|patch)$|^\.gitignore$|^\.checkpatch\.conf$|"
                        r"^VERSION$|^selftests/manifest$|\.config$")


def spdx():
    """Every file of code says its licence in its first lines, and the text of it is here."""
    complaints = []
    for path in files():
        # A package says in debian/copyright what all of it is.
        if NO_LICENCE.search(str(path)) or path.suffix == ".abi" or \
                (path.parts[0] == "debian" and first_line(path)[:2] != "#!"):
            continue
        head = (tree.TOP / path).read_text(errors="replace").splitlines()[:4]
        found = re.search(r"SPDX-License-Identifier: (.*?)\s*(\*/)?$", "\n".join(head), re.M)
        if not found:
            complaints.append(f"{path}: no SPDX-License-Identifier")
            continue
        for name in re.findall(r"[\w.+-]+", found.group(1)):
            text = re.sub(r"-(only|or-later)$", "", name)
            if name not in ("OR", "AND", "WITH") and not (tree.TOP / "LICENSES" / text).exists():
                complaints.append(f"{path}: LICENSES/ has no {text}")
    return complaints


def readme():
    """The pagers that the README shows are those that are tested, and as short as it says;
    each of its commands is typed by `make check-fresh`, or left out there for a reason."""
    text = (tree.TOP / "README.md").read_text()
    complaints = []
    for name, limit in (("memory-pager", 60), ("snapshot-pager", 121)):
        source = (tree.TOP / f"examples/{name}.c").read_text()
        if source.rstrip() not in text:
            complaints.append(f"README.md does not show examples/{name}.c as it is")
        if len(source.splitlines()) >= limit:
            complaints.append(f"examples/{name}.c has {limit} lines or more")
    fresh = subprocess.run([tree.SELFTESTS / "fresh", "--list"], capture_output=True, text=True)
    if fresh.returncode or "make deb\n" not in fresh.stdout:
        complaints += fresh.stderr.splitlines() or ["selftests/fresh does not type `make deb`"]
    return complaints


def units():
    """systemd takes the units, in an order that can be, and finds pagerd well shut in."""
    stage = tree.BUILD / "static/units"
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    tree.make("lib", "daemon")
    for path in (tree.TOP / "daemon/systemd").iterdir():
        if path.suffix in (".in", ".mount"):
            text = path.read_text().replace("@sbindir@", str(tree.BUILD / "bin"))
            (stage / path.name.removesuffix(".in")).write_text(text)
    found = sorted(stage.iterdir())
    verify = subprocess.run(["systemd-analyze", "verify", "--man=no", *found],
                            capture_output=True, text=True)
    complaints = [line for line in verify.stderr.splitlines()
                  if re.search(r"pagerd|extpager", line)]
    if verify.returncode and not complaints:
        complaints = verify.stderr.splitlines() or ["systemd-analyze verify failed"]
    rated = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager",
                            "--threshold=29", stage / "pagerd.service"],
                           capture_output=True, text=True)
    if rated.returncode:
        complaints += rated.stdout.splitlines()[-1:] + rated.stderr.splitlines()
    users = subprocess.run(["systemd-sysusers", "--dry-run", "--inline", *(
        line for line in (tree.TOP / "daemon/systemd/extpager.sysusers").read_text().splitlines()
        if line and not line.startswith("#"))], capture_output=True, text=True)
    if users.returncode:
        complaints += users.stderr.splitlines()
    return complaints


def checks(kernels):
    """{name: function}, each returning a list of complaints."""
    found = {"build": build, "linking": linking, "checkpatch": checkpatch,
             "shellcheck": shellcheck, "versions": versions, "self-contained": self_contained,
             "request-states": request_states,
             "spdx": spdx, "mutants": mutants_apply, "readme": readme, "units": units,
             **documents.CHECKS, **packages.checks(kernels)}
    for kernel in kernels:
        found[f"sparse-{kernel.name}"] = lambda kernel=kernel: sparse(kernel)
        found[f"symbols-{kernel.name}"] = lambda kernel=kernel: symbols(kernel)
    return found


def run(session, names=("6.1", "6.12")):
    for name, check in checks([tree.kernel(n) for n in names]).items():
        if not session.wants(f"static:{name}"):
            continue
        if packages.deep(name) and not session.deep and not session.only:
            session.unasked.add(f"static:{name}")
            continue
        try:
            complaints = check()
        except tree.BuildError as error:
            complaints = str(error).splitlines()
        session.record(f"static:{name}", "host", "fail" if complaints else "pass",
                       f"{len(complaints)} complaints" if complaints else "")
        if complaints:
            session.say("\n".join(f"       | {line}" for line in complaints[:60]))
