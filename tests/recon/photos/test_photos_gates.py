"""Gates on made-up reconstructions: each wrong one is refused by the cause it has, and a good one by none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recon.photos.gates import judge
from recon.photos.placing import without_weak
from recon.photos.report import left_out_reasons
from recon.photos.tries import Attempt, Settings
from tests.recon.photos.made_up import SIZE, ball, group, photos, seen_from, usual_facts, usual_model
from tests.recon.photos.studio import around


def codes(findings) -> dict[str, bool]:
    return {finding.code: finding.refuses for finding in findings}


def judged(models, n=12, facts=None, focal=None, trusted=False):
    members = photos(n)
    facts = facts or usual_facts([p.work for p in members])
    return judge(models, facts, members, [group(members, focal, trusted)])


def test_a_good_reconstruction_has_no_findings():
    assert judged([usual_model()]) == []
    assert judged([usual_model()], focal=0.95, trusted=True) == []


@pytest.mark.parametrize(
    ("lens", "focal", "code"),
    [
        ((5000.0, 500, 375, 0, 0), None, "lens"),
        ((400.0, 500, 375, 0, 0), None, "lens"),
        ((900.0, 500, 375, 0.5, 0), None, "lens"),
        ((900.0, 500, 375, 0, 0), 1.6, "lens"),
        ((900.0, 500, 375, 0, 0), 0.5, "lens"),
    ],
)
def test_lenses_that_do_not_exist(lens, focal, code):
    model = seen_from(around((0, 0, 0), 5.0, (10, 40), 12, *SIZE, 50.0), ball(200, 1.0), lens)
    assert codes(judged([model], focal=focal, trusted=focal is not None)) == {code: True}


def test_a_long_lens_that_bends_little_is_believed():
    model = seen_from(around((0, 0, 0), 5.0, (10, 40), 12, *SIZE, 50.0), ball(200, 1.0), (3900.0, 500, 375, 0.5, 0))
    assert judged([model]) == []


def test_points_that_miss():
    model = usual_model()
    assert codes(judged([replace(model, errors=np.full(len(model.points), 1.3))])) == {"fit": True}


def test_short_tracks():
    model = usual_model(4)
    two = model.seen_by < 2
    short = replace(model, seen_by=model.seen_by[two], seen=model.seen[two], pixels=model.pixels[two])
    assert codes(judged([short], n=4)) == {"tracks": True}


@pytest.mark.parametrize(("kept", "expected"), [(12, {}), (9, {"some": False}), (5, {"few": True})])
def test_photographs_that_could_not_be_joined(kept, expected):
    model = usual_model().keep(np.arange(12) < kept)
    assert codes(judged([model])) == expected


def test_two_groups_are_named():
    model = usual_model()
    first, second = model.keep(np.arange(12) < 8), model.keep(np.arange(12) >= 8)
    findings = judged([first, second])
    assert findings[0].code == "groups"
    assert findings[0].refuses
    assert "8 (00.jpg, 01.jpg, 02.jpg, ...) and 4 (08.jpg, 09.jpg, 10.jpg, ...)" in findings[0].text
    assert "bridge" in findings[0].advice


def test_a_small_second_model_is_no_second_group():
    model = usual_model()
    assert codes(judged([model.keep(np.arange(12) < 10), model.keep(np.arange(12) >= 10)])) == {}


@pytest.mark.parametrize("models", [[], [usual_model()]])
def test_a_camera_that_stands_still_is_refused_with_and_without_a_model(models):
    members = photos(12)
    findings = judged(models, facts=usual_facts([p.work for p in members], still=0.6))
    assert codes(findings) == {"still": True}
    assert "stands still" in findings[0].text


def test_no_model_says_what_the_photographs_lack():
    members = photos(12)
    facts = usual_facts([p.work for p in members], inliers=0, pairs=0)
    for row in facts["photographs"].values():
        row.update(features=50, partners=0, best=None)
    (finding,) = judged([], facts=facts)
    assert finding.refuses
    assert "0 of 66 pairs match" in finding.text
    assert "12 of 12 photographs have fewer than 200" in finding.text


def test_one_side_only_is_said_and_not_refused():
    model = seen_from(around((0, 0, 0), 50.0, (0, 3), 12, *SIZE, 50.0, turn_deg=4), ball(200, 1.0), (3900.0, 500, 375, 0, 0))
    assert codes(judged([model])) == {"one side": False}


def test_weak_cameras_are_taken_away_with_a_reason():
    model = usual_model()
    model.pixels[model.seen_by == 4] += 30.0
    sparse = ~((model.seen_by == 7) & (model.seen >= 5))
    model = replace(model, seen_by=model.seen_by[sparse], seen=model.seen[sparse], pixels=model.pixels[sparse])
    kept, weak = without_weak(model)
    assert set(weak) == {model.names[4], model.names[7]}
    assert "only 5 points" in weak[model.names[7]]
    assert len(kept.names) == 10
    assert kept.residuals().max() < 1e-9


def test_every_photograph_that_is_left_out_has_its_reason():
    members = photos(6)
    model = usual_model(6).keep(np.array([True, True, True, False, False, False]))
    other = usual_model(6).keep(np.array([False, False, False, True, False, False]))
    facts = usual_facts([p.work for p in members])
    facts["photographs"][members[4].work].update(features=40)
    facts["photographs"][members[5].work].update(inliers=17, best=members[1].work)
    reasons = left_out_reasons(Attempt(Settings(), (model, other), facts, ()), members, {})
    assert set(reasons) == {"03.jpg", "04.jpg", "05.jpg"}
    assert "another group" in reasons["03.jpg"]
    assert "only 40 distinct places" in reasons["04.jpg"]
    assert "01.jpg best, at 17 places" in reasons["05.jpg"]
