import type { Mark } from "./cells";

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
 * Paints what no colour of a scale can say, in greys that no scale contains. Infinite cells are black with a
 * pale arrow, NaN cells hatched; a value outside the limits keeps its colour and gets a bar at that side.
 */
export function drawMark(
  context: CanvasRenderingContext2D,
  mark: Mark,
  x: number,
  y: number,
  width: number,
  height: number,
): void {
  const outside = mark === "above" || mark === "below";
  if (outside) {
    const thickness = Math.max(1, height * 0.28);
    context.fillStyle = DARK;
    context.fillRect(x, mark === "above" ? y : y + height - thickness, width, thickness);
    return;
  }
  context.fillStyle = mark === "nan" ? BASE : DARK;
  context.fillRect(x, y, width, height);
  context.fillStyle = mark === "nan" ? DARK : PALE;
  if (mark === "nan") drawHatch(context, x, y, width, height);
  else drawArrow(context, mark === "plus", x, y, width, height);
}

function drawHatch(
  context: CanvasRenderingContext2D,
  x: number,
  y: number,
  width: number,
  height: number,
): void {
  context.save();
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
