#!/usr/bin/env python3
"""What idle clients cost: opens many keep-alive connections to a Unix socket,
sends one request on each, holds them open and looks at the proxy's RSS.

Prints one line of tab separated numbers: clients held, RSS before and with
them in KiB, bytes per client.
"""

import argparse
import os
import resource
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from measure import status_kib  # noqa: E402


def ask(path, request):
    """One connection that has had its answer and stays open."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(path)
    client.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += more(client)
    head, body = answer.split(b"\r\n\r\n", 1)
    if b" 200 " not in head.split(b"\r\n", 1)[0] + b" ":
        raise OSError("answer was " + head.split(b"\r\n", 1)[0].decode("latin-1"))
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
    left = int(fields[b"content-length"]) - len(body)
    while left > 0:
        left -= len(more(client))
    return client


def more(client):
    data = client.recv(65536)
    if not data:
        raise OSError("connection closed in the middle of an answer")
    return data


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--clients", type=int, default=10000)
    parser.add_argument("--path", default="/1k")
    parser.add_argument("socket")
    args = parser.parse_args()

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = min(args.clients, hard - 100)
    request = (f"GET {args.path} HTTP/1.1\r\nHost: localhost\r\n"
               "User-Agent: idle\r\nAccept: */*\r\n\r\n").encode()

    # The pool and its TLS sessions belong to the state before: a few clients make them.
    held = [ask(args.socket, request) for _ in range(32)]
    time.sleep(0.5)
    before = status_kib(args.pid, "VmRSS")
    while len(held) < wanted + 32:
        held.append(ask(args.socket, request))
    time.sleep(1)
    after = status_kib(args.pid, "VmRSS")
    print("%d\t%d\t%d\t%.0f" % (wanted, before, after, (after - before) * 1024 / wanted))


if __name__ == "__main__":
    main()
