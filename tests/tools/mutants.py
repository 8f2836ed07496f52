#!/usr/bin/env python3
"""mutants.py - what would no test notice? Small faults, one at a time, into a copy of the tree.

    tests/tools/mutants.py                          a hundred faults, chosen by the seed
    tests/tools/mutants.py --only daemon/pool/      in these files
    tests/tools/mutants.py --fault daemon/pool/learn.c '>= TWICE' '> TWICE'
                                                    this one ("": the text goes)

Needs what the tests need. DIR (--dir) gets the copy, which is built without sanitizers and without
optimization; it is used again by the next run with --keep. All of lib/ and daemon/ is linked as one
shared library, so that a fault costs one compilation and one link. The tests that concern the file
run first, the wider ones only for what survives; the first failure ends it. A failure that comes
without the fault, too, does not count. What only an assertion of a build with sanitizers
(CC_CHECK) or the sanitizers themselves would find survives here. Headers are left alone.
"""
import argparse
import ctypes
import glob
import multiprocessing
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BOUND = 240  # s, for one test program

UNIT_LIB = "err head h1_codec mem buf timer conn_state resolve dial session proxy_talk".split()
UNIT_DAEMON = ("caller conf log mailbox limits report stats listener notify reload backoff learn pick "
               "queue spread upstream budget retry route headers policy local_reply "
               "client_timeout front worker").split()
CONN = ("h1 h2 h1_rows h2_rows goaway_rows capacity cancel hook state proxy tls corners random_h1 "
        "random_h2 threads servers").split()
FAULT = "short_io socket_errors peer_breaks oom fd_limit".split()
DAEMON = ("forward http1 answers pool sizes routing limits timeouts retry closes failures goaway "
          "control backpressure smuggling idle lives names workers matrix").split()

# The first prefix that fits; "u:" tests/unit, "c:" conn, "f:" fault, "d:" daemon.
FIRST = (
    ("lib/base/", "u:head u:mem u:buf u:timer u:err c:h1 c:h2 c:hook"),
    ("lib/codec/h1_", "u:h1_codec c:h1 c:h1_rows d:http1 d:smuggling"),
    ("lib/codec/h2_", "c:h2 c:h2_rows c:corners"),
    ("lib/net/link.c", "c:h1 c:h2 c:tls f:short_io f:socket_errors f:peer_breaks c:h1_rows"),
    ("lib/net/resolve.c", "u:resolve u:dial"),
    ("lib/net/session.c", "u:session c:tls"),
    ("lib/net/", "u:dial u:resolve u:proxy_talk c:proxy f:socket_errors"),
    ("lib/conn/h1_", "c:h1 c:h1_rows c:cancel c:random_h1 f:peer_breaks"),
    ("lib/conn/h2_", "c:h2 c:h2_rows c:goaway_rows c:capacity c:random_h2"),
    ("lib/conn/", "u:conn_state c:h1 c:h2 c:h1_rows c:h2_rows c:hook c:cancel c:state c:capacity"),
    ("daemon/base/conf", "u:conf"),
    ("daemon/base/log", "u:log d:control"),
    ("daemon/base/", "u:mailbox u:limits u:stats u:worker d:limits d:workers"),
    ("daemon/pool/backoff.c", "u:backoff u:upstream"),
    ("daemon/pool/janitor.c", "d:sizes d:pool d:idle d:lives"),
    ("daemon/pool/learn.c", "u:learn d:idle"),
    ("daemon/pool/queue.c", "u:queue d:pool d:timeouts"),
    ("daemon/pool/", "u:pick u:spread u:upstream u:budget d:pool d:sizes d:failures d:names"),
    ("daemon/exchange/", "u:local_reply u:client_timeout u:headers u:policy u:retry u:route "
                         "d:forward d:retry d:timeouts d:answers d:http1"),
    ("daemon/front/", "u:listener d:http1 d:answers d:backpressure d:smuggling d:limits"),
    ("daemon/control/", "u:notify u:reload d:control"),
    ("daemon/", "u:worker d:control d:workers d:routing"),
)
FOLDERS = {"u": "unit", "c": "conn", "f": "fault", "d": "daemon"}
STATIC = {"tests/unit/test_listener", "tests/unit/test_worker"}  # they wrap functions


def program(short):
    return "tests/%s/test_%s" % (FOLDERS[short[0]], short[2:])


def tests_for(path, narrow):
    """Programs, those that concern the file first; narrow: only these."""
    first = next(row[1] for row in FIRST if path.startswith(row[0]))
    if narrow:
        return [program(t) for t in first.split()]
    lib = ["u:" + t for t in UNIT_LIB] + ["c:" + t for t in CONN] + ["f:" + t for t in FAULT]
    daemon = ["u:" + t for t in UNIT_DAEMON] + ["d:" + t for t in DAEMON]
    order = first.split() + (lib + ["d:" + t for t in DAEMON] if path.startswith("lib/") else daemon)
    return [program(t) for t in dict.fromkeys(order)]


# ---- faults --------------------------------------------------------------------------------------

TALK = re.compile(r"\b(log_\w+|s?n?printf|fprintf|assert|abort|static_assert|_Static_assert|case)\b")
CODE = re.compile(r"^\t+")
SWAPS = (("&&", "||"), ("||", "&&"), (" == ", " != "), (" != ", " == "), (" < ", " <= "),
         (" <= ", " < "), (" > ", " >= "), (" >= ", " > "), (" + ", " - "), (" - ", " + "),
         (" + 1", ""), (" - 1", ""), (" += ", " -= "), (" -= ", " += "), ("++", "--"), ("--", "++"),
         ("= true;", "= false;"), ("= false;", "= true;"), (" & ", " | "), ("true)", "false)"),
         ("false)", "true)"))


def blanked(text):
    """The same text with comments and strings blanked out, so that columns stay."""
    def blank(m):
        return re.sub(r"[^\n]", " ", m.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.S)


def in_talk(lines):
    """Numbers of the lines that belong to a statement which only says something."""
    found, inside = set(), False
    for i, line in enumerate(lines):
        inside = inside or bool(TALK.search(line))
        if inside:
            found.add(i)
        if line.rstrip().endswith((";", "{", "}", ":")):
            inside = False
    return found


def negated(line):
    m = re.match(r"(\t+(?:\} else )?(?:else )?if )(\(.*\))( \{)?$", line.rstrip())
    if not m or m.group(2).count("(") != m.group(2).count(")"):
        return []
    return ["%s(!%s)%s" % (m.group(1), m.group(2), m.group(3) or "")]


def dropped(line):
    text = line.rstrip()
    statement = re.match(r"\t+(?:\w+(?:->|\.|\[)\S* [-+|&]?= |\*\w+ = |\w+\(|return;|"
                         r"\w+(?:->|\.)\S*(?:\+\+|--);|\w+ [-+|&]?= )", text)
    if not statement or not text.endswith(";") or text.count("(") != text.count(")"):
        return []
    return [re.match(r"\t+", text).group(0) + ";"]


def swapped(line):
    found = []
    m = re.search(r"([\w>.-]+) (-|/|<<) ([\w>.-]+)", line)
    if m and not m.group(3).isdigit():
        found.append(line[:m.start()] + "%s %s %s" % (m.group(3), m.group(2), m.group(1)) +
                     line[m.end():])
    m = re.search(r"\? ([\w>.-]+) : ([\w>.-]+)", line)
    if m:
        found.append(line[:m.start()] + "? %s : %s" % (m.group(2), m.group(1)) + line[m.end():])
    return found


def faults_of(path):
    """(line number, the line with the fault) of all faults that there may be in the file."""
    text = open(os.path.join(TOP, path)).read()
    lines, plain = text.split("\n"), blanked(text).split("\n")
    talk, faults = in_talk(plain), []
    for i, line in enumerate(plain):
        if not CODE.match(line) or i in talk:
            continue
        if line.rstrip() == lines[i].rstrip():
            faults += [(i, new) for new in negated(line) + dropped(line) + swapped(line)]
        for old, new in SWAPS:
            for m in re.finditer(re.escape(old), line):
                at = m.start()
                faults.append((i, lines[i][:at] + new + lines[i][at + len(old):]))
    return [(path, i + 1, lines[i].strip(), new) for i, new in faults]


def choose(only, count, seed):
    rng = random.Random(seed)
    files = sorted(f for f in glob.glob("lib/**/*.c", root_dir=TOP, recursive=True) +
                   glob.glob("daemon/**/*.c", root_dir=TOP, recursive=True) if re.search(only, f))
    found = {f: faults_of(f) for f in files}
    for faults in found.values():
        rng.shuffle(faults)
    total = sum(len(faults) for faults in found.values())
    chosen = []
    for f in files: # each file has one, and the large ones more
        seen, quota = set(), max(1, round(count * len(found[f]) / total))
        for fault in found[f]:
            if len(seen) < quota and fault[1] not in seen:
                seen.add(fault[1])
                chosen.append(fault)
    rng.shuffle(chosen) # a run that is stopped early was everywhere, too
    return chosen[:count]


def given(path, old, new):
    text = open(os.path.join(TOP, path)).read()
    if text.count(old) != 1:
        sys.exit("%s: that text is there %d times" % (path, text.count(old)))
    return path, text[:text.index(old)].count("\n") + 1, old, text.replace(old, new)


# ---- building ------------------------------------------------------------------------------------

class Build:
    def __init__(self, work):
        self.work, self.src, self.dir = work, work + "/src", work + "/build"

    def run(self, command, cwd=None, **more):
        return subprocess.run(command, cwd=cwd or self.dir, check=True, stdin=subprocess.DEVNULL,
                              **more)

    def prepare(self):
        """The tree as it is, copied and built once."""
        names = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, check=True,
                               capture_output=True, text=True).stdout.split("\0")
        for name in filter(None, names):
            to, source = os.path.join(self.src, name), os.path.join(TOP, name)
            if not os.path.exists(source):
                continue
            os.makedirs(os.path.dirname(to), exist_ok=True)
            if not os.path.exists(to) or open(to, "rb").read() != open(source, "rb").read():
                shutil.copy(source, to)
        os.makedirs(self.dir, exist_ok=True)
        if not os.path.exists(self.dir + "/Makefile"):
            self.run(["autoreconf", "-fi"], self.src)
            self.run(["../src/configure", "--disable-shared", "CFLAGS=-O0 -fPIC"])
        self.run(["make", "-j2", "lib/libcc.la", "daemon/libdaemon.la", "daemon/main.o",
                  "tests/libpeer.la", "tests/librandom.la", "tests/libfault.la",
                  "tests/libprograms.la", "tests/libharness.la"], stdout=subprocess.DEVNULL)

    def read_flags(self):
        show = ("$(info $(CC) $(DEFS) $(DEFAULT_INCLUDES) $(AM_CPPFLAGS) $(LLHTTP_CFLAGS) "
                "$(AM_CFLAGS) $(CFLAGS))\n$(info $(LIBEVENT_LIBS) $(OPENSSL_LIBS) $(NGHTTP2_LIBS) "
                "$(CARES_LIBS) $(LIBCONFIG_LIBS) $(JANSSON_LIBS) $(SYSTEMD_LIBS) $(LLHTTP_LIBS) "
                "-lpthread)\n$(info $(CHECK_LIBS))\nshow:\n\t@:\n")
        out = subprocess.run(["make", "-s", "--no-print-directory", "-f", "Makefile", "-f", "-",
                              "show"], cwd=self.dir, check=True, input=show, capture_output=True,
                             text=True).stdout.split("\n")
        self.cc, self.libs, self.check = (shlex.split(line) for line in out[:3])
        self.own = glob.glob(self.dir + "/lib/.libs/libllhttp.a")
        self.objects = sorted(glob.glob(self.dir + "/lib/*/libcc_la-*.o") +
                              glob.glob(self.dir + "/daemon/*/*.o") +
                              [self.dir + "/daemon/worker.o"])

    def objects_with(self, path, made):
        folder, name = os.path.split(path)
        out = [o for o in self.objects if o not in (
            "%s/%s/%s.o" % (self.dir, folder, name[:-2]),
            "%s/%s/libcc_la-%s.o" % (self.dir, folder, name[:-2]))]
        assert len(out) == len(self.objects) - 1, path
        return out + [made]

    def compile(self, source, made):
        return subprocess.run(self.cc + ["-w", "-c", source, "-o", made], cwd=self.dir,
                              capture_output=True).returncode == 0

    def link(self, out, objects, more=()):
        self.run(self.cc[:1] + ["-o", out] + list(objects) + list(more) + self.own + self.libs)

    def library(self, to, objects):
        self.link(to + "/libmutant.so", objects, ["-shared"])

    def link_daemon(self, main, out):
        self.run(self.cc[:1] + ["-o", out, main, "-L" + self.dir, "-lmutant"] + self.libs)

    def link_test(self, test, objects=None, out=None):
        out = out or os.path.join(self.dir, test)
        names = ["fault", "random", "peer", "programs"]
        if test.startswith("tests/daemon/") or test.endswith("/test_worker"):
            names = ["harness", "programs"]
        helpers = ["tests/.libs/lib%s.a" % n for n in names]
        more = ["-Wl,--start-group"] + helpers + ["-Wl,--end-group"] + self.check
        if objects:
            wraps = ["calloc"] + ["pool_new", "pool_reconfigure"] * test.endswith("worker")
            self.link(out, [test + ".o"] + objects, more + ["-Wl,--wrap=" + w for w in wraps])
        else:
            self.run(self.cc[:1] + ["-o", out, test + ".o"] + more + ["-L.", "-lmutant"] +
                     self.own + self.libs)

    def tests(self, names):
        self.run(["make", "-j2"] + [n + ".o" for n in names], stdout=subprocess.DEVNULL)
        for n in names:
            self.link_test(n, self.objects if n in STATIC else None)


# ---- running -------------------------------------------------------------------------------------

def children():
    mine, by_parent = [os.getpid()], {}
    for stat in glob.glob("/proc/[0-9]*/stat"):
        try:
            fields = open(stat).read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        by_parent.setdefault(int(fields[1]), []).append(int(stat.split("/")[2]))
    for pid in mine:
        mine += by_parent.get(pid, [])
    return mine[1:]


def end_children():
    """Also those of a test that was ended: they are ours then (PR_SET_CHILD_SUBREAPER)."""
    for _ in range(100):
        pids = children()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.02)


def run_test(build, binary, test, library, daemon, case=None):
    """None: it passes, or the time was too short; else the case and the test that failed first."""
    env = dict(os.environ, LD_LIBRARY_PATH=library, CONNPOOLD=daemon, srcdir=build.src,
               top_builddir=build.dir, CK_TAP_LOG_FILE_NAME="-", CK_DEFAULT_TIMEOUT="60",
               CC=build.cc[0])
    if case:
        env["CK_RUN_CASE"] = case
    with subprocess.Popen(["timeout", "-k", "5", str(BOUND), "stdbuf", "-oL", binary],
                          cwd=build.dir, env=env, stdin=subprocess.DEVNULL, text=True,
                          errors="replace", stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as p:
        failed = None
        for line in p.stdout:
            m = re.match(r"not ok \d+ - [^:]*:([^:]*):([^:]*): (.*)", line)
            if m:
                hung = "  (hung)" if "timeout expired" in m.group(3).lower() else ""
                failed = (m.group(1), m.group(2) + hung)
                break
        if not failed:
            rc = p.wait()
            if rc == 124:  # a test that hangs is ended, and named, by Check
                print("    %s took more than %d s" % (test, BOUND), flush=True)
            elif rc:
                failed = ("", "status %d" % rc)
        end_children()
    return failed


def lives(build, binary, test, library, daemon):
    """Does it fail without the fault as well?"""
    failed = run_test(build, binary, test, library, daemon)
    if failed is None or not test.startswith("tests/daemon/"):
        return failed
    sound = run_test(build, os.path.join(build.dir, test), test, build.dir,
                     build.dir + "/connpoold", failed[0] or None)
    if sound:
        print("    %s: %s fails without the fault, too" % (test, sound[1]), flush=True)
        return None
    return failed


def verdict(build, fault, narrow):
    path, _, _, new = fault
    own = "%s/worker-%d" % (build.work, os.getpid())
    os.makedirs(own, exist_ok=True)
    source = "%s/%s" % (own, os.path.basename(path))
    if "\n" in new:
        text = new
    else:
        lines = open(os.path.join(build.src, path)).read().split("\n")
        lines[fault[1] - 1] = new
        text = "\n".join(lines)
    open(source, "w").write(text)
    if not build.compile(source, own + "/mutant.o"):
        return "does not build"
    library, daemon, objects = own, build.dir + "/connpoold", None
    if path == "daemon/main.c":
        library, daemon = build.dir, own + "/connpoold"
        build.link_daemon(own + "/mutant.o", daemon)
    else:
        objects = build.objects_with(path, own + "/mutant.o")
        build.library(own, objects)
    for test in tests_for(path, narrow):
        binary = os.path.join(build.dir, test)
        if test in STATIC and objects:
            binary = "%s/%s" % (own, os.path.basename(test))
            build.link_test(test, objects, binary)
        failed = lives(build, binary, test, library, daemon)
        if failed:
            return "%s: %s" % (test[6:], failed[1])
    return "SURVIVED"


def shown(fault, result):
    path, line, old, new = fault
    if "\n" in new:
        change = "%s  =>  (given)" % " ".join(old.split())
    else:
        change = "%s  =>  %s" % (old, new.strip())
    return "%s:%d | %s | %s" % (path, line, change, result)


def begin_worker():
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def judge(job):
    build, fault, narrow = job
    return fault, verdict(build, fault, narrow)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--dir", default="/var/tmp/connpool-mutants", help="of the copy and its build")
    p.add_argument("--keep", action="store_true", help="the copy of an earlier run is used again")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--count", type=int, default=100)
    p.add_argument("--from", type=int, default=0, dest="begin", help="leaves so many out")
    p.add_argument("--only", default="", help="files whose path has this in it (regular expression)")
    p.add_argument("--narrow", action="store_true", help="no wider tests for what survives")
    p.add_argument("--jobs", type=int, default=1)
    p.add_argument("--at", action="append", metavar="FILE:LINE", help="of those chosen these only")
    p.add_argument("--list", action="store_true", help="shows the faults")
    p.add_argument("--fault", nargs=3, action="append", metavar=("FILE", "OLD", "NEW"))
    args = p.parse_args()
    faults = [given(*f) for f in args.fault or []] or choose(args.only, args.count, args.seed)
    faults = [f for f in faults[args.begin:] if not args.at or "%s:%d" % f[:2] in args.at]
    if args.list:
        print("\n".join(shown(f, "") for f in faults))
        return
    build = Build(os.path.abspath(args.dir))
    if os.path.commonpath([TOP, build.work]) in (TOP, build.work):
        sys.exit("--dir: not in the tree, nor above it")
    if os.path.isdir(build.work) and os.listdir(build.work) and not os.path.exists(
            build.src + "/tests/tools/mutants.py"):
        sys.exit("--dir: something else is there")
    if not args.keep:
        shutil.rmtree(build.work, ignore_errors=True)
    build.prepare()
    build.read_flags()
    build.library(build.dir, build.objects)
    build.link_daemon(build.dir + "/daemon/main.o", build.dir + "/connpoold")
    build.tests(list(dict.fromkeys(t for f in faults for t in tests_for(f[0], args.narrow))))
    results = []
    with multiprocessing.Pool(args.jobs, begin_worker) as pool:
        for fault, result in pool.imap_unordered(judge, [(build, f, args.narrow) for f in faults]):
            print(shown(fault, result), flush=True)
            results.append(result)
    survived = results.count("SURVIVED")
    print("%d faults: %d found, %d survived, %d did not build" % (
        len(results), len(results) - survived - results.count("does not build"), survived,
        results.count("does not build")))


if __name__ == "__main__":
    main()
