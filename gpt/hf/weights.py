"""Safetensors into a model: headers first, and numbers only if every tensor is there and has its shape.

A file is the length of its header, the header in JSON, and the numbers of all tensors one after the other. They are read some
megabytes at a time, straight into the parameters, so a model is in memory once. float16 and bfloat16 become float32, exactly:
a bfloat16 is the upper half of a float32's bits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import tinytensor
from gpt.build import Model, build
from gpt.config import TrainConfig
from gpt.errors import UserError, shown
from gpt.hf.folder import INDEX, PICKLE, SINGLE, ModelFolder
from gpt.hf.parts import BUFFERS, HEADS, PREFIXES, Part, parts
from gpt.run import arrays
from gpt.run.checks import check_memory
from gpt.run.files import MIB, File
from tinytensor.nn.undrawn import undrawn

SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}  # bytes of a number
OTHERS = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "I16": 2,
    "U16": 2,
    "I32": 4,
    "U32": 4,
    "I64": 8,
    "U64": 8,
}  # buffers may be these
AT_ONCE = 16 * MIB  # bytes that are read together
SHARD = re.compile(r"[\w.-]+\.safetensors")
ADVICE = "copy or fetch it again"
CONVERT = (
    "which is a pickle: opening one can run any program. Convert it where you trust it: "
    "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW, safe_serialization=True)"
)


class Place(NamedTuple):
    """Where a tensor is: the open file, what its header says, and its first byte."""

    file: File
    name: str  # as the file has it
    dtype: str
    shape: tuple[int, ...]
    start: int


def settled(folder: ModelFolder, kind: str, config: TrainConfig) -> TrainConfig:
    """Return the configuration with what the tensors decide: the precision that holds all of them, and whether there are biases.

    float16 stays float16 only where an export says that the model was trained so. A model without biases is exported with zeros
    in their place; transformers trains them as others, so one that is not zero is a bias of the model. Raises UserError, which
    names file and tensor, if one does not fit.
    """
    with ExitStack() as stack:
        found, wanted = checked(folder, stack, kind, config), parts(kind, config)
        dtypes = {place.dtype for name, place in found.items() if name in wanted}
        half = dtypes == {"F16"} and config.dtype == "float16"
        trained = any(
            numbers.any() for name, part in wanted.items() if part.ours is None for _, numbers in pieces(found[name])
        )
    return replace(
        config, dtype="float64" if "F64" in dtypes else "float16" if half else "float32", bias=config.bias or trained
    )


def read(folder: ModelFolder, kind: str, config: TrainConfig, wanted: TrainConfig) -> Model:
    """Return the model of the folder, which has this configuration, in the precision and with the dropout of `wanted`.

    Its context may be shorter as well: positions that are not needed are left out. Raises UserError as `settled` does.
    """
    with ExitStack() as stack:
        places = checked(folder, stack, kind, config)
        with undrawn():
            model = build(wanted).to(dtype=getattr(tinytensor, wanted.dtype))
        values = {name: value.array for name, value in model.state_dict().items()}
        for name, part in parts(kind, config).items():
            if part.ours is not None:  # else it is a bias of zeros
                fill(values[part.ours], places[name], part)
        head = f"{HEADS[kind]}.weight"
        if config.tied and head in places:
            same(
                places[head],
                values["embedding.weight"],
                "differs from the embedding, and tie_word_embeddings is true; say false to keep both, or remove the tensor",
            )
    return model


# ------------------------------------------------------------------------------------------------------- headers


def located(folder: ModelFolder, stack: ExitStack, kind: str, count: int) -> dict[str, Place]:
    """Return where each tensor is, by its name without the prefix."""
    places: dict[str, Place] = {}
    for file_name, promised in file_names(folder).items():
        file = stack.enter_context(folder.open(file_name))
        found = tensors(file, count)
        if promised is not None and set(found) != promised:
            name = sorted(set(found) ^ promised)[0]
            has = "has" if name in found else "has no"
            other = f"{INDEX} does not name it there" if name in found else f"{INDEX} promises it"
            raise UserError(f"{file.path} {has} {shown(name)}, and {other}; {ADVICE}")
        for name, place in found.items():
            bare = name.removeprefix(PREFIXES[kind])
            bare = (
                f"{HEADS[kind]}.weight" if bare == "lm_head.weight" else bare
            )  # GPT-NeoX had another name for it before
            if bare in places:
                raise UserError(f"{file.path} has the tensor {shown(bare)} twice: as {places[bare].name} and as {name}")
            places[bare] = place
    return places


def file_names(folder: ModelFolder) -> dict[str, set[str] | None]:
    """Return the files of the weights; and the tensors in each, if an index says so."""
    if folder.has(SINGLE):
        return {SINGLE: None}
    if folder.has(INDEX):
        return shards(folder.json(INDEX), folder.path / INDEX)
    if folder.has(PICKLE) or folder.has(f"{PICKLE}.index.json"):
        raise UserError(f"{folder.path} has its weights in {PICKLE} alone, {CONVERT}")
    raise UserError(
        f"{folder.path} has neither {SINGLE} nor {INDEX}; a {PICKLE} has to be converted: docs/pretrained.md"
    )


def shards(index: Any, path: Path) -> dict[str, set[str] | None]:
    """Return the files that the index names, and the tensors in each."""
    names = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(names, dict) or not names:
        raise UserError(f"{path} has no weight_map; {ADVICE}")
    found: dict[str, set[str]] = {}
    for name, file in names.items():
        if not isinstance(file, str) or not SHARD.fullmatch(file):
            raise UserError(
                f"{path} has {shown(name)} in {shown(file)}, which is no safetensors file of this folder; {ADVICE}"
            )
        found.setdefault(file, set()).add(name)
    return dict(found)


def tensors(file: File, count: int) -> dict[str, Place]:
    """Return where each tensor of a safetensors file is. Raises UserError unless they fill the file without a gap."""
    header, start = arrays.read_header(file, count, ADVICE)
    header.pop("__metadata__", None)
    found, end = {}, 0
    spans = {name: span(file, name, entry) for name, entry in header.items()}
    for name, (first, last) in sorted(spans.items(), key=lambda item: item[1]):
        if first != end:
            raise arrays.damaged(
                file.path, f"its tensors leave a gap or overlap at {shown(name)}, byte {first}", ADVICE
            )
        found[name] = Place(file, name, *arrays.described(header[name]), start + first)
        end = last
    if file.size != start + end:
        raise arrays.damaged(file.path, f"{file.size:,} bytes, and its header promises {start + end:,}", ADVICE)
    return found


def span(file: File, name: str, entry: Any) -> tuple[int, int]:
    """Return the first byte of a tensor and the first behind it, counted from the end of the header."""
    dtype, shape = arrays.described(entry)
    size = (SIZES | OTHERS).get(dtype)
    if size is None or min(shape, default=0) < 0:
        raise UserError(
            f"{file.path} has {shown(name)} as {shown(dtype or entry)}; this version reads {', '.join(SIZES)}"
        )
    place = entry.get("data_offsets")
    if isinstance(place, list) and len(place) == 2 and all(type(n) is int and n >= 0 for n in place):
        first, last = place
        if last - first == size * math.prod(shape):
            return first, last
    raise arrays.damaged(file.path, f"{shown(name)} {shown(shape)} does not fit its place {shown(place)}", ADVICE)


def checked(folder: ModelFolder, stack: ExitStack, kind: str, config: TrainConfig) -> dict[str, Place]:
    """Return where each tensor is. Raises UserError for the first that is missing, unknown, or of another shape."""
    check_memory(replace(config, device="cpu"), loaded=folder.path)
    wanted = parts(kind, config)
    places = located(folder, stack, kind, 3 * len(wanted) + 1)  # names of three times as many: old versions' buffers
    for name, part in wanted.items():
        if name not in places:
            where = folder.path / (SINGLE if folder.has(SINGLE) else INDEX)
            raise UserError(f"{where} has no tensor {name}, which config.json needs")
        found = places[name]
        if found.shape != part.shape or found.dtype not in SIZES:
            raise UserError(
                f"{found.file.path}: {found.name} is {found.dtype} {shown(found.shape)}, and config.json needs "
                f"{shown(part.shape)} in {', '.join(SIZES)}"
            )
    head, embedding = f"{HEADS[kind]}.weight", next(iter(wanted.values())).shape
    for name, place in places.items():
        tied = config.tied and name == head and place.shape == embedding
        if name not in wanted and not tied and not BUFFERS[kind].fullmatch(name):
            raise UserError(
                f"{place.file.path} has the tensor {shown(place.name)}, which no {kind} of its config.json has"
            )
    return places


# ------------------------------------------------------------------------------------------------------- numbers


def pieces(place: Place) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yield the rows of a tensor, some megabytes at a time, and their numbers. Raises UserError for one that is not finite."""
    row, width = place.shape[1:], math.prod(place.shape[1:]) * SIZES[place.dtype]
    count = max(1, AT_ONCE // max(1, width))
    buffer = bytearray(min(count, place.shape[0]) * width)
    for first in range(0, place.shape[0], count):
        last = min(first + count, place.shape[0])
        part = memoryview(buffer)[: (last - first) * width]
        place.file.fill(part, place.start + first * width)
        numbers = widened(part, place.dtype).reshape(-1, *row)
        if not np.isfinite(numbers).all():
            raise UserError(f"{place.file.path} holds nan or infinity in {place.name}; {ADVICE}")
        yield slice(first, last), numbers


def widened(content: memoryview, dtype: str) -> NDArray[Any]:
    """Return the numbers of these bytes, in their own precision; bfloat16 as float32."""
    if dtype == "BF16":
        return (np.frombuffer(content, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(content, {"F64": "<f8", "F32": "<f4", "F16": "<f2"}[dtype])


def fill(ours: NDArray[Any], place: Place, part: Part) -> None:
    """Write the tensor into our parameter."""
    target = ours.T if part.turned else ours
    with np.errstate(over="ignore"):  # float16 may be asked for
        for rows, numbers in pieces(place):
            if part.rows is not None:
                target[part.rows[rows]] = numbers
            else:
                target[rows] = numbers[: max(0, len(target) - rows.start)]  # a shorter context has fewer positions


def same(place: Place, wanted: NDArray[Any], otherwise: str) -> None:
    """Raise UserError unless the tensor has these numbers, in their precision."""
    with np.errstate(over="ignore"):  # float16 may be asked for
        for rows, numbers in pieces(place):
            if not np.array_equal(numbers.astype(wanted.dtype, copy=False), wanted[rows]):
                raise UserError(f"{place.file.path}: {place.name} {otherwise}")
