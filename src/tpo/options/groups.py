"""The headings under which the help shows options."""

from __future__ import annotations

QUERY, METHOD, MODELS, REWARD, SAMPLING, OUTPUT = "Query", "Method", "Models", "Reward", "Sampling and limits", "Output"
DATA, SPEED, RESUME, CLUSTER, PAIRS = "Data", "Speed", "Resume", "Many machines", "Which answers"
MEASURES, ADDRESS, ACCESS, LOAD, LOGS = "Measures", "Address", "Access", "Load", "Logs and records"
LIMITS, STORE = "Limits", "Stored responses"
