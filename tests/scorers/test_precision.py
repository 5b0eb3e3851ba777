"""Convolutions in float32 while a batch is under way, and as before when none is."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from curate.scorers.precision import full_precision  # noqa: E402


@pytest.mark.parametrize("before", [True, False])
def test_the_setting_is_put_back_when_the_last_batch_is_done(before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", before)
    first, second = (full_precision(torch.device("cuda:0")) for _ in range(2))
    first.__enter__()
    second.__enter__()
    assert torch.backends.cudnn.allow_tf32 is False
    first.__exit__(None, None, None)
    assert torch.backends.cudnn.allow_tf32 is False, "another one is under way"
    second.__exit__(None, None, None)
    assert torch.backends.cudnn.allow_tf32 is before


def test_a_batch_that_fails_puts_it_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with pytest.raises(RuntimeError, match="out of memory"), full_precision(torch.device("cuda")):
        raise RuntimeError("out of memory")
    assert torch.backends.cudnn.allow_tf32 is True


def test_on_the_cpu_nothing_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with full_precision(torch.device("cpu")):
        assert torch.backends.cudnn.allow_tf32 is True
