import type { Theme } from "./theme";

const LINE = 2;
const HALO = 1;

/** In CSS pixels. */
export interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

interface Field {
  width: number;
  height: number;
  /** A line of background around the lines. */
  halo: boolean;
  /** Whether a box at the field's own border has a line there, which lies inside it: there is no outside. */
  border: boolean;
}

/** The widest first, and each the later the more of the others it lies within. */
export function inLevels<T>(all: readonly T[], within: (narrow: T, wide: T) => boolean): T[][] {
  const depths = all.map((one) => all.filter((other) => within(one, other)).length);
  const levels = [...new Set(depths)].sort((a, b) => a - b);
  return levels.map((level) => all.filter((_, place) => depths[place] === level));
}

/** Lines around the boxes of each level as one. They lie outside, so that thin rows stay to be seen. */
export function outlineBoxes(
  context: CanvasRenderingContext2D,
  levels: Box[][],
  { width, height, halo, border }: Field,
  theme: Theme,
): void {
  const inset = border ? LINE : 0;
  for (const boxes of levels) {
    const fill = (color: string, by: number) => {
      context.fillStyle = color;
      for (const { left, right, top, bottom } of boxes)
        context.fillRect(left - by, top - by, right - left + 2 * by, bottom - top + 2 * by);
    };
    fill(theme.accent, LINE);
    // Behind the lines of wider boxes.
    context.globalCompositeOperation = "destination-over";
    if (halo) fill(theme.background, LINE + HALO);
    context.globalCompositeOperation = "source-over";
    for (const box of boxes) {
      const left = box.left === 0 ? inset : box.left;
      const top = box.top === 0 ? inset : box.top;
      const right = box.right === width ? width - inset : box.right;
      const bottom = box.bottom === height ? height - inset : box.bottom;
      context.clearRect(left, top, right - left, bottom - top);
    }
  }
}
