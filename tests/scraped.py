"""Reads Prometheus' text format by its own client's parser: one JSON array of samples, or an error.

Each sample is [name, {label: value}, value, family, type].
"""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

samples = []
for family in text_string_to_metric_families(sys.stdin.read()):
    if not family.documentation:
        sys.exit(f"{family.name} has no help")
    for sample in family.samples:
        samples.append([sample.name, sample.labels, sample.value, family.name, family.type])
json.dump(samples, sys.stdout, allow_nan=False)
