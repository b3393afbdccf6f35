"""Folders of tiny models for the tests of gpt.hf: written by our own export, or number by number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import tinytensor
from gpt.build import Model, build
from gpt.config import TrainConfig
from gpt.hf import config as entries
from gpt.hf import export

SIZES = dict(vocab_size=11, context=8, width=12, layers=2, heads=3)


def model_of(seed: int = 0, **options: Any) -> tuple[Model, TrainConfig]:
    """Return a model with random numbers in every parameter, norms and biases as well."""
    config = TrainConfig(**{**SIZES, **options})
    model = build(config).to(dtype=getattr(tinytensor, config.dtype)).eval()
    random = np.random.default_rng(seed)
    for parameter in model.parameters():
        parameter.array[...] = random.normal(0, 0.3, parameter.shape)
    return model, config


def exported(folder: Path, **options: Any) -> tuple[Model, TrainConfig]:
    """Write such a model into the folder."""
    model, config = model_of(**options)
    export.write(folder, model, config)
    return model, config


def gpt2(folder: Path, **options: Any) -> Model:
    """Write a GPT-2 that remembers nothing of us, as transformers would."""
    model, _ = exported(folder, positions="learned", **{"tied": True, "init": "gpt2", **options})
    change_config(folder, lambda values: values.pop(entries.OWN))
    return model


def change_config(folder: Path, change: Any) -> None:
    path = folder / "config.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def read_tensors(path: Path) -> dict[str, tuple[str, list[int], bytes]]:
    """Return dtype, shape and bytes of each tensor of a safetensors file."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    start = 8 + length
    return {
        name: (each["dtype"], each["shape"], content[start + each["data_offsets"][0] : start + each["data_offsets"][1]])
        for name, each in header.items()
    }


def write_tensors(path: Path, tensors: dict[str, tuple[str, list[int], bytes]]) -> None:
    """Write a safetensors file: the format is simple enough to be written here a second time."""
    header, end = {}, 0
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(content)]}
        end += len(content)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(content for _, _, content in tensors.values()))


def change_tensors(folder: Path, change: Any, name: str = "model.safetensors") -> None:
    tensors = read_tensors(folder / name)
    change(tensors)
    write_tensors(folder / name, tensors)


def shard(folder: Path, count: int = 3) -> dict[str, str]:
    """Split model.safetensors into several files with an index; return the index's map."""
    tensors = read_tensors(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    where = {name: f"model-{i % count + 1:05}-of-{count:05}.safetensors" for i, name in enumerate(tensors)}
    for file in set(where.values()):
        write_tensors(folder / file, {name: each for name, each in tensors.items() if where[name] == file})
    write_index(folder, where)
    return where


def write_index(folder: Path, where: dict[str, Any]) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))


def same_weights(one: Model, other: Model) -> bool:
    """Whether both have the same numbers in the same precision, bit for bit."""
    a, b = one.state_dict(), other.state_dict()
    return list(a) == list(b) and all(
        a[name].dtype == b[name].dtype and a[name].array.tobytes() == b[name].array.tobytes() for name in a
    )
