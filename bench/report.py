"""The results as a table, as JSON and as a picture."""

import html
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.measuring import Results, Series, held_against

HERE = Path(__file__).parent
PARTS = ("server", "postgresql", "redis", "client")
COLORS = {"server": "#3b6ea5", "postgresql": "#7a9e52", "redis": "#c0584f", "client": "#b8b8b8"}
WIDTH, ROW = 560, 26


def machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def table(results: Results) -> Iterator[str]:
    for group, series in results.items():
        yield f"\n{group}"
        yield (
            f"  {'':24}{'requests/s':>24}{'p50':>8}{'p95':>8}{'p99':>8}   CPU µs a request (all but client: spread)"
        )
        for name, each in series.items():
            latency = "".join(f"{each.latency(which):8.1f}" for which in ("p50", "p95", "p99"))
            parts = ", ".join(
                f"{part} {each.microseconds[part]:.0f}" for part in PARTS if part in each.microseconds
            )
            yield (
                f"  {name:24}{each.rate:>.1f}".ljust(50)
                + f"{latency}   {parts}: {each.total_microseconds:.0f}"
            )
        for (name, reference), ratio in held_against(series).items():
            yield f"  {name} / {reference}: {ratio:.2f}"


def as_json(results: Results, facts: dict[str, Any]) -> dict[str, Any]:
    return {
        **facts,
        "groups": {
            group: {
                "scenarios": {name: _scenario(each) for name, each in series.items()},
                "ratios": [
                    {"of": name, "to": reference, **asdict(ratio)}
                    for (name, reference), ratio in held_against(series).items()
                ],
            }
            for group, series in results.items()
        },
    }


def _scenario(series: Series) -> dict[str, Any]:
    return {
        "requests_a_second": asdict(series.rate),
        "milliseconds": {name: series.latency(name) for name in ("p50", "p95", "p99")},
        "cpu_microseconds": series.microseconds,
        "cpu_microseconds_without_client": asdict(series.total_microseconds),
        "requests": sum(run.load.requests for run in series.runs),
    }


def write(results: Results, facts: dict[str, Any]) -> list[Path]:
    data, picture = HERE / "results.json", HERE / "report.html"
    data.write_text(json.dumps(as_json(results, facts), indent=2) + "\n")
    picture.write_text(page(results, facts))
    return [data, picture]


def page(results: Results, facts: dict[str, Any]) -> str:
    parts = "".join(_section(group, series) for group, series in results.items())
    about = html.escape(
        ", ".join(f"{name} {value}" for name, value in facts.items() if not isinstance(value, dict))
    )
    legend = " ".join(f'<b style="color:{color}">■</b> {name}' for name, color in COLORS.items())
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Benchmark</title>'
        "<style>body{font:14px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "td,th{padding:.1rem 1rem .1rem 0;text-align:left}svg{display:block;max-width:100%}</style>"
        f"<h1>Benchmark</h1><p>{about}</p><p>{legend}</p>{parts}</html>\n"
    )


def _section(group: str, series: dict[str, Series]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(name)} / {html.escape(reference)}</td><td>{ratio:.2f}</td></tr>"
        for (name, reference), ratio in held_against(series).items()
    )
    rates = [(name, [("server", each.rate.median)], f"{each.rate:.0f}") for name, each in series.items()]
    costs = [
        (
            name,
            [(part, each.microseconds[part]) for part in PARTS if part in each.microseconds],
            f"{each.total_microseconds:.0f} + client",
        )
        for name, each in series.items()
    ]
    return (
        f"<h2>{html.escape(group)}</h2>"
        f"<h3>Requests a second</h3>{_bars(rates)}<h3>CPU microseconds a request</h3>{_bars(costs)}"
        f"<table><tr><th>Ratio</th><th>median (lowest–highest)</th></tr>{rows}</table>"
    )


def _bars(bars: list[tuple[str, list[tuple[str, float]], str]]) -> str:
    longest = max(sum(value for _, value in parts) for _, parts, _ in bars) or 1
    lines = []
    for number, (name, parts, label) in enumerate(bars):
        top, left = number * ROW, 180.0
        lines.append(f'<text x="0" y="{top + 15}" font-size="12">{html.escape(name)}</text>')
        for part, value in parts:
            width = WIDTH * value / longest
            lines.append(
                f'<rect x="{left:.1f}" y="{top + 3}" width="{width:.1f}" height="16" fill="{COLORS[part]}"/>'
            )
            left += width
        lines.append(f'<text x="{left + 6:.1f}" y="{top + 15}" font-size="12">{html.escape(label)}</text>')
    width, height = 180 + WIDTH + 190, len(bars) * ROW
    return f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">{"".join(lines)}</svg>'
