"""``report.html``: a solid's report for people, in one file that asks nobody for anything."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

STYLE = """
:root { color-scheme: light dark; } body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: .6rem 0 1.6rem; width: 100%; } th, td { padding: .22rem .6rem; text-align: left; }
th, td { vertical-align: top; white-space: nowrap; } td:last-child, th:last-child { white-space: normal; min-width: 12rem; }
th { border-bottom: 2px solid #8888; } td { border-bottom: 1px solid #8884; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; background: #fff; } .no { color: #c2410c; font-weight: 600; } .yes { color: #15803d; font-weight: 600; }
.wide { overflow-x: auto; } small { opacity: .75; }
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
Cell = str | tuple[str]
"""Text of a cell, which is escaped; in a tuple: a number, to the right."""


def report_page(report: dict[str, Any], title: str, picture: Path | None) -> str:
    """The page as text, written to no file.

    Args:
        report: From :func:`recon.solid.report.report`.
        title: Foreign text is welcome.
        picture: A .png that is put into it.
    """
    image = ""
    if picture is not None:
        data = base64.b64encode(picture.read_bytes()).decode("ascii")
        image = f'<img alt="solid, photograph and deviation" src="data:image/png;base64,{data}">'
    solid = report["status"] == "solid"
    state = '<span class="yes">a valid closed solid</span>' if solid else '<span class="no">not a solid: an open shell, partial</span>'
    checks, near = report["checks"]["reread"], report["deviation_of_mesh"]
    facts = [
        ("file", f"{report['step']} (STEP AP242, millimetres), {report['brep']}"),
        ("faces", f"{checks['faces']} of {report['faces_given']}"),
        ("largest tolerance", f"{_n(report['checks']['memory']['tolerance'])} mm"),
        ("volume", "none: it is open" if not checks["closed"] else f"{checks['volume']:.6g} mm³"),
        ("volume against the mesh", _percent(report["volume_error_of_mesh"])),
        ("noise of the surface (standard deviation)", f"{_n(report['sigma'])} mm"),
        ("free-form or forced, share of the area", _percent(report["freeform_or_forced_share"], sign="")),
        ("seen by no photograph, share of the area", _percent(report["unseen_share"], sign="")),
    ]
    if near is not None:
        facts.append(
            ("mesh from the solid", f"mean {near['mean']:+.3g} mm, 95 % within {near['q95']:.3g} mm, largest {near['largest']:.3g} mm")
        )
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title><style>{STYLE}</style></head><body>',
            f"<h1>{escape(title)}</h1><p>{state}</p>",
            *([f"<ul>{''.join(f'<li>{escape(r)}</li>' for r in report['reasons'])}</ul>"] if report["reasons"] else []),
            image,
            _table(("", ""), [(k, v) for k, v in facts if v != "–"]),
            "<h2>Faces</h2><p><small>± is one standard deviation, from the residuals and the number of independent samples; a bias of the"
            " surface is not in it. A round number is a suggestion: nothing was changed. The chance is the share of all numbers that would"
            " lie as near to a round one.</small></p>",
            _faces(report["faces"]),
            "<h2>Distances between parallel planes</h2>",
            _distances(report["distances"]),
            *(["<h2>Angles</h2>", _angles(report["angles_deg"])] if report["angles_deg"] else []),
            "<h2>Constraints</h2>",
            _constraints(report["constraints"]),
            *(["<h2>Holes</h2>", _holes(report["holes"])] if report["holes"] else []),
            "</body></html>",
        ]
    )


def _faces(faces: Sequence[dict[str, Any]]) -> str:
    head = ("face", "kind", "size, mm", "round", "chance", "axis or normal", "± axis", "area, mm²", "rms, mm", "deviation, mm")
    head = (*head, "photographs", "relations")
    rows = []
    for f in faces:
        sizes, rounds, chances = _sizes(f)
        kind = f["kind"] + (" (hollow)" if f["hollow"] else "") + (", forced" if f["forced"] else "")
        axis = " ".join(f"{round(x, 4) + 0.0:.4f}" for x in f["axis"]) if any(f["axis"]) else ""
        tilt = "" if f["sigma_axis_deg"] is None else f"{f['sigma_axis_deg']:.2g}°"
        seen = "" if f["photographs"] is None else ("none: not measured" if f["photographs"] < 1 else f"{f['photographs']:.0f}")
        away = "" if f["deviation_mean"] is None else f"{f['deviation_mean']:+.3g}, 95 % {f['deviation_q95']:.2g}"
        rows.append(((str(f["region"]),), kind, sizes, rounds, chances, axis, (tilt,), (f"{f['area']:.5g}",), (_n(f["rms"]),), away,
                     seen, "; ".join(f["constraints"])))  # fmt: skip
    return _table(head, rows)


def _sizes(face: dict[str, Any]) -> tuple[str, str, str]:
    if face["kind"] == "plane":
        return f"± {_n(face['sigma_offset'])} along its normal", "", ""
    names = {"radius": "R", "tube_radius": "r", "half_angle_deg": "half angle"}
    shown = [f"{names[k]} {_measured(v, '°' if k == 'half_angle_deg' else '')}" for k, v in face["sizes"].items()]
    rounds = [(f"{names[k]} {v['suggestion']['value']:.6g}", _percent(v["suggestion"]["chance"], sign=""))
              for k, v in face["sizes"].items() if v["suggestion"] is not None]  # fmt: skip
    return ", ".join(shown), ", ".join(r for r, _ in rounds), ", ".join(c for _, c in rounds)


def _measured(value: dict[str, Any], unit: str = "") -> str:
    sigma = "" if value.get("sigma") is None else f" ± {_n(value['sigma'])}"
    return f"{value['measured']:.4f}{sigma}{unit}"


def _distances(distances: Sequence[dict[str, Any]]) -> str:
    rows = []
    for d in distances:
        found = d["suggestion"]
        rounds = ("", "") if found is None else (f"{found['value']:.6g}", _percent(found["chance"], sign=""))
        rows.append((f"{d['regions'][0]} and {d['regions'][1]}", (_measured(d),), (rounds[0],), (rounds[1],)))
    return _table(("faces", "distance, mm", "round", "chance"), rows) if rows else "<p>There are none.</p>"


def _angles(angles: Sequence[dict[str, Any]]) -> str:
    return _table(("faces that touch", "angle"), [(f"{a['regions'][0]} and {a['regions'][1]}", (f"{a['measured']:.3f}°",)) for a in angles])


def _constraints(constraints: Sequence[dict[str, Any]]) -> str:
    rows = [(c["kind"].replace("_", " "), ", ".join(map(str, c["regions"])), (f"{c['residual']:.3g} {c['unit']}",),
             "kept" if c["kept"] else "dropped", c["reason"]) for c in constraints]  # fmt: skip
    return _table(("relation", "faces", "before", "", "why"), rows) if rows else "<p>There are none.</p>"


def _holes(holes: Sequence[dict[str, Any]]) -> str:
    rows = [(" ".join(f"{x:.4g}" for x in h["center"]), (f"{h['length']:.4g}",), h["reason"]) for h in holes]
    return _table(("about, mm", "length, mm", "why"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    top = f"<tr>{''.join(f'<th>{escape(h)}</th>' for h in head)}</tr>" if any(head) else ""
    body = "".join(f"<tr>{''.join(_cell(c) for c in row)}</tr>" for row in rows)
    return f'<div class="wide"><table>{top}{body}</table></div>'


def _cell(cell: Cell) -> str:
    return f'<td class="n">{escape(cell[0])}</td>' if isinstance(cell, tuple) else f"<td>{escape(cell)}</td>"


def _n(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"


def _percent(share: float | None, sign: str = "+") -> str:
    return "–" if share is None else f"{100 * share:{sign}.3g} %"
