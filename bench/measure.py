#!/usr/bin/env python3
"""One measurement: runs h2load and watches a proxy while it works.

Prints one line of tab separated numbers: requests/s, CPU us per request of
the proxy, p50 and p99 latency in us, peak RSS in KiB, most upstream
connections seen, errors, share of its core that the proxy used and that others
used, in percent.

Rates and CPU are taken over the same window, which starts after the warm-up:
h2load logs when each request ended, the kernel says what the proxy's tasks
have run for, and both clocks are read at the two ends of the window.
"""

import argparse
import os
import re
import subprocess
import sys
import time


def family(pid):
    """The process and its descendants."""
    pids = [pid]
    for parent in pids:
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children") as f:
                    pids += [int(child) for child in f.read().split()]
        except OSError:
            pass
    return pids


def cpu_ns(pid):
    """Time on a CPU of all tasks, user and system: first number of schedstat."""
    total = 0
    for member in family(pid):
        try:
            for task in os.listdir(f"/proc/{member}/task"):
                with open(f"/proc/{member}/task/{task}/schedstat") as f:
                    total += int(f.read().split()[0])
        except OSError:
            pass
    return total


def core_ns(core):
    """Time this core was busy for anybody, stolen time of a virtual machine included."""
    with open("/proc/stat") as f:
        line = re.search(rf"^cpu{core} (.*)$", f.read(), re.M)
    if not line:
        return 0
    user, nice, system, _idle, _wait, irq, soft, steal = map(int, line[1].split()[:8])
    return (user + nice + system + irq + soft + steal) * 1e9 / os.sysconf("SC_CLK_TCK")


def status_kib(pid, field):
    total = 0
    for member in family(pid):
        try:
            with open(f"/proc/{member}/status") as f:
                total += int(re.search(rf"^{field}:\s+(\d+) kB", f.read(), re.M)[1])
        except (OSError, TypeError):
            pass
    return total


def connections(pids, port):
    """TCP connections of these processes to the upstream, as ss sees them."""
    out = subprocess.run(["ss", "-tnpH", "state", "established", f"( dport = :{port} )"],
                         capture_output=True, text=True, check=False).stdout
    wanted = {str(pid) for pid in pids}
    return sum(1 for line in out.splitlines()
               if wanted & set(re.findall(r"pid=(\d+)", line)))


def read_log(path, begin, end):
    """Times of the requests that ended inside the window, and failed ones overall.

    Status 0 is h2load's word for a status line without a reason phrase.
    """
    times, failed = [], 0
    with open(path) as f:
        for line in f:
            try:
                start, status, took = (int(column) for column in line.split()[:3])
            except ValueError:
                continue
            if not 200 <= status < 300 and status != 0:
                failed += 1
            elif begin <= start + took < end:
                times.append(took)
    times.sort()
    return times, failed


def errors_in(out, failed, size):
    """Failed requests by h2load's summary, None if there is no summary.

    h2load sees no status in "HTTP/1.1 200 " (HAProxy writes no reason phrase
    when the upstream speaks HTTP/2) and calls all of them failed. They are
    right when the bodies add up, as the file has one size and errors have another.
    """
    done = re.search(r"(\d+) done, .*?(\d+) failed, (\d+) errored, (\d+) timeout", out)
    data = re.search(r"\((\d+)\) data", out)
    if not done or not data:
        return None
    if "status codes: 0 2xx, 0 3xx, 0 4xx, 0 5xx" not in out:
        return max(failed, int(done[2]))
    complete = min(int(done[1]), int(data[1]) // size)
    return max(failed, int(done[1]) - complete + int(done[3]) + int(done[4]))


def percentile(times, share):
    return times[min(len(times) - 1, int(len(times) * share))] if times else 0


def micros():
    return time.time_ns() // 1000


def watch(load, pid, port, until):
    """Sleeps until then, sampling the connections; stops early if the load ended."""
    most = 0
    while (left := until - time.monotonic()) > 0 and load.poll() is None:
        if port:
            most = max(most, connections(family(pid) if pid else [load.pid], port))
        time.sleep(max(0.0, min(0.4, left, until - time.monotonic())))
    return most


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pid", type=int, default=0, help="the proxy; 0: there is none")
    parser.add_argument("--core", type=int, default=0, help="where it runs")
    parser.add_argument("--port", type=int, default=0, help="of the upstream")
    parser.add_argument("--warm", type=float, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--size", type=int, required=True, help="bytes of an answer's body")
    parser.add_argument("--log", required=True)
    parser.add_argument("load", nargs="+")
    args = parser.parse_args()

    if os.path.exists(args.log):
        os.unlink(args.log)
    duration = f"{int((args.warm + args.seconds + 0.5) * 1000)}ms"
    command = args.load[:1] + ["-D", duration, "--log-file", args.log] + args.load[1:]
    load = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    start = time.monotonic()
    watch(load, args.pid, 0, start + args.warm)
    begin, cpu, core = micros(), cpu_ns(args.pid) if args.pid else 0, core_ns(args.core)
    most = watch(load, args.pid, args.port, start + args.warm + args.seconds)
    end, cpu = micros(), (cpu_ns(args.pid) if args.pid else 0) - cpu
    others = max(0, core_ns(args.core) - core - cpu)
    rss = status_kib(args.pid, "VmHWM") if args.pid else 0
    try:
        out, _ = load.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        load.kill()
        out, _ = load.communicate()
        out += "\nh2load did not end by itself and was stopped\n"

    times, failed = read_log(args.log, begin, end) if os.path.exists(args.log) else ([], 0)
    errors = errors_in(out, failed, args.size)
    if not times or errors is None:
        sys.stderr.write(out)
        sys.exit(1)
    count = len(times)
    window = (end - begin) / 1e6
    print("%.0f\t%.2f\t%d\t%d\t%d\t%d\t%d\t%.0f\t%.0f" % (
        count / window, cpu / 1000 / count, percentile(times, 0.5), percentile(times, 0.99),
        rss, most, errors, cpu / 1e7 / window,
        others / 1e7 / window))


if __name__ == "__main__":
    main()
