import { prepare } from "./canvas";
import { fitToPixels, type Grid, markedCells, toImage } from "./cells";
import { type ColorMap, colorsOf } from "./colormap";
import type { Cursor } from "./cursor";
import { make } from "./dom";
import { outlineEdited } from "./edited";
import { unitsOfRow } from "./frame";
import { type Lane, laneParts, type Sheet } from "./lane";
import { drawMark } from "./marks";
import { Remembered } from "./remembered";
import type { Ground } from "./repainting";
import { RowMargin, RowMarkers } from "./rows";
import { type Run, shownGrid } from "./shown";

const TALL = 280;
const TALLEST = 400;
const KEYS =
  "arrow keys move the cell cursor, Page Up and Page Down ten rows, Home and End the first and last step, " +
  "Enter pins the unit, Shift Enter adds it, Shift with left or right brushes steps, Escape clears";

/** Height in CSS pixels of a heatmap of so many rows: whole pixels a row where they fit. */
export function heightFor(rows: number): number {
  if (rows > TALLEST) return Math.ceil(rows / Math.ceil(rows / TALLEST));
  return rows * Math.max(1, Math.min(18, Math.floor(TALL / Math.max(1, rows))));
}

/** One pixel a cell, before it is stretched. */
const scratch = document.createElement("canvas");

export function paintGrid(
  canvas: HTMLCanvasElement,
  grid: Grid,
  limits: readonly [number, number],
  colors: ColorMap,
  width: number,
  height: number,
): void {
  const { context } = prepare(canvas, width, height);
  const fitted = fitToPixels(grid, canvas.height, canvas.width, limits[1] - limits[0]);
  if (fitted.rows === 0 || fitted.columns === 0) return;
  if (scratch.width !== fitted.columns) scratch.width = fitted.columns;
  if (scratch.height !== fitted.rows) scratch.height = fitted.rows;
  scratch.getContext("2d")?.putImageData(toImage(fitted, limits, colors), 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(scratch, 0, 0, width, height);
  context.setTransform(1, 0, 0, 1, 0, 0);
  const edge = (index: number, count: number, size: number) => Math.round((index / count) * size);
  for (const { row, column, mark } of markedCells(fitted, limits)) {
    const left = edge(column, fitted.columns, canvas.width);
    const top = edge(row, fitted.rows, canvas.height);
    const right = edge(column + 1, fitted.columns, canvas.width);
    const bottom = edge(row + 1, fitted.rows, canvas.height);
    drawMark(context, mark, colors, left, top, right - left, bottom - top);
  }
}

/** The canvas heatmap with its cell cursor, row markers and margin bars. */
export class HeatmapLane implements Lane {
  readonly element: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  private readonly field: HTMLElement;
  private readonly outlines = make("canvas", { class: "rnnwidget-outlines", "aria-hidden": "true" });
  private readonly rowBand = make("div", { class: "rnnwidget-row" });
  private readonly cell = make("div", { class: "rnnwidget-cell" });
  private readonly markers: RowMarkers;
  private readonly bars: RowMargin;
  private readonly outlined = new Remembered();
  private sheet: Sheet | null = null;
  private height = 0;

  constructor(
    private readonly cursor: Cursor,
    private readonly run: () => Run,
    private readonly units: () => number[],
  ) {
    const parts = laneParts("heatmap");
    this.element = parts.element;
    this.field = parts.field;
    this.field.setAttribute("role", "application");
    this.field.setAttribute("aria-label", `heatmap: ${KEYS}`);
    this.canvas = make("canvas", { role: "img", tabindex: "0", "aria-label": "heatmap" });
    this.field.append(this.canvas, this.rowBand, this.outlines, this.cell);
    this.markers = new RowMarkers(parts.gutter);
    this.bars = new RowMargin(parts.margin);
    this.canvas.addEventListener("pointermove", (event) => this.cursor.move({ row: this.rowAt(event) }));
    cursor.listen(() => this.placeCell());
  }

  measure(ground: Ground): void {
    this.bars.measure(ground);
  }

  rowAt(event: MouseEvent): number {
    const rows = this.sheet?.frame.heatmap.rows ?? 1;
    const y = event.clientY - this.canvas.getBoundingClientRect().top;
    return Math.min(rows - 1, Math.max(0, Math.floor((y / this.height) * rows)));
  }

  paint(sheet: Sheet): void {
    this.sheet = sheet;
    const { frame, scale, theme } = sheet;
    const shown = shownGrid(frame, this.run());
    this.height = heightFor(frame.heatmap.rows);
    this.element.style.height = `${this.height}px`;
    this.canvas.setAttribute("aria-label", shown.words);
    const colors = colorsOf(shown.signed, theme);
    paintGrid(this.canvas, shown.grid, shown.limits, colors, scale.width, this.height);
    const { edited, order, heatmap } = frame;
    const size = [scale.width, this.height, heatmap.columns, heatmap.column_factor, heatmap.row_factor];
    if (!this.outlined.still(JSON.stringify(edited), order, ...size, frame.steps, theme, devicePixelRatio))
      outlineEdited(this.outlines, frame, scale.width, this.height, theme);
    this.markers.paint(frame, this.units(), this.height, theme);
    this.bars.paint(frame, this.height, theme);
    this.placeCell();
  }

  private placeCell(): void {
    if (!this.sheet) return;
    const { frame, scale } = this.sheet;
    const { rows, columns, column_factor } = frame.heatmap;
    const rowHeight = this.height / Math.max(1, rows);
    const row = Math.min(this.cursor.row, rows - 1);
    const top = row * rowHeight;
    const column = Math.min(columns - 1, Math.floor(this.cursor.step / column_factor));
    const left = (column / columns) * scale.width;
    const box = { top: `${top}px`, height: `${rowHeight}px` };
    this.markers.point(unitsOfRow(frame, row), top + rowHeight / 2, this.height);
    Object.assign(this.rowBand.style, box, { width: `${scale.width}px` });
    Object.assign(this.cell.style, box, { left: `${left}px`, width: `${scale.width / columns}px` });
  }
}
