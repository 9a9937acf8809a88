"""Where a training keeps its checkpoints."""

import pytest

from gwres import jobs


@pytest.fixture(autouse=True)
def _root(tmp_path, monkeypatch):
    monkeypatch.setenv("GWRES_CACHE", str(tmp_path))


def test_a_workplace_is_found_again_after_a_failure_and_gone_after_success():
    with pytest.raises(RuntimeError), jobs.workplace({"depth": 34}) as first:
        (first / "state.json").write_text("{}")
        raise RuntimeError
    with jobs.workplace({"depth": 34}) as again:
        assert again == first
        assert (again / "state.json").is_file()
    assert not first.exists()


def test_two_at_once_do_not_share_one():
    with jobs.workplace({"depth": 34}) as one, jobs.workplace({"depth": 34}) as two:
        assert one != two
        (one / "state.json").write_text("{}")
        assert not list(two.iterdir())


def test_another_recipe_works_elsewhere():
    with jobs.workplace({"depth": 34}) as one, jobs.workplace({"depth": 18}) as two:
        assert one.parent != two.parent
