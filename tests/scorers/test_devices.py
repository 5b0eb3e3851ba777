"""What a device says, and what travels to it and back."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from curate.scorers.devices import is_out_of_memory  # noqa: E402
from curate.scorers.transfers import Fetched, rows_of, sent  # noqa: E402


@pytest.mark.parametrize(
    ("problem", "about_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("CUDA error: out of memory"), False),
    ],
    ids=str,
)
def test_a_lack_of_memory_is_told_from_other_failures(problem: Exception, about_memory: bool) -> None:
    assert is_out_of_memory(problem) == about_memory


def test_rows_of_a_batch() -> None:
    batch = torch.arange(12.0).view(4, 3)
    assert rows_of(batch, [0, 1, 2, 3]) is batch
    assert torch.equal(rows_of(batch, [1, 3]), batch[[1, 3]])


def test_what_is_fetched_is_float32() -> None:
    first, second = Fetched([torch.ones(2, dtype=torch.bfloat16), torch.zeros(1, dtype=torch.float64)]).wait()
    assert (first.dtype, second.dtype) == (torch.float32, torch.float32)
    assert sent(first, torch.device("cpu")) is first


@pytest.mark.gpu
def test_a_gpu_is_not_waited_for() -> None:
    device = torch.device("cuda:0")
    torch.cuda._sleep(1)
    torch.cuda.synchronize(device)
    torch.cuda._sleep(2_000_000_000)  # about a second
    there = sent(torch.arange(8.0), device) * 2
    fetched = Fetched([there])
    assert not torch.cuda.current_stream(device).query(), "it is still asleep"
    assert fetched.wait()[0].tolist() == [2.0 * number for number in range(8)]
