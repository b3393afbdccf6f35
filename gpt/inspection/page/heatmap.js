/**
 * A grid of numbers as colours, on a canvas, of any size: only the cells that can be seen are drawn.
 *
 * For a keyboard and a screen reader it is an ARIA grid with one tab stop. It would take thousands of elements to have
 * one for each cell, so there is one, which the arrow keys move: it lies over its cell, is its focus ring, and says its
 * number.
 */

import { clamp, el, oncePerFrame } from "./dom.js";
import { BLANK, colours, currentTheme, inkOn, level, themed } from "./colour.js";
import { glance, tip } from "./follow.js";

/**
 * @typedef {object} Grid
 * @property {string} label what the grid shows, in words
 * @property {number} rows
 * @property {number} columns
 * @property {(row: number, column: number) => number} at
 * @property {"signed" | "weight"} kind the scale of its colours
 * @property {number} range the number at the end of the scale
 * @property {(row: number, column: number) => string[]} describe a cell in words: the lines beside the pointer
 * @property {(row: number, column: number) => void} [open] what a click or Enter does
 * @property {number} width of a cell, in CSS pixels
 * @property {number} height
 * @property {(row: number) => string} [rowName] shown to the left of a row
 * @property {(column: number) => string} [columnName] shown above a column
 * @property {number} [gutter] the width of the names of rows, in pixels
 * @property {(row: number, column: number) => string} [text] written into a cell
 * @property {"row" | "column"} [tokens] which of both stands for tokens: moving there follows them
 * @property {"row" | "column"} [marks] which of both can be marked, where it does not stand for tokens
 * @property {Map<number, string>} [ticks] what is written above some columns, each to the right of its beginning
 * @property {"wide" | "square"} [fills] the width that is there: cells grow and shrink, square ones also in height
 * @property {number} [groups] columns of one group, after which a line is drawn, as heads
 * @property {number} [tallest] pixels, from which on the grid scrolls
 */

const HEADER = 20; // pixels for the names of columns
const observer = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) grids.get(target)?.appear(isIntersecting);
  },
  { rootMargin: "300px" },
);
const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) grids.get(target)?.resize();
});
/** @type {WeakMap<Element, HeatMap>} */
const grids = new WeakMap();

export class HeatMap {
  /** @param {Grid} grid */
  constructor(grid) {
    this.grid = grid;
    this.left = grid.gutter ?? 0;
    this.top = grid.columnName || grid.ticks ? HEADER : 0;
    this.row = 0;
    this.column = 0;
    this.seen = false;
    this.canvas = el("canvas", { "aria-hidden": "true" });
    this.cell = el("div", { role: "gridcell", tabindex: 0, class: "grid-cell" });
    this.line = el("div", { role: "row", class: "grid-row" }, this.cell);
    this.along = grid.tokens ?? grid.marks;
    this.marked = /** @type {number | null} */ (null);
    this.band = el("div", { class: `grid-band ${this.along ?? ""}`, "aria-hidden": "true", hidden: true });
    this.sheet = el(
      "div",
      {
        class: "grid-sheet",
        role: "grid",
        "aria-label": grid.label,
        "aria-readonly": "true",
        "aria-rowcount": grid.rows,
        "aria-colcount": grid.columns,
        style: {
          width: `${this.left + grid.columns * grid.width}px`,
          height: `${this.top + grid.rows * grid.height}px`,
        },
      },
      this.canvas,
      this.band,
      this.line,
    );
    /** The element to put into the page. @type {HTMLElement} */
    this.element = el("div", { class: grid.fills ? "grid fills" : "grid" }, this.sheet);
    if (grid.tallest) this.element.style.maxHeight = `${grid.tallest}px`;
    this.draw = oncePerFrame(() => this.paint());
    this.listen();
    this.place();
    grids.set(this.element, this);
    observer.observe(this.element);
    sizes.observe(this.element);
    themed.add(this.draw);
  }

  /** Fit the cells into the width that is there, if the grid fills it, and draw. */
  resize() {
    const { grid, element, sheet } = this;
    if (grid.fills && element.clientWidth) {
      grid.width = Math.max((element.clientWidth - this.left) / grid.columns, 1);
      if (grid.fills === "square") grid.height = grid.width;
      sheet.style.width = `${this.left + grid.columns * grid.width}px`;
      sheet.style.height = `${this.top + grid.rows * grid.height}px`;
      this.place();
      this.mark(this.marked);
    }
    this.draw();
  }

  listen() {
    const { grid, element, cell, sheet } = this;
    element.addEventListener("scroll", this.draw, { passive: true });
    sheet.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => this.hover(event));
    sheet.addEventListener("pointerleave", () => {
      tip(null);
      if (grid.tokens) glance(null);
    });
    sheet.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      const at = this.cellAt(event);
      if (!at) return;
      [this.row, this.column] = at;
      this.place();
      cell.focus({ preventScroll: true });
      grid.open?.(...at);
    });
    cell.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.key(event));
    cell.addEventListener("focus", () => this.say());
    cell.addEventListener("blur", () => tip(null));
  }

  /** The cell under the pointer. @param {PointerEvent | MouseEvent} event @returns {[number, number] | null} */
  cellAt(event) {
    const box = this.sheet.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - this.left) / this.grid.width);
    const row = Math.floor((event.clientY - box.top - this.top) / this.grid.height);
    const outside = row < 0 || column < 0 || row >= this.grid.rows || column >= this.grid.columns;
    return outside ? null : [row, column];
  }

  /** @param {PointerEvent} event */
  hover(event) {
    const at = this.cellAt(event);
    if (!at) return tip(null);
    tip(this.grid.describe(...at), event);
    if (this.grid.tokens) glance(this.grid.tokens === "row" ? at[0] : at[1]);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const { rows, columns } = this.grid;
    const far = { Home: [0, -columns], End: [0, columns], PageUp: [-10, 0], PageDown: [10, 0] };
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], ...far }[event.key];
    if (step) {
      this.row = clamp(this.row + step[0], 0, rows - 1);
      this.column = clamp(this.column + step[1], 0, columns - 1);
      this.place();
      this.show();
      this.say();
    } else if ((event.key === "Enter" || event.key === " ") && this.grid.open) {
      this.grid.open(this.row, this.column);
    } else return;
    event.preventDefault();
  }

  /** Lay the one cell over where it stands for. */
  place() {
    const { grid, cell, line } = this;
    line.setAttribute("aria-rowindex", String(this.row + 1));
    cell.setAttribute("aria-colindex", String(this.column + 1));
    cell.setAttribute("aria-label", grid.describe(this.row, this.column).join(", "));
    Object.assign(cell.style, {
      left: `${this.left + this.column * grid.width}px`,
      top: `${this.top + this.row * grid.height}px`,
      width: `${grid.width}px`,
      height: `${grid.height}px`,
    });
  }

  /** Scroll the grid, not the page, until the cell can be seen. */
  show() {
    const { grid, element } = this;
    const x = this.left + this.column * grid.width,
      y = this.top + this.row * grid.height;
    element.scrollLeft = clamp(element.scrollLeft, x + grid.width - element.clientWidth, x - this.left);
    element.scrollTop = clamp(element.scrollTop, y + grid.height - element.clientHeight, y - this.top);
  }

  /** What the pointer would show, for the cell of the keyboard. */
  say() {
    if (!this.cell.matches(":focus-visible")) return;
    tip(this.grid.describe(this.row, this.column), this.cell);
    if (this.grid.tokens) glance(this.grid.tokens === "row" ? this.row : this.column);
  }

  /** Mark a row or column, of a token or of a moment. @param {number | null} token */
  mark(token) {
    const { grid, band } = this;
    const count = this.along === "column" ? grid.columns : grid.rows;
    this.marked = token;
    band.hidden = token === null || token >= count;
    if (band.hidden || token === null) return;
    const style =
      this.along === "column"
        ? { left: `${this.left + token * grid.width}px`, width: `${grid.width}px`, top: "0", height: "100%" }
        : { top: `${this.top + token * grid.height}px`, height: `${grid.height}px`, left: "0", width: "100%" };
    Object.assign(band.style, style);
  }

  /** @param {boolean} isNear whether it is in view, or soon will be */
  appear(isNear) {
    this.seen = isNear;
    if (isNear) this.paint();
    else this.canvas.width = this.canvas.height = 0; // gives its memory back
  }

  paint() {
    const { grid, element, canvas } = this;
    const sheetWidth = this.left + grid.columns * grid.width,
      sheetHeight = this.top + grid.rows * grid.height;
    const width = Math.min(element.clientWidth, sheetWidth),
      height = Math.min(element.clientHeight || sheetHeight, sheetHeight);
    if (!this.seen || width === 0 || height === 0) return;
    const dense = devicePixelRatio || 1;
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.scale(dense, dense);
    context.imageSmoothingEnabled = false;
    const x = element.scrollLeft,
      y = element.scrollTop;
    const columns = [Math.floor(x / grid.width), Math.min(grid.columns, Math.ceil((x + width) / grid.width))];
    const rows = [Math.floor(y / grid.height), Math.min(grid.rows, Math.ceil((y + height) / grid.height))];
    context.drawImage(
      this.pixels(rows, columns),
      this.left + columns[0] * grid.width - x,
      this.top + rows[0] * grid.height - y,
      (columns[1] - columns[0]) * grid.width,
      (rows[1] - rows[0]) * grid.height,
    );
    this.rule(context, rows, columns, x, y, width, height);
    this.write(context, rows, columns, x, y, width, height);
  }

  /** An image with one pixel for each cell. @param {number[]} rows first, last + 1 @param {number[]} columns */
  pixels(rows, columns) {
    const { grid } = this;
    const table = colours(grid.kind);
    const blank = BLANK[currentTheme()];
    const width = Math.max(1, columns[1] - columns[0]),
      height = Math.max(1, rows[1] - rows[0]);
    const image = new ImageData(width, height);
    for (let i = 0, p = 0; i < height; i++) {
      for (let j = 0; j < width; j++, p += 4) {
        const at = level(grid.at(rows[0] + i, columns[0] + j), grid.kind, grid.range);
        image.data[p] = at < 0 ? blank[0] : table[3 * at];
        image.data[p + 1] = at < 0 ? blank[1] : table[3 * at + 1];
        image.data[p + 2] = at < 0 ? blank[2] : table[3 * at + 2];
        image.data[p + 3] = 255;
      }
    }
    const small = document.createElement("canvas");
    small.width = width;
    small.height = height;
    /** @type {CanvasRenderingContext2D} */ (small.getContext("2d")).putImageData(image, 0, 0);
    return small;
  }

  /** Fine lines between large cells, and between groups of columns. */
  rule(
    /** @type {CanvasRenderingContext2D} */ context,
    /** @type {number[]} */ rows,
    /** @type {number[]} */ columns,
    /** @type {number} */ x,
    /** @type {number} */ y,
    /** @type {number} */ width,
    /** @type {number} */ height,
  ) {
    const { grid } = this;
    context.fillStyle = getComputedStyle(this.element).getPropertyValue("--card");
    if (grid.width >= 9)
      for (let j = columns[0]; j <= columns[1]; j++)
        context.fillRect(this.left + j * grid.width - x - 0.5, 0, 1, height);
    if (grid.height >= 9)
      for (let i = rows[0]; i <= rows[1]; i++) context.fillRect(0, this.top + i * grid.height - y - 0.5, width, 1);
    if (!grid.groups) return;
    context.fillStyle = getComputedStyle(this.element).getPropertyValue("--muted");
    for (let j = grid.groups; j < grid.columns; j += grid.groups)
      context.fillRect(this.left + j * grid.width - x - 0.5, this.top, 1, height);
  }

  /** The names of rows and columns, which stay in view, and the texts in the cells. */
  write(
    /** @type {CanvasRenderingContext2D} */ context,
    /** @type {number[]} */ rows,
    /** @type {number[]} */ columns,
    /** @type {number} */ x,
    /** @type {number} */ y,
    /** @type {number} */ width,
    /** @type {number} */ height,
  ) {
    const { grid, left, top } = this;
    const style = getComputedStyle(this.element);
    context.textBaseline = "middle";
    context.direction = "ltr"; // also where a token is a letter of a right-to-left script
    if (grid.text) this.writeCells(context, rows, columns, x, y, grid.text);
    context.fillStyle = style.getPropertyValue("--card");
    if (left) context.fillRect(0, 0, left, height);
    if (top) context.fillRect(0, 0, width, top);
    context.fillStyle = style.getPropertyValue("--muted");
    context.font = `${clamp(grid.height - 1, 7, 12)}px ${style.getPropertyValue("--mono")}`;
    if (grid.rowName && grid.height >= 8) {
      for (let i = rows[0]; i < rows[1]; i++)
        context.fillText(grid.rowName(i), 2, top + (i + 0.5) * grid.height - y, left - 6);
    }
    context.clearRect(0, 0, left && top ? left : 0, top);
    context.textAlign = "center";
    context.font = `12px ${style.getPropertyValue("--mono")}`;
    if (grid.columnName && grid.width >= 8) {
      for (let j = columns[0]; j < columns[1]; j++) {
        const at = left + (j + 0.5) * grid.width - x;
        if (at > left) context.fillText(grid.columnName(j), at, top / 2, grid.width - 2);
      }
    }
    context.textAlign = "left";
    let end = -Infinity;
    for (const [j, text] of grid.ticks ?? []) {
      const size = context.measureText(text).width,
        at = Math.min(left + j * grid.width - x, width - size); // the last may not leave the grid
      if (at < end + 8) continue;
      context.fillText(text, at, top / 2);
      end = at + size;
    }
  }

  /**
   * @param {CanvasRenderingContext2D} context @param {number[]} rows @param {number[]} columns @param {number} x
   * @param {number} y @param {(row: number, column: number) => string} text
   */
  writeCells(context, rows, columns, x, y, text) {
    const { grid } = this;
    const table = colours(grid.kind);
    context.textAlign = "center";
    context.font = `13px ${getComputedStyle(this.element).getPropertyValue("--mono")}`;
    for (let i = rows[0]; i < rows[1]; i++) {
      for (let j = columns[0]; j < columns[1]; j++) {
        const at = level(grid.at(i, j), grid.kind, grid.range);
        const colour = /** @type {[number, number, number]} */ (
          at < 0 ? BLANK[currentTheme()] : [...table.slice(3 * at, 3 * at + 3)]
        );
        context.fillStyle = inkOn(colour);
        context.fillText(
          text(i, j),
          this.left + (j + 0.5) * grid.width - x,
          this.top + (i + 0.5) * grid.height - y,
          grid.width - 2,
        );
      }
    }
    context.textAlign = "left";
  }
}

/**
 * Sizes of cells so that a grid fits into some width, and stays large enough to hit.
 * @param {number} columns @param {number} room @param {number} least @param {number} most
 */
export const fitted = (columns, room, least, most) => clamp(Math.floor(room / Math.max(columns, 1)), least, most);
