import { prepare } from "./canvas";
import type { Grid } from "./cells";
import { type Box, inLevels, outlineBoxes } from "./outlines";
import type { Band } from "./ripple_frame";
import type { Theme } from "./theme";

const MARK = 2;
const LEAST = 3;

/** Accent lines around what is edited in a band; a band that is edited all over has a mark at its edge. */
export function outlineEdits(
  canvas: HTMLCanvasElement,
  band: Band,
  { width, height, steps }: { width: number; height: number; steps: number },
  theme: Theme,
): void {
  const { context } = prepare(canvas, width, height);
  const [tall, wide] = [height / Math.max(1, band.units), width / Math.max(1, steps)];
  const all = ([first, after, start, stop]: Rectangle) =>
    first <= 0 && after >= band.units && start <= 0 && stop >= steps;
  const boxOf = ([first, after, start, stop]: Rectangle): Box => {
    const [left, right] = atLeast(Math.round(start * wide), Math.round(stop * wide), width);
    const [top, bottom] = atLeast(Math.round(first * tall), Math.round(after * tall), height);
    return { left, right, top, bottom };
  };
  const parts = band.edited.filter((edited) => !all(edited));
  const levels = inLevels(parts, within).map((level) => level.map(boxOf));
  outlineBoxes(context, levels, { width, height, halo: tall >= 4, border: false }, theme);
  if (parts.length === band.edited.length) return;
  context.fillStyle = theme.accent;
  context.fillRect(0, 0, MARK, height);
}

type Rectangle = Band["edited"][number];

function within(narrow: Rectangle, wide: Rectangle): boolean {
  const covers = (a: Rectangle, b: Rectangle) => a[0] <= b[0] && a[1] >= b[1] && a[2] <= b[2] && a[3] >= b[3];
  return covers(wide, narrow) && !covers(narrow, wide);
}

/** A stretch of pixels that is wide enough to be seen, inside its field. */
function atLeast(start: number, stop: number, size: number): [number, number] {
  const first = Math.max(0, Math.min(start, size - LEAST));
  return [first, Math.min(size, Math.max(stop, first + LEAST))];
}

/** Cells with nothing to compare, hatched all over as one, so that a word that was put in is one quiet column. */
export function hatchMissing(
  canvas: HTMLCanvasElement,
  cells: Grid,
  width: number,
  height: number,
  theme: Theme,
): void {
  const context = canvas.getContext("2d");
  if (!context || !cells.values.some((value) => Number.isNaN(value))) return;
  const ratio = canvas.width / width;
  const [tall, wide] = [height / cells.rows, width / cells.columns];
  context.save();
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.beginPath();
  cells.values.forEach((value, cell) => {
    if (Number.isNaN(value))
      context.rect((cell % cells.columns) * wide, Math.floor(cell / cells.columns) * tall, wide, tall);
  });
  context.clip();
  context.fillStyle = theme.background;
  context.fillRect(0, 0, width, height);
  context.strokeStyle = theme.faint;
  context.beginPath();
  for (let x = -height; x < width; x += 7) {
    context.moveTo(x, height);
    context.lineTo(x + height, 0);
  }
  context.stroke();
  context.restore();
}
