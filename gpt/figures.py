"""Figures of what a trained model does with a text: attention, logit lens, gradient, losses, and the film of its training.

    python -m gpt.figures RUN --text "ROMEO: But soft"               # writes RUN/figures/attention.png, …
    figure = attention_maps(model, tokenizer, "ROMEO: But soft")     # in a notebook; each returns a matplotlib Figure

They are as wide as a telephone or a column of print, and use blue, orange and grey, which all kinds of colour vision tell
apart. Blocks and heads are counted from 0, and parameters have their names, as in the model. gpt/drawing.py says how
tokens are shown.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import tinytensor
from gpt import cli
from gpt.build import Model
from gpt.completion import check_vocabulary
from gpt.config import HUB
from gpt.diagnosis.measures import norm
from gpt.drawing import (
    BLUE,
    GREY,
    LIGHT,
    ORANGE,
    SHADES,
    WIDTH,
    drawing,
    frame,
    head_line,
    plain,
    said,
    save,
    shown,
    write,
)
from gpt.errors import UserError
from gpt.errors import shown as short
from gpt.inspection.film import Film, projected, read
from gpt.inspection.subject import LONGEST, enough
from gpt.lens import Look, host, layers_of, look
from gpt.run import files
from gpt.run.film import FILM
from gpt.tokenizers import Tokenizer
from gpt.trained import find
from gpt.utf8 import with_lf
from tinytensor import tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_MAPS = 32
FORMATS = ("png", "svg", "pdf")


def encoded(model: Model, tokenizer: Tokenizer | None, text: str) -> tuple[list[int], list[str]]:
    """Return the ids that are drawn, and each as it is shown. Of a long text they are the first ones: see `longest`."""
    ids = all_ids(model, tokenizer, text)[: longest(model)]
    assert tokenizer is not None
    return ids, [shown(tokenizer.bytes_of(i)) for i in ids]


def all_ids(model: Model, tokenizer: Tokenizer | None, text: str) -> list[int]:
    """Return the ids of the whole text. Raises UserError unless they are 2 or more, and of the model's vocabulary."""
    check_vocabulary(model, tokenizer)
    assert tokenizer is not None
    return [int(i) for i in enough(tokenizer.encode(with_lf(text), "--text"), "--text")]


def longest(model: Model) -> int:
    """Return how many tokens of a text are drawn at most: as many as gpt.inspect shows."""
    return min(model.config.context, LONGEST)


# ----------------------------------------------------------------------------------------------- the pictures


def attention_maps(model: Model, tokenizer: Tokenizer | None, text: str) -> Figure:
    """Draw the weights of every head, a map each: row t is token t, column s the token up to it that it takes from.

    Of a model with more than 32 heads it draws those of the first, the middle and the last block.
    """
    ids, labels = encoded(model, tokenizer, text)
    weights = look(model, ids).attention
    if not len(weights):
        raise UserError("a bigram model has no attention: it sees the last token alone")
    return maps(weights, labels)


def maps(weights: NDArray[np.float32], labels: list[str]) -> Figure:
    """Draw attention maps of weights (L, H, T, T)."""
    L, H, T, _ = weights.shape
    blocks = list(range(L)) if L * H <= MOST_MAPS else sorted({0, L // 2, L - 1})
    named = T <= 24  # else tokens would be smaller than can be read
    columns = min(2 if named else 4, H)
    rows = len(blocks) * -(-H // columns)
    side = (WIDTH - 0.5) / columns
    habits = {(b, h): habit(weights[b, h]) for b in range(L) for h in range(H)}
    steady = sum("over" not in each for each in habits.values())
    with drawing(rows * (side + 0.4) + 0.85) as figure:
        more = "row: the token that looks; column: the token that it takes from; white: 0, dark: 1"
        title = f"{steady or 'None'} of {L * H} heads look{'s' * (steady < 2)} mostly at one place"
        head_line(figure, title, f"{more}\n{said(labels)}")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        drawn = [(b, h) for b in blocks for h in range(-(-H // columns) * columns)]
        for ax, (b, h) in zip(axes, drawn, strict=True):
            if h >= H:
                ax.set_axis_off()
                continue
            one_map(ax, weights[b, h], labels if named else None)
            ax.set_title(f"block {b}, head {h}\n{habits[b, h]}", fontsize=7, loc="left")
    return figure


def one_map(ax: Axes, weights: NDArray[np.float32], labels: list[str] | None) -> None:
    """Draw one map; what lies in the future stays white."""
    T = len(weights)
    ax.imshow(np.ma.masked_array(weights, np.triu(np.ones((T, T), bool), 1)), cmap=SHADES, vmin=0, vmax=1)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    stairs = np.repeat(np.arange(T + 1) - 0.5, 2)  # around what a token may look at
    ax.plot([*stairs[1:], -0.5, -0.5], [*stairs[:-1], T - 0.5, -0.5], color=GREY, linewidth=0.5)
    for t, label in enumerate(labels or ()):
        write(ax, -0.8, t, label, size=min(8, 130 / T), ha="right", va="center")
        write(ax, t, T - 0.2, label, size=min(8, 130 / T), ha="center", va="top", rotation=90 if len(label) > 2 else 0)


def habit(weights: NDArray[np.float32]) -> str:
    """Say in words where a head (T, T) looks, on the average of all tokens but the first, which has no choice."""
    rows = np.arange(1, len(weights))
    places = {"itself": weights[rows, rows], "the one before": weights[rows, rows - 1], "the first": weights[rows, 0]}
    name, share = max(((name, float(each.mean())) for name, each in places.items()), key=lambda pair: pair[1])
    if share >= 0.5:
        return f"{share:.0%} at {name}"
    seen = weights[rows].astype(np.float64)
    spread = float(np.exp(-(seen * np.log(np.maximum(seen, 1e-30))).sum(-1)).mean())  # e to the entropy
    return f"spread over {spread:.1f} tokens"


def logit_lens(model: Model, tokenizer: Tokenizer | None, text: str) -> Figure:
    """Draw what the model would predict if it ended after each block: the likeliest next token, darker the surer it is."""
    ids, labels = encoded(model, tokenizer, text)
    assert tokenizer is not None
    seen = look(model, ids)
    stages = stage_names(seen)
    right = [float(np.mean(top[:-1, 0] == ids[1:])) for top in seen.top]
    longest = max(map(len, labels))
    columns = 20 if longest <= 1 else 8 if longest <= 5 else 5
    columns = min(columns, len(ids) - 1)
    lines = list(lines_of(len(ids) - 1, columns))
    height = 0.21 * (len(stages) + 2) + 0.25
    with drawing(len(lines) * height + 1.15) as figure:
        more = "grey: the token that is read; cells: the likeliest next one, darker the surer;\nframed: it is the right one"
        if len(stages) <= 4:
            more += f". Right after {', '.join(f'{n} {r:.0%}' for n, r in zip(stages, right, strict=True))}"
        head_line(figure, f"The next token, as each block would say it: {right[-1]:.0%} right at the end", more)
        for ax, (begin, end) in zip(figure.subplots(len(lines), 1, squeeze=False).ravel(), lines, strict=True):
            for t in range(begin, end):
                write(ax, t - begin, -1, labels[t], color=GREY)
                for s in range(len(stages)):
                    token, p = int(seen.top[s, t, 0]), float(np.exp(seen.top_log_probability[s, t, 0]))
                    cell(ax, t - begin, s, p, token == ids[t + 1])
                    write(ax, t - begin, s, shown(tokenizer.bytes_of(token)), color="white" if p > 0.6 else "black")
            for s, name in enumerate(stages):
                write(ax, -0.7, s, name, size=7, ha="right")
            frame(ax, (-0.5, columns - 0.5), (len(stages) - 0.5, -1.5))
    return figure


def cell(ax: Axes, x: float, y: float, p: float, framed: bool) -> None:
    """Draw a cell that is the darker the larger p is; with a frame in orange."""
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    colour, width, layer = (ORANGE, 1.4, 2) if framed else ("white", 0.6, 1)
    shade = colormaps[SHADES](0.9 * p)
    ax.add_patch(
        Rectangle((x - 0.44, y - 0.44), 0.88, 0.88, facecolor=shade, edgecolor=colour, linewidth=width, zorder=layer)
    )


def loss_per_token(model: Model, tokenizer: Tokenizer | None, text: str) -> Figure:
    """Draw -ln p of each token but the first, as a bar over it."""
    ids, labels = encoded(model, tokenizer, text)
    loss = look(model, ids).loss
    chance = float(np.log(model.config.vocab_size))
    columns = 32 if max(map(len, labels)) <= 1 else 12 if max(map(len, labels)) <= 5 else 6
    columns = min(columns, len(loss))
    lines = list(lines_of(len(loss), columns))
    worst = int(loss.argmax())
    top = 1.12 * max(float(loss.max()), chance)
    with drawing(len(lines) * 1.0 + 1.0) as figure:
        title = f"{loss.mean():.2f} nats a token; the hardest is {labels[worst + 1]}, {loss[worst]:.1f}"
        more = f"bars: −ln p of the token under it, in nats; orange: harder than a blind guess, {chance:.2f} (the line)"
        head_line(figure, title, more)
        for ax, (begin, end) in zip(figure.subplots(len(lines), 1, squeeze=False).ravel(), lines, strict=True):
            values = loss[begin:end]
            ax.bar(range(end - begin), values, 0.8, color=[ORANGE if x > chance else BLUE for x in values])
            ax.axhline(chance, color=GREY, linewidth=0.7, linestyle="--")
            for i, label in enumerate(labels[begin + 1 : end + 1]):
                write(ax, i, -0.06 * top, label, va="top", rotation=90 if len(label) > 5 else 0)
            ax.set_xlim(-0.6, columns - 0.4)
            ax.set_ylim(0, top)
            plain(ax)
            ax.set_xticks([])
    return figure


def gradient_flow(model: Model, tokenizer: Tokenizer | None, text: str) -> Figure:
    """Draw the norms of the gradient of the text's mean loss: along the residual stream, and of each parameter."""
    ids, _ = encoded(model, tokenizer, text)
    stream, parameters = gradients(model, ids)
    table, others = by_block(parameters, layers_of(model))
    heights = [1.5 * (len(stream) > 1), 0.2 * len(table) + 0.45 * bool(table), 0.2 * len(others) + 0.4]
    shown_parts = [i for i, height in enumerate(heights) if height]
    with drawing(sum(heights) + 1.6) as figure:
        first, last = stream[0][1], stream[-1][1]
        title = "The gradient of each parameter"
        if len(stream) > 1:
            title = f"Towards the embeddings the gradient {change(first, last)}"
        head_line(figure, title, "norm of the gradient of the mean loss, before any clipping")
        axes = figure.subplots(
            len(shown_parts), 1, squeeze=False, height_ratios=[heights[i] for i in shown_parts]
        ).ravel()
        for ax, part in zip(axes, shown_parts, strict=True):
            (lambda a: draw_stream(a, stream), lambda a: draw_table(a, table), lambda a: draw_bars(a, others))[part](ax)
    return figure


def gradients(model: Model, ids: list[int]) -> tuple[list[tuple[str, float]], dict[str, float]]:
    """Return the norms along the residual stream, and of each parameter by its name. Leaves the model's own gradients."""
    was_training, device = model.training, next(model.parameters()).device
    kept = [(p, p.grad, p.requires_grad) for p in model.parameters()]
    model.eval()
    try:
        for p, _, _ in kept:
            p.grad = None
            p.requires_grad_(True)
        with tinytensor.trace(model, calls=False) as t:
            _, loss = model(tensor([ids[:-1]], device=device), tensor([ids[1:]], device=device))
            assert loss is not None
            loss.backward()
        parameters = {name: length(p.grad) for name, p in model.named_parameters()}
        L = layers_of(model)
        points = [("embedding", "blocks.0.input"), *((f"block {i}", f"blocks.{i}.output") for i in range(L))]
        stream = (
            [(name, length(t[path].grad)) for name, path in points]
            if L
            else [("embedding", length(t["embedding"].grad))]
        )
    finally:
        model.train(was_training)
        for p, grad, required in kept:
            p.grad = grad
            p.requires_grad_(required)
    return stream, parameters


def length(x: Any) -> float:
    """Return the norm of a Tensor; 0 for None."""
    return 0.0 if x is None else norm(host(x))


def by_block(norms: dict[str, float], blocks: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Return a table, for each kind of parameter its norm in each block, and the norms of the parameters outside of blocks."""
    table: dict[str, list[float]] = {}
    others = {}
    for name, value in norms.items():
        if name.startswith("blocks."):
            _, number, kind = name.split(".", 2)
            table.setdefault(kind, [0.0] * blocks)[int(number)] = value
        else:
            others[name] = value
    return table, others


def change(first: float, last: float) -> str:
    """Say what becomes of the gradient on its way from the last to the first."""
    if not (first > 0 and last > 0):
        return "vanishes"
    factor = first / last
    return (
        f"grows {factor:.1f} times"
        if factor >= 1.05
        else f"shrinks to {factor:.0%}"
        if factor <= 0.95
        else "stays as large"
    )


def draw_stream(ax: Axes, stream: list[tuple[str, float]]) -> None:
    names, values = zip(*stream, strict=True)
    ax.plot(range(len(values)), values, "o-", color=BLUE, markersize=4)
    ax.set_ylim(0, 1.15 * max(values) or 1)
    every = -(-len(names) // 7)
    ax.set_xticks(range(0, len(names), every), names[::every])
    ax.set_title("residual stream after", fontsize=8, loc="left")
    plain(ax)


def draw_table(ax: Axes, table: dict[str, list[float]]) -> None:
    """Draw a row for each kind of parameter and a column for each block."""
    values = np.array(list(table.values()))
    floor = max(values.max(), 1e-30) * 1e-4
    shades = np.log10(np.maximum(values, floor))
    ax.imshow(shades, cmap=SHADES, aspect="auto", vmin=shades.min() - 0.2, vmax=shades.max() + 0.4)
    ax.set_yticks(range(len(table)), list(table), fontsize=7)
    L = values.shape[1]
    every = -(-L // 12)
    ax.set_xticks(range(0, L, every), [f"block {i}" if L <= 6 else str(i) for i in range(0, L, every)])
    middle = (shades.min() + shades.max()) / 2 + 0.25
    for (row, column), value in np.ndenumerate(values):
        if L <= 6:
            write(ax, column, row, f"{value:.2g}", size=7, color="white" if shades[row, column] > middle else "black")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)


def draw_bars(ax: Axes, norms: dict[str, float]) -> None:
    names, values = list(norms), list(norms.values())
    ax.barh(range(len(values)), values, 0.7, color=BLUE)
    for i, value in enumerate(values):
        write(ax, value, i, f" {value:.2g}", size=7, ha="left")
    ax.set_yticks(range(len(names)), names, fontsize=7)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.2 * max(values) or 1)
    plain(ax)


def film_strip(film: Film) -> Figure:
    """Draw a training: its losses, and at four moments a head of each block and the embeddings on two directions."""
    frames = sorted({round(i) for i in np.linspace(0, len(film.steps) - 1, 4)})
    L = film.attention.shape[1]
    blocks = list(range(L)) if L <= 4 else sorted({0, L // 3, 2 * L // 3, L - 1})
    heads = {b: head_of(film.attention[:, b]) for b in blocks}
    with drawing(1.9 + 1.35 * len(blocks) + 2 * 2.65 + 1.1) as figure:
        text = said([shown(film.tokenizer.bytes_of(i)) for i in film.ids])
        rule = "attention: of each block the head that the training changed most; " if blocks else ""
        head_line(figure, film_title(film), f"{rule}embeddings: vowels in orange\n{text}")
        heights = [1.9, *([1.35 * len(blocks)] if blocks else []), 5.3]
        parts: Any = figure.subfigures(len(heights), 1, height_ratios=heights)
        draw_losses(parts[0].subplots(), film, frames)
        if blocks:
            grid = parts[1].subplots(len(blocks), len(frames), squeeze=False)
            for row, b in zip(grid, blocks, strict=True):
                for ax, m in zip(row, frames, strict=True):
                    one_map(ax, film.attention[m, b, heads[b]], None)
                    ax.set_title(f"step {film.steps[m]:,}" if b == 0 else "", fontsize=8)
                write(row[0], -0.08, 0.5, f"block {b}, head {heads[b]}", ha="right", rotation=90, size=8,
                      transform=row[0].transAxes)  # fmt: skip
        points, labels = projected(film.embedding), [shown(film.tokenizer.bytes_of(i)) for i in film.rows]
        panels = parts[-1].subplots(2, 2, squeeze=False).ravel()
        for ax in panels[len(frames) :]:
            ax.set_axis_off()
        for ax, m in zip(panels, frames, strict=False):
            draw_points(ax, points[m], points, labels)
            ax.set_title(f"embeddings, step {film.steps[m]:,}", fontsize=8)
    return figure


def film_title(film: Film) -> str:
    """Say between which steps the film was recorded, and what became of the text's loss."""
    first, last = film.steps[0], film.steps[-1]
    before, after = (f"{film.loss[m].mean():.2f}" for m in (0, -1))
    if first == last:
        return f"Step {last:,}: the recorded text has {after} nats a token"
    between = f"Steps {first:,} to {last:,} take" if first else "1 step takes" if last == 1 else f"{last:,} steps take"
    return f"{between} the recorded text\nfrom {before} to {after} nats a token"


def head_of(attention: NDArray[np.float32]) -> int:
    """Return the head (M, H, T, T) that the training changed most."""
    return int(np.abs(attention[-1] - attention[0]).sum((1, 2)).argmax())


def draw_losses(ax: Axes, film: Film, frames: Sequence[int]) -> None:
    """Draw the losses over the logarithm of the step, from the first moment to the last; vertical lines mark the frames."""
    at = 1 + np.array(film.steps)
    ax.plot(at, film.loss.mean(1), color=BLUE, label="this text")
    known = [(a, x) for a, x in zip(at, film.train_loss, strict=True) if x is not None]
    ax.plot(*zip(*known, strict=True), color=GREY, linewidth=0.8, label="training, one batch") if known else None
    if seen := [each for each in film.evaluations if film.steps[0] <= each[0] <= film.steps[-1]]:
        steps, losses = zip(*seen, strict=True)
        ax.plot(1 + np.array(steps), losses, "o", color=ORANGE, markersize=3, label="validation")
    for m in frames:
        ax.axvline(at[m], color=LIGHT, linewidth=0.8, zorder=0)
    ax.set_xscale("log")
    ticks = ticks_of(film.steps, frames)
    ax.set_xticks([1 + s for s in ticks], [f"{s:,}" for s in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("step", fontsize=8)
    ax.set_ylabel("nats a token", fontsize=8)
    ax.legend(fontsize=7, frameon=False)
    plain(ax)


def ticks_of(steps: list[int], frames: Sequence[int]) -> list[int]:
    """Return round steps between the first and the last; where there are fewer than 3, the steps of the frames."""
    round_steps = [0, *(m * 10**k for k in range(9) for m in (1, 3))]
    inside = [step for step in round_steps if steps[0] <= step <= steps[-1]]
    return inside if len(inside) >= 3 else [steps[m] for m in frames]


def draw_points(ax: Axes, points: NDArray[np.float32], all_points: NDArray[np.float32], labels: list[str]) -> None:
    """Draw each token at its place. All moments have the same scale."""
    low, high = all_points.min((0, 1)), all_points.max((0, 1))
    room = 0.08 * np.maximum(high - low, 1e-6)
    few = len(labels) <= 128
    for (x, y), label in zip(points, labels, strict=True):
        if few:
            write(ax, float(x), float(y), label, size=6.5, color=ORANGE if label.lower() in "aeiou" else BLUE)
    if not few:
        ax.plot(points[:, 0], points[:, 1], ".", color=BLUE, markersize=2)
    frame(ax, (low[0] - room[0], high[0] + room[0]), (low[1] - room[1], high[1] + room[1]))
    ax.set_axis_on()
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_color(LIGHT)


def stage_names(seen: Look) -> list[str]:
    return ["embedding", *(f"block {i}" for i in range(len(seen.target) - 1))]


def lines_of(count: int, columns: int) -> Iterator[tuple[int, int]]:
    """Yield the begin and the end of each line of so many columns."""
    yield from ((begin, min(begin + columns, count)) for begin in range(0, count, columns))


# ------------------------------------------------------------------------------------------------ the command


def pictures(model: Model, tokenizer: Tokenizer | None, text: str, film: Film | None) -> Iterator[tuple[str, Figure]]:
    """Yield the figures with the names of their files."""
    makers: dict[str, Callable[[Model, Tokenizer | None, str], Figure]] = {
        "attention": attention_maps, "lens": logit_lens, "gradient": gradient_flow, "loss-per-token": loss_per_token,
    }  # fmt: skip
    if not layers_of(model):
        del makers["attention"]
    for name, make in makers.items():
        yield name, make(model, tokenizer, text)
    if film is not None:
        yield "film", film_strip(film)


def make_parser() -> cli.Parser:
    parser = cli.Parser("gpt.figures", "Draw what a trained model does with a text.")
    cli.add_run_arguments(parser)
    parser.add_argument(
        "--text", metavar="TEXT", help=f"the text, at least 2 tokens; of a long one the first {LONGEST}, or as many as the "
        "model's context has (default: that of the film, if gpt.train --record made one)"
    )  # fmt: skip
    parser.add_argument("--out", type=cli.path, metavar="DIR",
                        help="where the pictures go (default: RUN/figures; for a model of Hugging Face figures)")  # fmt: skip
    parser.add_argument("--format", choices=FORMATS, default="png", help="of the pictures (default: png)")
    return parser


@cli.command("gpt.figures")
def main(argv: list[str]) -> int:
    options = make_parser().parse_args(argv)
    found = find(options.run, options.last, "gpt.figures")
    tokenizer = found.vocabulary(options.tokenizer)
    film = read(options.run) if found.checkpoint is not None and files.exists(Path(options.run) / FILM) else None
    if options.text is None and film is None:
        raise UserError(f"{found.name} has no film, whose text could be taken; give --text")
    text = tokenizer.decode(film.ids) if options.text is None and film is not None else options.text
    model = found.model(options.device)
    out = options.out or default_out(options.run)
    for each in notes(model, all_ids(model, tokenizer, text), film, f"film.{options.format}"):
        cli.note("gpt.figures", each)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, figure in pictures(model, tokenizer, text, film):
            save(figure, out / f"{name}.{options.format}")
            cli.say(str(out / f"{name}.{options.format}"))
    except OSError as error:
        raise UserError(f"cannot write {error.filename or out}: {error.strerror}; give another --out") from None
    return 0


def default_out(run: Path | str) -> Path:
    """Return the folder of the pictures where none is named. Raises UserError if a run has something else of that name."""
    if str(run).startswith(HUB):
        return Path("figures")
    out = Path(run) / "figures"
    files.is_folder(out)  # a link may lead out of the run
    return out


def notes(model: Model, ids: list[int], film: Film | None, name: str) -> Iterator[str]:
    """Yield what the pictures leave out of the text."""
    if len(ids) > longest(model):
        why = "the model's context" if longest(model) == model.config.context else "as many as a figure has"
        yield f"the text has {len(ids):,} tokens; the figures show the first {longest(model):,}, {why}"
    if film is not None and film.ids != ids:
        yield f"{name} shows another text, the one that was recorded: {short(repr(film.tokenizer.decode(film.ids)))}"


if __name__ == "__main__":
    sys.exit(main())
