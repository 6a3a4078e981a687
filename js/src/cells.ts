import type { ColorMap } from "./colormap";
import type { Heatmap } from "./frame";

/** What a colour cannot say about a cell. */
export type Mark = "nan" | "plus" | "minus" | "above" | "below";

export interface Grid {
  rows: number;
  columns: number;
  values: Float32Array;
}

export interface MarkedCell {
  row: number;
  column: number;
  mark: Mark;
}

/** The value to paint for every cell: the mean, or an extreme more than a quarter of the range away. */
export function valuesToPaint(heatmap: Heatmap): Float32Array {
  const { data, low, high, limits } = heatmap;
  if (!low || !high) return data;
  const reach = (limits[1] - limits[0]) / 4;
  return data.map((mean, cell) => farthest(mean, low[cell]!, high[cell]!, reach));
}

function farthest(mean: number, low: number, high: number, reach: number): number {
  if (!Number.isFinite(mean)) return mean;
  const below = mean - low;
  const above = high - mean;
  if (!(below > reach) && !(above > reach)) return mean;
  return above >= below ? high : low;
}

/** The grid with no more rows and columns than there are pixels, by the same rule. */
export function fitToPixels(grid: Grid, rows: number, columns: number, range: number): Grid {
  if (grid.rows <= rows && grid.columns <= columns) return grid;
  const fitted: Grid = {
    rows: Math.min(grid.rows, rows),
    columns: Math.min(grid.columns, columns),
    values: grid.values,
  };
  fitted.values = new Float32Array(fitted.rows * fitted.columns);
  for (let row = 0; row < fitted.rows; row++)
    for (let column = 0; column < fitted.columns; column++)
      fitted.values[row * fitted.columns + column] = pooled(
        grid,
        Math.floor((row * grid.rows) / fitted.rows),
        Math.floor(((row + 1) * grid.rows) / fitted.rows),
        Math.floor((column * grid.columns) / fitted.columns),
        Math.floor(((column + 1) * grid.columns) / fitted.columns),
        range,
      );
  return fitted;
}

function pooled(grid: Grid, top: number, bottom: number, left: number, right: number, range: number): number {
  let sum = 0;
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let row = top; row < bottom; row++)
    for (let column = left; column < right; column++) {
      const value = grid.values[row * grid.columns + column]!;
      if (Number.isNaN(value)) return value;
      sum += value;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  const mean = sum / ((bottom - top) * (right - left));
  return Number.isFinite(mean) ? farthest(mean, low, high, range / 4) : mean;
}

export function markOf(value: number, [low, high]: readonly [number, number]): Mark | null {
  if (Number.isNaN(value)) return "nan";
  if (value === Number.POSITIVE_INFINITY) return "plus";
  if (value === Number.NEGATIVE_INFINITY) return "minus";
  const slack = 1e-6 * Math.max(Math.abs(low), Math.abs(high));
  if (value > high + slack) return "above";
  return value < low - slack ? "below" : null;
}

/** The usual case, told quickly: no cell has a mark. */
function allWithin(values: Float32Array, [low, high]: readonly [number, number]): boolean {
  for (let cell = 0; cell < values.length; cell++)
    if (!(values[cell]! >= low && values[cell]! <= high)) return false;
  return Number.isFinite(low) && Number.isFinite(high);
}

export function markedCells(grid: Grid, limits: readonly [number, number]): MarkedCell[] {
  const marked: MarkedCell[] = [];
  if (allWithin(grid.values, limits)) return marked;
  grid.values.forEach((value, cell) => {
    const mark = markOf(value, limits);
    if (mark) marked.push({ row: Math.floor(cell / grid.columns), column: cell % grid.columns, mark });
  });
  return marked;
}

export function countMarks(values: Float32Array, limits: readonly [number, number]): Map<Mark, number> {
  const counts = new Map<Mark, number>();
  if (allWithin(values, limits)) return counts;
  for (const value of values) {
    const mark = markOf(value, limits);
    if (mark) counts.set(mark, (counts.get(mark) ?? 0) + 1);
  }
  return counts;
}

/** One pixel a cell. */
export function toImage(grid: Grid, limits: readonly [number, number], colors: ColorMap): ImageData {
  const image = new ImageData(grid.columns, grid.rows);
  const pixels = new Uint32Array(image.data.buffer);
  const { values } = grid;
  const { words } = colors;
  const [low, high] = limits;
  const span = high - low;
  if (!(span > 0)) {
    pixels.fill(words[128]!);
    return image;
  }
  for (let cell = 0; cell < values.length; cell++) {
    const value = values[cell]!;
    // As `colorIndex` has it, written out: a picture has many cells.
    const share = ((value - low) / span) * 255;
    pixels[cell] = words[share >= 255 ? 255 : share > 0 ? (share + 0.5) | 0 : share <= 0 ? 0 : 128]!;
  }
  return image;
}
