#!/usr/bin/env python3
"""Turns the measurements of run.sh into Markdown tables, medians over the rounds."""

import statistics
import sys


def medians(path):
    """{workload: {peer: [median of each number]}} in the order of the file."""
    rows = {}
    with open(path) as f:
        for line in f:
            workload, peer, *numbers = line.rstrip("\n").split("\t")
            rows.setdefault(workload, {}).setdefault(peer, []).append([float(n) for n in numbers])
    return {workload: {peer: [statistics.median(column) for column in zip(*runs)]
                       for peer, runs in by_peer.items()}
            for workload, by_peer in rows.items()}


def cells(peer, numbers, reference):
    rps, cpu, p50, p99, rss, conns, errors, busy, others = numbers
    proxy = peer != "direct"
    return [peer, f"{rps:,.0f}",
            f"{rps / reference[0]:.2f}" if reference else "-",
            f"{cpu:.1f}" if proxy else "-",
            f"{cpu / reference[1]:.2f}" if proxy and reference else "-",
            f"{p50 / 1000:.2f}", f"{p99 / 1000:.2f}",
            f"{rss / 1024:.1f}" if proxy else "-",
            f"{conns:.0f}", f"{errors:.0f}", f"{busy:.0f} %" if proxy else "-",
            f"{others:.0f} %" if proxy else "-"]


def main():
    names = ["peer", "requests/s", "to HAProxy", "CPU us/request", "to HAProxy",
             "p50 ms", "p99 ms", "RSS peak MiB", "upstream connections", "errors", "its core", "others on it"]
    for workload, by_peer in medians(sys.argv[1]).items():
        print(f"\n### {workload}\n")
        print("| " + " | ".join(names) + " |")
        print("| --- |" + " ---: |" * (len(names) - 1))
        for peer, numbers in by_peer.items():
            print("| " + " | ".join(cells(peer, numbers, by_peer.get("haproxy"))) + " |")


if __name__ == "__main__":
    main()
