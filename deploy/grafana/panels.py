"""The dashboards, panel by panel. ``generate.py`` makes Grafana's JSON of them.

A panel is a title, its unit, and queries with what their series are called. A panel that is empty
in a healthy run says ``or vector(0)``: an empty panel has to mean that something is broken.
"""

from typing import NamedTuple

QUANTILE = "histogram_quantile({q}, sum by ({by}) (rate({name}_bucket[$__rate_interval])))"


class Query(NamedTuple):
    """A query, and the name of its series in the legend."""

    expr: str
    legend: str = ""


class Panel(NamedTuple):
    """A graph over time, or a single figure where ``stat`` is set."""

    title: str
    unit: str
    queries: list[Query]
    stat: bool = False
    red_above: float | None = None


class Dashboard(NamedTuple):
    """Panels in the order in which they are read."""

    uid: str
    title: str
    panels: list[Panel]


def graph(title: str, unit: str, *queries: tuple[str, str]) -> Panel:
    """Return a graph."""
    return Panel(title, unit, [Query(*query) for query in queries])


def stat(title: str, unit: str, expr: str, legend: str = "", red: float | None = None) -> Panel:
    """Return a figure; from ``red`` on it is shown in red."""
    return Panel(title, unit, [Query(expr, legend)], stat=True, red_above=red)


def rate(name: str, by: str = "") -> str:
    """Return the rate of a counter, summed, or summed by labels."""
    return f"sum{f' by ({by})' if by else ''} (rate({name}[$__rate_interval]))"


def quantiles(name: str, *wanted: float) -> list[tuple[str, str]]:
    """Return quantiles of a histogram, as queries with legends."""
    return [(QUANTILE.format(q=q, by="le", name=name), f"p{round(q * 100)}") for q in wanted]


def over_zero(query: str) -> str:
    """Return a query that is 0 where nothing has happened yet."""
    return f"{query} or vector(0)"


OVERVIEW = Dashboard(
    "hub-audit-overview",
    "Hub Audit: overview and objectives",
    [
        stat("Records a second", "ops", rate("hub_audit_records_total")),
        stat(
            "Late in the last hour (1 % allowed)",
            "percentunit",
            "hub_audit:late_ratio:rate1h",
            red=0.01,
        ),
        stat(
            "Budget of lateness left, 3 days",
            "percentunit",
            "1 - hub_audit:late_ratio:rate3d / 0.01",
        ),
        stat(
            "Failed requests, last hour (0.1 % allowed)",
            "percentunit",
            "hub_audit:read_failed_ratio:rate1h",
            red=0.001,
        ),
        stat(
            "Slow requests, last hour (1 % allowed)",
            "percentunit",
            "hub_audit:read_slow_ratio:rate1h",
            red=0.01,
        ),
        stat("Lanes that flow", "none", 'sum(hub_audit_lanes{lane_state="flowing"})'),
        stat("Lag", "s", "max(hub_audit_lag_seconds)", red=60),
        stat(
            "Dead letters that wait",
            "none",
            "sum(max by (reason) (hub_audit_waiting_dead_letter_records))",
        ),
        stat(
            "Partitions whose books are off", "none", "max(hub_audit_unbalanced_partitions)", red=1
        ),
        stat("Processes up", "none", 'sum by (job) (up{job=~"hub-audit-.*"})', "{{job}}"),
        graph(
            "Bus to canonical topic",
            "s",
            *quantiles("hub_audit_end_to_end_seconds", 0.5, 0.95, 0.99),
        ),
        graph(
            "Burn of the budget of lateness (1 = used up within the month)",
            "none",
            ("hub_audit:late_ratio:rate5m / 0.01", "5 m"),
            ("hub_audit:late_ratio:rate1h / 0.01", "1 h"),
            ("hub_audit:late_ratio:rate6h / 0.01", "6 h"),
        ),
        graph(
            "Requests that fail, and that are slow",
            "percentunit",
            ("hub_audit:read_failed_ratio:rate5m", "failed"),
            ("hub_audit:read_slow_ratio:rate5m", "slow"),
        ),
        graph(
            "Lanes, by what they do",
            "none",
            ("sum by (lane_state) (hub_audit_lanes)", "{{lane_state}}"),
        ),
        graph(
            "Alerts that fire",
            "none",
            (
                over_zero(
                    'count by (alertname) (ALERTS{alertname=~"HubAudit.*", alertstate="firing"})'
                ),
                "{{alertname}}",
            ),
        ),
        graph(
            "What runs",
            "none",
            ("sum by (job, version) (hub_audit_build_info)", "{{job}} {{version}}"),
        ),
    ],
)

PIPELINE = Dashboard(
    "hub-audit-pipeline",
    "Hub Audit: pipeline",
    [
        graph("Records by topic", "ops", (rate("hub_audit_records_total", "topic"), "{{topic}}")),
        graph(
            "How records end",
            "ops",
            (rate("hub_audit_entries_total"), "entries"),
            (rate("hub_audit_duplicates_total"), "duplicates"),
            (over_zero(rate("hub_audit_discards_total")), "discards"),
            (over_zero(rate("hub_audit_dead_letters_total")), "dead letters"),
        ),
        graph(
            "Entries by category",
            "ops",
            (rate("hub_audit_entries_total", "category"), "{{category}}"),
        ),
        graph(
            "Discards by rule",
            "ops",
            (over_zero(rate("hub_audit_discards_total", "rule")), "{{rule}}"),
        ),
        graph(
            "Dead letters by reason",
            "ops",
            (
                over_zero(rate("hub_audit_dead_letters_total", "stage, reason")),
                "{{stage}} {{reason}}",
            ),
        ),
        graph("Lag", "none", ("sum by (lane) (hub_audit_lag_records)", "lane {{lane}}")),
        graph(
            "Age of the last stored record while more wait",
            "s",
            ("max by (lane) (hub_audit_lag_seconds)", "lane {{lane}}"),
        ),
        graph(
            "Time since a batch was finished",
            "s",
            ("time() - max by (lane) (hub_audit_last_progress_timestamp_seconds)", "lane {{lane}}"),
        ),
        graph(
            "Time of a batch by stage, p95",
            "s",
            (QUANTILE.format(q=0.95, by="le, stage", name="hub_audit_stage_seconds"), "{{stage}}"),
        ),
        graph(
            "Share of time by stage",
            "percentunit",
            (rate("hub_audit_stage_seconds_sum", "stage"), "{{stage}}"),
        ),
        graph("Records in a batch", "none", *quantiles("hub_audit_batch_records", 0.5, 0.99)),
        graph(
            "Batches by how they ended",
            "ops",
            (rate("hub_audit_transactions_total", "result"), "{{result}}"),
        ),
        graph(
            "Lanes taken over again",
            "ops",
            (rate("hub_audit_lane_resets_total", "cause"), "{{cause}}"),
        ),
        graph("Take-overs", "s", *quantiles("hub_audit_take_over_seconds", 0.5, 0.99)),
        graph(
            "Rebalances, and batches settled",
            "ops",
            (rate("hub_audit_rebalances_total"), "rebalances"),
            (
                over_zero(rate("hub_audit_settled_batches_total", "redelivery")),
                "settled, redelivery {{redelivery}}",
            ),
        ),
        graph(
            "Lanes held, of those there are",
            "none",
            ("sum by (instance) (hub_audit_lanes_held)", "{{instance}}"),
            ("max(hub_audit_lanes_configured)", "there are"),
        ),
        graph(
            "When it happened to when the bus had it",
            "s",
            *quantiles("hub_audit_recorded_after_occurred_seconds", 0.5, 0.99),
        ),
        graph(
            "By another lane than their key's; forgotten by the bus",
            "ops",
            (rate("hub_audit_strays_total"), "strays"),
            (rate("hub_audit_source_gap_offsets_total"), "forgotten offsets"),
            ("max(hub_audit_recently_lost_offsets)", "forgotten offsets, last hour"),
        ),
        graph(
            "Processor",
            "none",
            (
                "sum by (job, instance) (rate(process_cpu_seconds_total[$__rate_interval]))",
                "{{job}} {{instance}}",
            ),
        ),
        graph(
            "Resident memory",
            "bytes",
            ("sum by (job, instance) (process_resident_memory_bytes)", "{{job}} {{instance}}"),
        ),
        graph(
            "Lateness of the event loop",
            "s",
            ("max by (job, instance) (hub_audit_loop_lag_seconds)", "{{job}} {{instance}}"),
        ),
    ],
)

STORE = Dashboard(
    "hub-audit-store",
    "Hub Audit: Postgres and retention",
    [
        stat("Days ahead", "none", "min by (table) (hub_audit_days_ahead)", "{{table}}"),
        stat("Age of the oldest day", "s", "time() - min(hub_audit_oldest_day_timestamp_seconds)"),
        stat("Kept, as it is set", "s", "max(hub_audit_retention_seconds)"),
        stat(
            "Since the last round of maintenance",
            "s",
            "time() - max(hub_audit_maintained_timestamp_seconds)",
            red=3600,
        ),
        stat(
            "Records by which the books are off", "none", "max(hub_audit_unbalanced_records)", red=1
        ),
        stat("Days that could not be sealed", "none", "max(hub_audit_unsealed_partitions)", red=1),
        graph(
            "Storing a batch",
            "s",
            (
                QUANTILE.format(q=0.5, by="le", name="hub_audit_stage_seconds").replace(
                    "_bucket[", '_bucket{stage="store"}['
                ),
                "p50",
            ),
            (
                QUANTILE.format(q=0.99, by="le", name="hub_audit_stage_seconds").replace(
                    "_bucket[", '_bucket{stage="store"}['
                ),
                "p99",
            ),
        ),
        graph(
            "Connections",
            "none",
            (
                "sum by (job, connection_state) (hub_audit_database_connections)",
                "{{job}} {{connection_state}}",
            ),
        ),
        graph("Entries sealed", "ops", (rate("hub_audit_sealed_entries_total"), "entries")),
        graph(
            "Time spent on sealing",
            "percentunit",
            (rate("hub_audit_sealing_seconds_total"), "sealing"),
        ),
        graph(
            "Days dropped by retention",
            "none",
            (over_zero("sum by (table) (increase(hub_audit_purged_days_total[1d]))"), "{{table}}"),
        ),
        graph(
            "Rows dropped by retention",
            "none",
            (over_zero("sum by (table) (increase(hub_audit_purged_rows_total[1d]))"), "{{table}}"),
        ),
        graph(
            "Waiting to be dropped, to be announced",
            "none",
            ("max(hub_audit_overdue_partitions)", "days"),
            ("max(hub_audit_unannounced_purges)", "purges not announced"),
        ),
        graph(
            "Dead letters that wait, by reason",
            "none",
            (
                "max by (reason) (hub_audit_waiting_dead_letter_records > 0) or vector(0)",
                "{{reason}}",
            ),
        ),
    ],
)

SUBSCRIBERS = Dashboard(
    "hub-audit-subscribers",
    "Hub Audit: subscriptions and Defend",
    [
        graph(
            "Subscriptions by state",
            "none",
            ("max by (subscription_state) (hub_audit_subscriptions)", "{{subscription_state}}"),
        ),
        graph("Records sent to SIEMs", "ops", (rate("hub_audit_forwarded_records_total"), "sent")),
        graph(
            "Entries that the subscription furthest behind lacks",
            "none",
            ("max by (shard) (hub_audit_forward_lag_entries)", "shard {{shard}}"),
        ),
        graph(
            "Time since a shard had nothing left to send",
            "s",
            (
                "time() - max by (shard) (hub_audit_forward_level_timestamp_seconds)",
                "shard {{shard}}",
            ),
        ),
        graph("Shards held", "none", ("sum by (instance) (hub_audit_shards_held)", "{{instance}}")),
        graph(
            "Time since leases were renewed",
            "s",
            (
                "time() - max by (instance) (hub_audit_leases_renewed_timestamp_seconds)",
                "{{instance}}",
            ),
        ),
        graph(
            "Events that Defend looked at",
            "ops",
            (over_zero(rate("hub_audit_defend_events_total", "source")), "{{source}}"),
            (rate("hub_audit_defend_strays_total"), "alerts on another's partition"),
        ),
        graph(
            "Findings by rule",
            "ops",
            (over_zero(rate("hub_audit_defend_findings_total", "detection")), "{{detection}}"),
        ),
        graph(
            "Findings put on their topic, and hours loaded to judge",
            "ops",
            (rate("hub_audit_defend_published_total"), "findings"),
            (rate("hub_audit_defend_hours_loaded_total"), "hours"),
        ),
        graph(
            "Events that told Defend nothing",
            "ops",
            (
                over_zero(rate("hub_audit_defend_unused_total", "source, unused")),
                "{{source}} {{unused}}",
            ),
        ),
        graph(
            "Bus to what Defend makes of it",
            "s",
            *quantiles("hub_audit_defend_latency_seconds", 0.5, 0.99),
        ),
        graph(
            "Defend's lag",
            "none",
            ("sum(hub_audit_defend_lag_records)", "records"),
            ("max(hub_audit_defend_unpublished_findings)", "findings that their topic lacks"),
        ),
        graph(
            "Time since Defend had nothing left to look at",
            "s",
            ("time() - min(hub_audit_defend_level_timestamp_seconds)", "Defend"),
        ),
    ],
)

OURS = 'route!~"/livez|/readyz|/metrics"'
API = Dashboard(
    "hub-audit-api",
    "Hub Audit: API and exports",
    [
        graph(
            "Requests by route",
            "reqps",
            (rate(f"hub_audit_request_seconds_count{{{OURS}}}", "route"), "{{route}}"),
        ),
        graph(
            "Requests by status",
            "reqps",
            (rate(f"hub_audit_request_seconds_count{{{OURS}}}", "status"), "{{status}}"),
        ),
        graph(
            "Failed by our fault",
            "reqps",
            (
                over_zero(
                    rate(
                        f'hub_audit_request_seconds_count{{status=~"5..", {OURS}}}', "route, status"
                    )
                ),
                "{{route}} {{status}}",
            ),
        ),
        graph(
            "Turned away: not logged in, not allowed, too many",
            "reqps",
            (
                over_zero(rate('hub_audit_request_seconds_count{status=~"401|403|429"}', "status")),
                "{{status}}",
            ),
        ),
        graph(
            "Time until the answer begins",
            "s",
            *quantiles("hub_audit_request_seconds", 0.5, 0.95, 0.99),
        ),
        graph(
            "The same by route, p95",
            "s",
            (
                QUANTILE.format(q=0.95, by="le, route", name="hub_audit_request_seconds"),
                "{{route}}",
            ),
        ),
        graph(
            "Requests in flight",
            "none",
            ("sum by (instance) (hub_audit_requests_in_flight)", "{{instance}}"),
        ),
        graph(
            "Exports begun, and cut off; live tails cut off",
            "ops",
            (over_zero(rate("hub_audit_exports_total", "form")), "{{form}} begun"),
            (over_zero(rate("hub_audit_exports_cut_off_total", "form")), "{{form}} cut off"),
            (over_zero(rate("hub_audit_tails_cut_off_total")), "tails cut off"),
        ),
        graph("Issuer asked in vain for", "s", ("max(hub_audit_issuer_away_seconds)", "away")),
        graph("Exports being made", "none", ("sum(hub_audit_exports_running)", "running")),
        graph(
            "Rows exported",
            "ops",
            (over_zero(rate("hub_audit_exported_rows_total", "form")), "{{form}}"),
        ),
        graph(
            "Bytes exported",
            "Bps",
            (over_zero(rate("hub_audit_exported_bytes_total", "form")), "{{form}}"),
        ),
    ],
)

DASHBOARDS = [OVERVIEW, PIPELINE, STORE, SUBSCRIBERS, API]
