import type { Mark } from "./cells";
import type { ColorMap } from "./colormap";
import { isDark } from "./theme";

const BASE = "#8c8c8c";
const DARK = "#141414";
const PALE = "#fafafa";

export const MARK_NAMES: Record<Mark, string> = {
  nan: "NaN",
  plus: "+∞",
  minus: "−∞",
  above: "> max",
  below: "< min",
};

/**
 * Paints what no colour of a scale can say, in greys that the scale does not contain. Infinite cells are black with
 * a pale arrow, or the other way round where the scale begins dark; NaN cells are hatched; a value outside the limits
 * keeps its colour and gets a bar at that side, pale on a dark colour and dark on a pale one.
 */
export function drawMark(
  context: CanvasRenderingContext2D,
  mark: Mark,
  colors: ColorMap,
  x: number,
  y: number,
  width: number,
  height: number,
): void {
  const [ink, paper] = colors.dark ? [PALE, DARK] : [DARK, PALE];
  const outside = mark === "above" || mark === "below";
  if (outside) {
    const thickness = Math.max(1, height * 0.28);
    context.fillStyle = isDark(colors.css(mark === "above" ? 255 : 0)) ? PALE : DARK;
    context.fillRect(x, mark === "above" ? y : y + height - thickness, width, thickness);
    return;
  }
  if (mark === "nan") {
    drawMissing(context, x, y, width, height);
    return;
  }
  context.fillStyle = ink;
  context.fillRect(x, y, width, height);
  context.fillStyle = paper;
  drawArrow(context, mark === "plus", x, y, width, height);
}

/** Hatched: there is no number. */
export function drawMissing(
  context: CanvasRenderingContext2D,
  x: number,
  y: number,
  width: number,
  height: number,
): void {
  context.save();
  context.fillStyle = BASE;
  context.fillRect(x, y, width, height);
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.strokeStyle = DARK;
  context.lineWidth = 1;
  context.beginPath();
  for (let offset = -height + 1; offset < width; offset += 4) {
    context.moveTo(x + offset, y + height);
    context.lineTo(x + offset + height, y);
  }
  context.stroke();
  context.restore();
}

function drawArrow(
  context: CanvasRenderingContext2D,
  up: boolean,
  x: number,
  y: number,
  width: number,
  height: number,
): void {
  const reach = Math.max(1, Math.min(width, height * 1.4, 10) / 2 - 0.5);
  const middle = x + width / 2;
  const [tip, foot] = up ? [y + height * 0.15, y + height * 0.85] : [y + height * 0.85, y + height * 0.15];
  context.beginPath();
  context.moveTo(middle - reach, foot);
  context.lineTo(middle + reach, foot);
  context.lineTo(middle, tip);
  context.fill();
}
