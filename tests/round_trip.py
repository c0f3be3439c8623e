"""Reads expositions with Prometheus' own Python library, and tells what it found.

In: on standard input, for each page a line `FORMAT BYTES` (FORMAT is `text` or `openmetrics`) and then so many bytes.
Out: for each page one line of JSON: a list of [name, labels, value as text], or {"error": why}.
"""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

PARSERS = {"text": text, "openmetrics": openmetrics}

for header in iter(sys.stdin.buffer.readline, b""):
    name, length = header.split()
    page = sys.stdin.buffer.read(int(length)).decode("utf-8", "strict")
    try:
        families = PARSERS[name.decode()](page)
        found = [[sample.name, sample.labels, repr(float(sample.value))] for family in families for sample in family.samples]
    except Exception as error:  # What it does not like is told to the test, whatever it is.
        found = {"error": f"{type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
