"""docs/doctor.md says of everything that is looked at what is asked."""

from pathlib import Path

from waiaas.doctor.finding import Subject

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"


def test_every_subject_has_its_line_in_the_order_in_which_it_is_told() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert [row.split(" | ")[0].strip("| ") for row in rows[2:]] == [str(each) for each in Subject]
