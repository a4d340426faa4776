"""Counts an access log by the contract of `prefill import access-log`, apart from prefill.

Usage: count_log.py LOG.gz ZONE...   Prints JSON: zone -> local day -> what a dashboard would show.

A page view is a GET with a status from 200 to 399 whose path, without query and fragment, has a
last segment without an asset's extension, in any case. A person is address and user agent; a
session is one person's page views in order of time, then line, cut where a gap is longer than 30
minutes or 24 hours have passed since its start. A session belongs to the local day on which it
starts; a bounce is one with a single page view (which lasts no time).
"""

import gzip
import json
import re
import sys
from collections import Counter, defaultdict
from datetime import datetime
from zoneinfo import ZoneInfo

ASSETS = set(
    "avif avi bmp css eot gif gz ico jpeg jpg js json map mjs mov mp3 mp4 mpeg mpg ogg otf pdf png rss svg tar tgz"
    " ttf txt wasm wav webm webp woff woff2 xbm xml zip".split()
)
# A quoted field may hold quotes behind a backslash.
QUOTED = r'"((?:[^"\\]|\\.)*)"'
LINE = re.compile(rf'(\S+) \S+ .*? ?\[([^\]]+)\] {QUOTED} (\d+|-) \S+ {QUOTED} {QUOTED}')


def page_view(line):
    """(time, person, path) of a line, or None."""
    match = LINE.match(line)
    if not match:
        # One line of ten thousand was cut off in the middle of its agent: no line of a log.
        print(f"left out: {line!r}", file=sys.stderr)
        return None
    address, time, request, status, _referrer, agent = match.groups()
    method, _, rest = request.partition(" ")
    if method != "GET" or not 200 <= int(status) <= 399:
        return None
    target = re.sub(r" HTTP/\S*$", "", rest)
    target = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", "", target)
    path = re.split(r"[?#]", target)[0]
    _, dot, extension = path.rsplit("/", 1)[-1].rpartition(".")
    if dot and extension.lower() in ASSETS:
        return None
    seconds = int(datetime.strptime(time, "%d/%b/%Y:%H:%M:%S %z").timestamp())
    return seconds, (address, agent), path


def sessions(views):
    """Lists of (seconds, path), each with its person."""
    by_person = defaultdict(list)
    for number, (seconds, person, path) in enumerate(views):
        by_person[person].append((seconds, number, path))
    for person, rows in by_person.items():
        session = []
        for seconds, _, path in sorted(rows):
            if session and (seconds - session[-1][0] > 1800 or seconds - session[0][0] >= 86400):
                yield person, session
                session = []
            session.append((seconds, path))
        yield person, session


def main(log, zones):
    with gzip.open(log, "rt", encoding="utf-8", errors="surrogateescape") as lines:
        views = [view for view in map(page_view, (line.rstrip("\n") for line in lines)) if view]
    cut = list(sessions(views))
    answer = {}
    for zone in zones:
        days = defaultdict(lambda: {"persons": set(), "page_views": 0, "sessions": 0, "bounces": 0, "duration": 0, "paths": Counter()})
        for person, session in cut:
            first, last = session[0][0], session[-1][0]
            day = days[datetime.fromtimestamp(first, ZoneInfo(zone)).date().isoformat()]
            day["persons"].add(person)
            day["page_views"] += len(session)
            day["sessions"] += 1
            day["bounces"] += len(session) == 1 and last - first < 10
            day["duration"] += last - first
            day["paths"].update(path for _, path in session)
        answer[zone] = {
            name: {
                "visitors": len(day["persons"]),
                "page_views": day["page_views"],
                "sessions": day["sessions"],
                "bounces": day["bounces"],
                "duration": day["duration"],
                # The most viewed; of equals the first by name.
                "paths": sorted(day["paths"].items(), key=lambda path: (-path[1], path[0].encode("utf-8", "surrogateescape")))[:10],
            }
            for name, day in sorted(days.items())
        }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
