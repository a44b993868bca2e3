"""Tables as text: within 100 columns, whatever stands in them, and no number in two pieces."""

import numpy as np
import pytest

from distilclip_eeg.report.columns import WIDTH, aligned


def test_a_table_that_fits_is_one_between_rules_with_a_blank_line_where_the_first_word_changes():
    body = [["window", "a", "1.0 ± 0.1"], ["window", "b", "10.0"], ["subject", "a", "undefined"]]
    assert aligned(["protocol", "model", "F1 %"], body, 2).splitlines() == [
        "--------------------------",
        "protocol  model       F1 %",
        "--------------------------",
        "window    a      1.0 ± 0.1",
        "window    b           10.0",
        "",
        "subject   a      undefined",
        "--------------------------",
    ]


def test_one_that_is_too_wide_becomes_several_with_the_words_in_each():
    text = aligned(["model", "A", "B", "C"], [["m", "1.00 ± 0.10", "2.00 ± 0.20", "3.00"]], 1, width=32)
    assert text.split("\n\n") == [
        "-------------------------------\n"
        "model            A            B\n"
        "-------------------------------\n"
        "m      1.00 ± 0.10  2.00 ± 0.20\n"
        "-------------------------------",
        "-----------\nmodel     C\n-----------\nm      3.00\n-----------",
    ]


def test_a_head_is_broken_between_words_before_a_table_is_told_in_two():
    text = aligned(["model", "false alarms in 24 h"], [["m", "1.5"]], 1, width=20)
    assert text.splitlines() == [
        "-------------", "        false", "       alarms", "        in 24", "model       h", "-------------",
        "m         1.5", "-------------",
    ]  # fmt: skip


def test_a_name_too_long_for_the_page_is_broken_and_the_number_beside_it_is_not():
    text = aligned(["model", "F1 %"], [["one name that is too long", "1.5 ± 3"]], 1, width=20)
    assert text.splitlines() == [
        "--------------------", "model           F1 %", "--------------------", "one name     1.5 ± 3",
        "that is too", "long", "--------------------",
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_in_it_no_line_is_wider_and_every_number_stands_whole(seed):
    rng = np.random.default_rng(seed)
    n_words, n_numbers, n_rows = int(rng.integers(1, 4)), int(rng.integers(1, 16)), int(rng.integers(1, 6))
    words = lambda: " ".join("x" * rng.integers(1, 30) for _ in range(rng.integers(1, 4)))  # noqa: E731
    number = lambda: f"{rng.normal(50, 40):.1f} ± {rng.gamma(2, 5):.2f} [{rng.integers(9)}, 100.0]"  # noqa: E731
    body = [
        [*(words() for _ in range(n_words)), *(number() for _ in range(n_numbers))] for _ in range(n_rows)
    ]
    head = [*(words()[:20] for _ in range(n_words)), *(f"measure {k} %" for k in range(n_numbers))]
    text = aligned(head, body, n_words)
    assert max(map(len, text.splitlines())) <= WIDTH == 100
    for row in body:
        for cell in row[n_words:]:
            assert any(cell in line for line in text.splitlines()), cell
        for cell in row[:n_words]:
            for letter in set(cell) - {" "}:
                assert text.count(letter) >= cell.count(letter)


def test_marks_of_rich_are_text():
    assert "[red]1[/red]" in aligned(["model", "n"], [["[bold]m", "[red]1[/red]"]], 1)
    assert "[bold]m" in aligned(["model", "n"], [["[bold]m", "1"]], 1)
