#!/usr/bin/env python3
"""soak.py CONNPOOLD DIR - the work of tests/soak.sh: servers, daemon, load, verdict."""
import collections
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

CONNPOOLD, DIR = sys.argv[1:]
SECONDS = int(os.environ.get("SOAK_SECONDS", "60"))
SEED = int(os.environ.get("SOAK_SEED", str(os.getpid())))
CALLERS = 12
HANG = 40  # s: more than all timeouts of one request together
SIZES = (0, 100, 5000, 100000, 2000000)
SOCKET = DIR + "/pool.sock"
LOG = DIR + "/daemon.log"

NGINX = """
daemon off; master_process off; pid %(name)s.pid; error_log %(name)s.err crit;
events { worker_connections 1024; }
http {
  access_log off; client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;
  uwsgi_temp_path tmp; scgi_temp_path tmp; client_max_body_size 0;
  keepalive_requests 300; keepalive_timeout 5s;
  server {
    listen 127.0.0.1:%(port)d %(listen)s; root www;
    ssl_certificate server.pem; ssl_certificate_key server.key;
    location /dav/ { dav_methods PUT; create_full_put_path on; }
  }
}
"""

CONFIG = """
log : { level = "notice"; access = "off"; };
daemon : { workers = 2; };
defaults : { max_connections = 6; queue_timeout = "5s"; response_timeout = "5s";
  body_idle_timeout = "5s"; backoff_min = "50ms"; backoff_max = "500ms"; max_lifetime = "20s"; };
listeners = ( { name = "main"; path = "%s"; mode = "0600"; } );
upstreams = (
  { name = "one"; url = "http://127.0.0.1:%d"; protocols = [ "h1" ]; },
  { name = "two"; url = "https://127.0.0.1:%d"; protocols = [ "h2" ];
    tls : { ca_file = "%s/ca.pem"; server_name = "localhost"; }; }
);
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def pattern(size):
    return bytes(i * 7 % 251 for i in range(min(size, 251 * 8))) * (size // (251 * 8) + 1)


BODIES = {size: pattern(size)[:size] for size in SIZES}


class Server:
    """nginx, alone in its process, so that a signal is all of a restart."""

    def __init__(self, name, listen):
        self.name, self.port, self.process = name, free_port(), None
        self.conf = "%s/%s.conf" % (DIR, name)
        with open(self.conf, "w") as f:
            f.write(NGINX % {"name": name, "port": self.port, "listen": listen})

    def start(self):
        while True:  # the port may still be held by the one that leaves
            self.process = subprocess.Popen(
                ["nginx", "-p", DIR, "-c", self.conf, "-e", DIR + "/%s.err" % self.name],
                stderr=subprocess.DEVNULL)
            for _ in range(50):
                if self.process.poll() is not None:
                    break
                try:
                    socket.create_connection(("127.0.0.1", self.port)).close()
                    return
                except OSError:
                    time.sleep(0.02)
            self.stop(signal.SIGKILL)
            time.sleep(0.1)

    def stop(self, how):
        self.process.send_signal(how)
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:  # graceful, and somebody does not leave
            self.process.kill()
            self.process.wait()


class Cut(Exception):
    """The connection ended inside an answer."""


class Caller(threading.Thread):
    def __init__(self, number, over, counts):
        super().__init__()
        self.random = random.Random(SEED + number)
        self.over, self.counts = over, counts
        self.sock = self.buffer = None

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock = None

    def more(self):
        data = self.sock.recv(65536)
        if not data:
            raise Cut
        self.buffer += data

    def take(self, n):
        while len(self.buffer) < n:
            self.more()
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return bytes(out)

    def line(self, mark):
        while mark not in self.buffer:
            self.more()
        return self.take(self.buffer.index(mark) + len(mark))

    def answer(self, bodiless):
        head = self.line(b"\r\n\r\n").lower()
        status = int(head[9:12])
        if 100 <= status < 200:
            return self.answer(bodiless)
        last = b"connection: close" in head
        length = re.search(rb"content-length: (\d+)", head)
        body = b""
        if bodiless or status in (204, 304):
            pass
        elif length:
            body = self.take(int(length.group(1)))
        elif b"transfer-encoding: chunked" in head:
            while n := int(self.line(b"\r\n"), 16):
                body += self.take(n + 2)[:n]
            self.line(b"\r\n")
        return status, body, last

    def choose(self):
        size = self.random.choice(SIZES)
        method = self.random.choices(("GET", "HEAD", "PUT", "POST"), (70, 5, 20, 5))[0]
        if method == "PUT":
            path = "/dav/%d" % self.random.randrange(50)
            return method, path, BODIES[size or 100], None  # nginx wants a body
        if method == "POST":  # nginx serves no files to it: 405
            return method, "/100", BODIES[100], None
        return method, "/%d" % size, b"", BODIES[size] if method == "GET" else b""

    def call(self):
        method, path, body, expected = self.choose()
        upstream = self.random.choice(("one", "two"))
        leaves = self.random.random() < 0.03
        if not self.sock:
            self.sock, self.buffer = socket.socket(socket.AF_UNIX), bytearray()
            self.sock.settimeout(HANG)
            self.sock.connect(SOCKET)
        self.sock.sendall(
            b"%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n"
            % (method.encode(), path.encode(), upstream.encode(), len(body))
            if body else
            b"%s %s HTTP/1.1\r\nHost: %s\r\n\r\n"
            % (method.encode(), path.encode(), upstream.encode()))
        if leaves and not body:
            self.close()
            return "left"
        self.sock.sendall(body)
        status, got, last = self.answer(method == "HEAD")
        if last:
            self.close()
        if status == 200 and expected is not None and got != expected:
            return "WRONG BODY"
        return status

    def run(self):
        while not self.over.is_set():
            try:
                outcome = self.call()
            except socket.timeout:
                outcome = "HUNG"
            except (Cut, ConnectionError):
                outcome = "cut"
            if outcome in ("HUNG", "cut"):
                self.close()
            self.counts[outcome] += 1
            if self.random.random() < 0.2:
                time.sleep(self.random.random() / 20)
        self.close()


def restarts(server, over, seed, done):
    rnd = random.Random(seed)
    while not over.wait(rnd.uniform(0.5, 6)):
        how = rnd.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGQUIT))
        server.stop(how)
        if rnd.random() < 0.3:
            time.sleep(rnd.uniform(0, 1.5))
        server.start()
        done[how.name] += 1


def resident(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) * 1024


def log_text():
    with open(LOG) as f:
        return f.read()


def counters(pid, upstreams):
    """The last ones of each upstream, asked for now: its line that has the connections by place."""
    line = r'event="counters" json=(\{.*"available":.*\})'
    before = len(re.findall(line, log_text()))
    os.kill(pid, signal.SIGUSR1)
    for _ in range(500):
        if len(re.findall(line, log_text())) >= before + upstreams:
            break
        time.sleep(0.02)
    return [json.loads(found) for found in re.findall(line, log_text())[before:]]


def identities(c):
    """What does not agree, in words."""
    standing = c["available"] + c["full"] + c["draining"]
    ends = c["answered"] + c["cut"] + c["rejected"] + c["abandoned"]
    if c["opened"] - c["closed"] != standing:
        yield "opened - closed = %d, connections %d" % (c["opened"] - c["closed"], standing)
    if c["requests"] != ends:
        yield "requests %d, ends %d" % (c["requests"], ends)


def median(values):
    return sorted(values)[len(values) // 2]


def is_flat(sizes):
    """The last quarter is not above the second one, after which everything has been seen once."""
    quarter = len(sizes) // 4
    early, late = median(sizes[quarter:2 * quarter]), median(sizes[3 * quarter:])
    print("memory: %.1f MiB in the second quarter, %.1f in the last"
          % (early / 1048576, late / 1048576))
    return late <= early * 1.1 + (8 << 20)


def load(servers, daemon):
    over, counts, done = threading.Event(), collections.Counter(), collections.Counter()
    threads = [Caller(i, over, counts) for i in range(CALLERS)]
    threads += [threading.Thread(target=restarts, args=(s, over, SEED + 100 + i, done))
                for i, s in enumerate(servers)]
    sizes, end = [], time.monotonic() + SECONDS
    for t in threads:
        t.start()
    while time.monotonic() < end and daemon.poll() is None:
        time.sleep(0.5)
        sizes.append(resident(daemon.pid))
    over.set()
    for t in threads:
        t.join()
    print("requests:", dict(sorted(counts.items(), key=str)), " restarts:", dict(done))
    return counts, sizes


def run_daemon(servers):
    with open(DIR + "/connpoold.conf", "w") as f:
        f.write(CONFIG % (SOCKET, servers[0].port, servers[1].port, DIR))
    env = dict(os.environ)
    env.setdefault("ASAN_OPTIONS",
                   "quarantine_size_mb=2:thread_local_quarantine_size_kb=64:detect_leaks=1")
    with open(LOG, "w") as log:
        daemon = subprocess.Popen([CONNPOOLD, "-c", DIR + "/connpoold.conf"],
                                  stdout=log, stderr=log, env=env)
    for _ in range(500):
        if 'event="ready"' in log_text() or daemon.poll() is not None:
            break
        time.sleep(0.02)
    return daemon


def verdict(daemon, counts, sizes):
    """What was wrong, in words."""
    if counts["HUNG"] or counts["WRONG BODY"]:
        yield "requests hung or were answered wrongly"
    if counts[200] < SECONDS:
        yield "hardly anything was served"
    time.sleep(1)  # the callers' last hang-ups are noticed
    for c in counters(daemon.pid, 2):
        print(json.dumps(c))
        yield from identities(c)
    if not is_flat(sizes):
        yield "memory grows"
    daemon.terminate()
    try:
        if daemon.wait(40) != 0:
            yield "the daemon ended with %d" % daemon.returncode
    except subprocess.TimeoutExpired:
        yield "the daemon does not end"
    if re.search("Sanitizer|runtime error:", log_text()):
        yield "a sanitizer complained"


def main():
    os.makedirs(DIR + "/www/dav")
    os.makedirs(DIR + "/tmp")
    for size in SIZES:
        with open("%s/www/%d" % (DIR, size), "wb") as f:
            f.write(BODIES[size])
    servers = [Server("one", ""), Server("two", "ssl http2")]
    daemon = None
    wrong = ["it did not come to the end"]
    try:
        for s in servers:
            s.start()
        daemon = run_daemon(servers)
        print("seed %d, %d s" % (SEED, SECONDS), flush=True)
        wrong = list(verdict(daemon, *load(servers, daemon)))
    finally:
        for p in [s.process for s in servers] + [daemon]:
            if p and p.poll() is None:
                p.kill()
                p.wait()
        if wrong:
            print("FAILED:", "; ".join(wrong), "\n" + log_text()[-6000:])
    if wrong:
        sys.exit(1)
    print("ok")


main()
