import type { TimeScale } from "./timescale";

export interface Stroke {
  color: string;
  width: number;
  dash?: number[];
}

/** A line through the finite values; a value that stands alone is a dot. */
export function drawLine(
  context: CanvasRenderingContext2D,
  values: Float32Array,
  scale: TimeScale,
  height: (value: number) => number,
  stroke: Stroke,
): void {
  context.save();
  context.strokeStyle = stroke.color;
  context.fillStyle = stroke.color;
  context.lineWidth = stroke.width;
  context.lineJoin = "round";
  context.setLineDash(stroke.dash ?? []);
  context.beginPath();
  const lone: number[] = [];
  let drawing = false;
  values.forEach((value, step) => {
    if (!Number.isFinite(value)) {
      drawing = false;
      return;
    }
    const [x, y] = [scale.centre(step), height(value)];
    if (drawing) context.lineTo(x, y);
    else context.moveTo(x, y);
    if (!drawing && !Number.isFinite(values[step + 1] ?? Number.NaN)) lone.push(step);
    drawing = true;
  });
  context.stroke();
  for (const step of lone) {
    context.beginPath();
    context.arc(scale.centre(step), height(values[step]!), stroke.width + 0.5, 0, 2 * Math.PI);
    context.fill();
  }
  context.restore();
}

/** Small signs at the edge for values that no height can show: × NaN, ▴ +∞, ▾ −∞. */
export function drawOddSteps(
  context: CanvasRenderingContext2D,
  values: Float32Array,
  scale: TimeScale,
  area: { top: number; bottom: number },
  color: string,
): void {
  // The usual case: setting a font alone takes longer than a line.
  if (values.every(Number.isFinite)) return;
  context.save();
  context.fillStyle = color;
  context.font = "9px sans-serif";
  context.textAlign = "center";
  values.forEach((value, step) => {
    if (Number.isFinite(value)) return;
    const up = value === Number.POSITIVE_INFINITY;
    const sign = Number.isNaN(value) ? "×" : up ? "▴" : "▾";
    context.fillText(sign, scale.centre(step), up ? area.top + 7 : area.bottom - 1);
  });
  context.restore();
}

export function drawRule(context: CanvasRenderingContext2D, y: number, width: number, color: string): void {
  context.fillStyle = color;
  context.fillRect(0, Math.round(y) - 0.5, width, 1);
}

/** The largest finite size among the series; 0 where there is none. */
export function largest(series: Iterable<Float32Array | null>): number {
  let size = 0;
  for (const values of series)
    for (const value of values ?? []) if (Number.isFinite(value)) size = Math.max(size, Math.abs(value));
  return size;
}

/** A round limit not below the number, so that the scale rests while a dial moves. */
export function roundLimit(number: number): number {
  if (!(number > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(number));
  return power * ([1, 1.5, 2, 3, 5, 7, 10].find((factor) => factor * power >= number * 0.999) ?? 10);
}
