#!/usr/bin/env python3
"""Writes user_agents.json from the regexes.yaml of https://github.com/ua-parser/uap-core.

Usage: user_agents.py regexes.yaml > user_agents.json   (needs PyYAML)

Of the device rules only those for robots are kept: prefill stores no device models. One rule a
line, so that an update is a readable diff.
"""

import json
import sys
import yaml

rules = yaml.safe_load(open(sys.argv[1], encoding="utf-8"))
rules["device_parsers"] = [
    rule for rule in rules["device_parsers"] if rule.get("device_replacement") == "Spider"
]
lists = []
for name in ("user_agent_parsers", "os_parsers", "device_parsers"):
    lines = ",\n".join(json.dumps(rule, ensure_ascii=False) for rule in rules[name])
    lists.append(f'"{name}": [\n{lines}\n]')
print("{")
print(
    '"_source": "ua-parser/uap-core 0.18.0 as in crate ua-parser 0.2.2, '
    'Copyright 2009 Google Inc., Apache License 2.0; reduced by user_agents.py",'
)
print(",\n".join(lists))
print("}")
