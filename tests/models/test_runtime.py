"""Device, number format, fixed batches, memory back-off and replicas, on toy models that need no weights."""

import threading

import numpy as np
import pytest
import torch

from miner_resources.errors import NotConfigured
from miner_resources.models import runtime
from miner_resources.models.runtime import (
    Replicas,
    choose_batch_size,
    choose_device,
    choose_dtype,
    devices,
    is_out_of_memory,
)

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="about machines without CUDA")


def pictures(count, side=4):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def sums(_model, batch):
    return (batch.float().sum(dim=(1, 2, 3)), batch.float().mean(dim=3))


def replicas(on=("cpu",), *, size=4, name="toy", models=None):
    return Replicas(models or [None] * len(on), on, name=name, dtype=torch.float32, size=size)


@no_cuda
def test_auto_is_the_cpu_where_there_is_nothing_else(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == "cpu"
    assert devices("auto") == ("cpu",)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto") == "mps"


@no_cuda
@pytest.mark.parametrize("setting", ["cuda", "cuda:0", "cuda:7", "mps"])
def test_a_device_that_is_not_there_is_never_replaced(setting):
    with pytest.raises(NotConfigured, match="is not there") as caught:
        choose_device(setting)
    assert "auto or cpu" in caught.value.remedy


@pytest.mark.parametrize("setting", ["gpu", "cuda:x", "", "meta"])
def test_an_unknown_device_is_refused(setting):
    with pytest.raises(NotConfigured, match="there is no device"):
        choose_device(setting)


@pytest.fixture
def two_gpus_and_another(monkeypatch):
    """As torch would report two A100 and a T4; no tensor is put on them."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: ["A100", "A100", "T4"][index])
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda device: (7, 5) if str(device).endswith("2") else (8, 0)
    )


def test_auto_takes_all_gpus_of_the_first_kind(two_gpus_and_another):
    assert devices("auto") == ("cuda:0", "cuda:1")
    assert devices("cuda") == ("cuda:0",)
    assert devices("cuda:2") == ("cuda:2",)
    with pytest.raises(NotConfigured, match="torch sees 3"):
        devices("cuda:3")


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [
        ("auto", "cpu", torch.float32),
        ("auto", "mps", torch.float32),
        ("auto", "cuda:0", torch.bfloat16),
        ("auto", "cuda:2", torch.float16),
        ("fp16", "cpu", torch.float16),
        ("bf16", "cpu", torch.bfloat16),
        ("fp32", "cuda:0", torch.float32),
    ],
)
def test_precision_follows_the_device_unless_it_is_set(two_gpus_and_another, precision, device, expected):
    assert choose_dtype(precision, device) is expected


def test_an_unknown_precision_is_refused():
    with pytest.raises(NotConfigured, match="int8"):
        choose_dtype("int8", "cpu")


@pytest.mark.parametrize(
    ("setting", "side", "expected"),
    [("auto", 384, 8), ("auto", 96, 16), ("auto", 960, 2), ("auto", 2000, 1), (3, 384, 3), (0, 384, 1)],
)
def test_batch_size_on_the_cpu(setting, side, expected):
    assert choose_batch_size(setting, side * side, "cpu") == expected


@pytest.mark.parametrize(("side", "gigabytes", "expected"), [(384, 80, 256), (960, 80, 64), (960, 1, 1), (224, 8, 128)])
def test_batch_size_on_a_gpu_follows_its_memory(monkeypatch, side, gigabytes, expected):
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda _: type("Card", (), {"total_memory": gigabytes * 1024**3})
    )
    assert choose_batch_size("auto", side * side, "cuda:0") == expected


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 11])
@pytest.mark.parametrize("on", [("cpu",), ("cpu",) * 2, ("cpu",) * 3], ids=["one", "two", "three"])
def test_results_come_in_order_and_complete(count, on):
    images = pictures(count)
    totals, means = replicas(on).run(images, sums)
    assert totals.tolist() == images.sum(axis=(1, 2, 3)).tolist()
    assert means.shape == (count, 4, 4)
    assert totals.dtype == np.float32


def test_pictures_of_different_shapes_go_apart_and_come_back_in_order():
    rng = np.random.default_rng(3)
    sides = [4, 6, 4, 8, 6, 4, 4, 4, 6]
    images = [rng.integers(0, 256, (side, 4, 3), dtype=np.uint8) for side in sides]
    seen = []

    def forward(_model, batch):
        seen.append(tuple(batch.shape[:2]))
        return (batch.float().sum(dim=(1, 2, 3)),)

    (totals,) = replicas(("cpu", "cpu"), size=2).run(images, forward)
    assert totals.tolist() == [float(image.sum()) for image in images]
    assert sorted(seen) == [(2, 4)] * 3 + [(2, 6)] * 2 + [(2, 8)]


def test_every_forward_pass_has_the_same_shape():
    seen = []

    def forward(_model, batch):
        seen.append(tuple(batch.shape))
        return sums(None, batch)

    replicas(size=4).run(pictures(10), forward)
    assert seen == [(4, 4, 4, 3)] * 3


def test_replicas_share_the_batches_and_work_at_the_same_time():
    used = {"left": 0, "right": 0}
    both_inside = threading.Barrier(2, timeout=10)

    def forward(model, batch):
        used[model] += 1
        both_inside.wait()
        return sums(None, batch)

    both = replicas(("cpu", "cpu"), models=["left", "right"], size=2)
    assert both.batch_size == 4
    both.run(pictures(8), forward)
    assert used == {"left": 2, "right": 2}


def test_the_next_batch_is_copied_while_the_last_is_computed(monkeypatch):
    copy, copies = runtime._copied, threading.Semaphore(0)

    def copied(*arguments):
        batch = copy(*arguments)
        copies.release()
        return batch

    rounds = iter([2, 1, 0])

    def forward(_model, batch):
        for _ in range(next(rounds)):
            assert copies.acquire(timeout=30)
        return sums(None, batch)

    monkeypatch.setattr(runtime, "_copied", copied)
    images = pictures(12)
    totals, _ = replicas(size=4).run(images, forward)
    assert totals.tolist() == images.sum(axis=(1, 2, 3)).tolist()


def test_memory_that_runs_out_while_a_batch_is_copied_halves_it_too(monkeypatch):
    monkeypatch.setattr(runtime, "_working_sizes", {})
    copy = runtime._copied

    def copied(chunk, size, device):
        return None if size > 2 else copy(chunk, size, device)

    monkeypatch.setattr(runtime, "_copied", copied)
    images, toy = pictures(9), replicas(size=8)
    totals, _ = toy.run(images, sums)
    assert totals.tolist() == images.sum(axis=(1, 2, 3)).tolist()
    assert toy.size == 2


def test_forward_runs_without_gradients_in_every_thread():
    def forward(_model, batch):
        assert torch.is_inference_mode_enabled()
        return sums(None, batch)

    replicas(("cpu", "cpu")).run(pictures(9), forward)


def failing_above(limit, error, log):
    def forward(_model, batch):
        log.append(len(batch))
        if len(batch) > limit:
            raise error
        return sums(None, batch)

    return forward


@pytest.mark.parametrize("on", [("cpu",), ("cpu", "cpu")], ids=["one", "two"])
def test_memory_that_runs_out_halves_the_batch_for_good(monkeypatch, on):
    monkeypatch.setattr(runtime, "_working_sizes", {})
    log, images = [], pictures(16)
    toy = replicas(on, size=8)
    totals, _ = toy.run(images, failing_above(2, torch.OutOfMemoryError("CUDA out of memory"), log))
    assert totals.tolist() == images.sum(axis=(1, 2, 3)).tolist()
    assert toy.size == 2
    log.clear()
    toy.run(images, failing_above(2, torch.OutOfMemoryError(), log))
    assert set(log) == {2}
    assert replicas(on, size=8).size == 2
    assert replicas(on, size=8, name="other").size == 8
    assert replicas(on, size=1).size == 1


def test_a_model_that_fits_not_even_once_says_what_to_do(monkeypatch):
    monkeypatch.setattr(runtime, "_working_sizes", {})
    with pytest.raises(NotConfigured, match="toy does not fit into the memory of cpu") as caught:
        replicas(size=4).run(pictures(4), failing_above(0, torch.OutOfMemoryError(), []))
    assert "smaller model" in caught.value.remedy


@pytest.mark.parametrize("on", [("cpu",), ("cpu", "cpu")], ids=["one", "two"])
def test_other_errors_pass_through(on):
    with pytest.raises(RuntimeError, match="shapes"):
        replicas(on, size=2).run(pictures(8), failing_above(0, RuntimeError("shapes do not match"), []))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("x"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("expected scalar type Half"), False),
    ],
)
def test_what_counts_as_out_of_memory(error, expected):
    assert is_out_of_memory(error) is expected


def test_read_only_pictures_are_fine():
    images = pictures(4)
    images.flags.writeable = False
    assert len(replicas(size=4).run(images, sums)[0]) == 4


@pytest.mark.gpu
@cuda
def test_real_memory_that_runs_out_is_survived(monkeypatch):
    monkeypatch.setattr(runtime, "_working_sizes", {})
    limit = torch.cuda.get_device_properties(0).total_memory

    def forward(_model, batch):
        if len(batch) > 2:
            torch.empty(limit * 2, dtype=torch.uint8, device=batch.device)
        return sums(None, batch)

    images = pictures(8)
    toy = replicas(("cuda:0",), size=8)
    totals, _ = toy.run(images, forward)
    assert toy.size == 2
    assert totals.tolist() == images.sum(axis=(1, 2, 3)).tolist()
