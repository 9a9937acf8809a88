"""A long job tells how far it is: plain lines in a log."""

from gwres.progress import clock, progress


def test_a_log_has_a_line_for_each_state_and_the_end(capsys):
    steps = ((10, i) for i in range(30))
    assert list(progress(steps, 300, "score holdout", seconds=0)) == list(range(30))
    lines = capsys.readouterr().err.split("\n")
    assert lines[0].startswith("score holdout: 10 of 300 windows, ")
    assert lines[0].endswith(" left")
    assert lines[-2].startswith("score holdout: 300 of 300 windows, ")
    assert len(lines) == 31 and lines[-1] == "", "no state twice, no empty line"
    assert not any("\r" in line for line in lines)


def test_a_job_shorter_than_a_line_tells_its_end_alone(capsys):
    list(progress(((1_000, i) for i in range(3)), 3_000, "bank", "waveform"))
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("bank: 3,000 of 3,000 waveforms, ")


def test_nothing_to_do_says_nothing(capsys):
    assert list(progress([], 0, "none")) == []
    assert capsys.readouterr().err == ""


def test_a_clock_shows_minutes_and_seconds():
    assert [clock(x) for x in (5, 65.9, 3600)] == ["0:05", "1:05", "60:00"]
