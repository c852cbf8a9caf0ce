"""What is typed into a line is the number a person means, or is refused with what to type."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigtui.tui.typed import name_problem, number, number_problem


@pytest.mark.parametrize(("line", "meant"), [("50000", 50000), (" 50,000 ", 50000), ("50.000", 50000), ("1_048_576", 1048576), ("", None)])
def test_separators_of_thousands_are_left_out(line, meant):
    assert number_problem(line, 1, 1 << 24) is None
    assert number(line) == meant


@pytest.mark.parametrize(("line", "meant"), [("64k", 65536), (" 32K ", 32768), ("1k", 1024), ("128k", 131072)])
def test_a_k_is_1024_as_people_write_a_context(line, meant):
    assert number_problem(line, 1, 1 << 24) is None
    assert number(line) == meant


@pytest.mark.parametrize("line", ["k", "0k", "1.5k", "64kk", "-64k", "64 k", "99999k"])
def test_what_only_looks_like_so_many_k_is_refused(line):
    assert number_problem(line, 1, 1 << 24, "a number of tokens").startswith("type a number of tokens from 1")


@pytest.mark.parametrize("line", ["many", "0", "-5", "3.5", "1,5", "1e6", "٣", "99999999999", "16,777,217", "1,000,000,000"])
def test_what_is_no_such_number_is_refused_with_the_range(line):
    said = number_problem(line, 1, 1 << 24, "a number of tokens")
    assert said == "type a number of tokens from 1 to 16,777,216, or nothing to let rigtui decide"


@given(st.text(max_size=14))
def test_whatever_passes_is_in_the_range(line):
    if number_problem(line, 32, 65536) is None:
        assert (number(line) is None) == (not line.strip())
        assert 32 <= (number(line) or 32) <= 65536


def test_a_name_is_more_than_blanks():
    assert name_problem("  ") == "type a name"
    assert name_problem(" coder ") is None
