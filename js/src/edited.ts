import { prepare } from "./canvas";
import type { FilledFrame, Region } from "./frame";
import { type Box, inLevels, outlineBoxes } from "./outlines";
import type { Theme } from "./theme";

type Run = [start: number, stop: number];

/** Edited cells of the heatmap that make a rectangle, in rows and columns. */
export interface Block {
  rows: Run;
  columns: Run;
}

export function editedUnits(frame: FilledFrame): Set<number> {
  return new Set(frame.edited.flatMap(({ units }) => units ?? [...frame.order]));
}

/** Rectangles that together are all cells of some regions; a pooled cell is edited if anything in it is. */
export function editedBlocks(frame: FilledFrame, edited: readonly Region[] = frame.edited): Block[] {
  if (edited.length === 0) return [];
  const { columns, row_factor, column_factor } = frame.heatmap;
  const rowOf = new Map([...frame.order].map((unit, place) => [unit, Math.floor(place / row_factor)]));
  return edited.flatMap(({ units, steps }) => {
    const places = units ? units.flatMap((unit) => rowOf.get(unit) ?? []) : [...rowOf.values()];
    const windows = (steps ?? [[0, frame.steps]]).map(([start, stop]): Run => {
      return [Math.floor(start / column_factor), Math.min(columns, Math.ceil(stop / column_factor))];
    });
    return runs(places).flatMap((rows) => windows.map((columns) => ({ rows, columns })));
  });
}

/** Neighbouring numbers as [start, stop) runs. */
function runs(numbers: number[]): Run[] {
  const found: Run[] = [];
  for (const number of [...new Set(numbers)].sort((a, b) => a - b)) {
    const last = found.at(-1);
    if (last && last[1] === number) last[1] = number + 1;
    else found.push([number, number + 1]);
  }
  return found;
}

/** Whether everything of one region is in another, and not the other way round. */
function within(narrow: Region, wide: Region): boolean {
  return covers(wide, narrow) && !covers(narrow, wide);
}

function covers(wide: Region, narrow: Region): boolean {
  const units = wide.units && new Set(wide.units);
  const hasUnits = !units || (narrow.units?.every((unit) => units.has(unit)) ?? false);
  const hasSteps =
    !wide.steps ||
    (narrow.steps?.every(([start, stop]) =>
      wide.steps!.some(([first, after]) => first <= start && stop <= after),
    ) ??
      false);
  return hasUnits && hasSteps;
}

/** Accent lines around what is edited: overlapping edits as one, an edit inside a wider one by itself. */
export function outlineEdited(
  canvas: HTMLCanvasElement,
  frame: FilledFrame,
  width: number,
  height: number,
  theme: Theme,
): void {
  const { context } = prepare(canvas, width, height);
  const { rows, columns } = frame.heatmap;
  const boxOf = (block: Block): Box => ({
    left: Math.round((block.columns[0] / columns) * width),
    right: Math.round((block.columns[1] / columns) * width),
    top: Math.round((block.rows[0] / rows) * height),
    bottom: Math.round((block.rows[1] / rows) * height),
  });
  const levels = inLevels(frame.edited, within).map((regions) => editedBlocks(frame, regions).map(boxOf));
  outlineBoxes(context, levels, { width, height, halo: height / rows >= 4, border: true }, theme);
}
