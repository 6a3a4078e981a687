import { prepare } from "./canvas";
import type { Cursor } from "./cursor";
import { make, setText } from "./dom";
import { formatCount, formatPower, formatValue } from "./format";
import type { Gradient } from "./frame";
import { spread } from "./labels";
import { type Lane, laneParts, type Sheet, textAt } from "./lane";
import { drawLine, drawOddSteps, drawRule } from "./plot";
import { Remembered } from "./remembered";

const HEIGHT = 72;
const TOP = 5;
const BOTTOM = 60;
/** Where zero has a line of its own below the decades, those end higher up. */
const ABOVE_ZERO = 47;
const ZERO = 64;
const DECADES = 12;
const LINE = 14;

/** The decades to show: all positive values, at most the upper twelve. */
export function decades(series: Float32Array[]): [number, number] {
  let low = Number.POSITIVE_INFINITY;
  let high = 0;
  for (const values of series)
    for (const value of values)
      if (Number.isFinite(value) && value > 0) {
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
  if (high === 0) return [-1, 0];
  const top = Math.ceil(Math.log10(high));
  return [Math.max(Math.min(Math.floor(Math.log10(low)), top - 1), top - DECADES), top];
}

/**
 * How strongly the loss reaches back: total gradient and the step's own share, on a log axis. A gradient with a message
 * is that of another run than the one on show, and greyed.
 */
export class GradientLane implements Lane {
  readonly element: HTMLElement;
  private readonly gutter: HTMLElement;
  private readonly margin: HTMLElement;
  private readonly caption = make("span", { class: "rnnwidget-caption" });
  private readonly message = make("span", { class: "rnnwidget-gradient-message" });
  private readonly canvas = make("canvas", { role: "img", "aria-label": "gradient norm over the steps" });
  private readonly total = textAt("rnnwidget-line-label", 0, "");
  private readonly local = textAt("rnnwidget-line-label", 0, "");
  private readonly drawn = new Remembered();
  private gradient: Gradient | null = null;
  /** Once there was one its room stays: what stands below would jump. */
  private seen = false;

  constructor(private readonly cursor: Cursor) {
    const parts = laneParts("gradient");
    this.element = parts.element;
    this.gutter = parts.gutter;
    this.margin = parts.margin;
    parts.field.append(this.caption, this.canvas, this.message);
    this.total.dataset.line = "solid";
    this.local.dataset.line = "dotted";
    cursor.listen(() => this.write());
  }

  paint({ frame, scale, theme }: Sheet): void {
    const gradient = frame.gradient;
    this.gradient = gradient;
    setText(this.message, gradient ? "" : frame.gradient_message);
    const other = gradient !== null && frame.gradient_message !== "";
    this.element.dataset.state = gradient ? (other ? "other" : "own") : this.seen ? "gone" : "none";
    this.seen ||= gradient !== null;
    const told = other ? [frame.gradient_message] : [];
    const caption = gradient
      ? [...told, gradient.caption, ...notFinite(gradient), ...zero(gradient)].join(" · ")
      : "";
    setText(this.caption, caption);
    this.caption.title = caption;
    this.canvas.setAttribute("aria-label", `gradient norm over the steps: ${caption}`);
    const lines = gradient ? [gradient.total, gradient.local] : [];
    if (this.drawn.still(...lines, gradient?.local_label, scale.width, theme, devicePixelRatio)) return;
    const { context } = prepare(this.canvas, scale.width, HEIGHT);
    this.margin.replaceChildren();
    const name = make("span", {}, "gradient");
    this.gutter.replaceChildren(name);
    if (!gradient) return;
    const [low, high] = decades([gradient.total, gradient.local]);
    const span = high - low;
    const zeros = lines.some((values) => values.includes(0));
    const bottom = zeros ? ABOVE_ZERO : BOTTOM;
    const y = (value: number) => {
      const place = (Math.log10(Math.max(value, 1e-300)) - low) / span;
      return bottom - Math.max(0, place) * (bottom - TOP);
    };
    const stride = Math.max(1, Math.ceil(span / 3));
    const ticks: HTMLElement[] = [];
    for (let exponent = high; exponent >= low; exponent -= stride) {
      drawRule(context, y(10 ** exponent), scale.width, theme.faint);
      ticks.push(textAt("rnnwidget-axis-label", y(10 ** exponent), formatPower(exponent)));
    }
    if (zeros) ticks.push(textAt("rnnwidget-axis-label", ZERO, "0"));
    this.gutter.replaceChildren(name, ...ticks);
    for (const [values, width, dash] of [
      [gradient.local, 1.4, [1.5, 2.5]],
      [gradient.total, 1.8, []],
    ] as const) {
      const positive = values.map((value) => (value > 0 ? value : Number.NaN));
      drawLine(context, positive, scale, y, { color: theme.ink, width, dash: [...dash] });
      drawOddSteps(context, values, scale, { top: TOP, bottom }, theme.ink);
      context.fillStyle = theme.muted;
      values.forEach((value, step) => {
        if (value === 0) context.fillRect(scale.centre(step) - 1, ZERO - 2, 2, 4);
      });
    }
    this.placeLabels(gradient, y);
  }

  private placeLabels(gradient: Gradient, y: (value: number) => number): void {
    const ends = [gradient.total, gradient.local].map((values) => {
      const last = values.findLast((value) => Number.isFinite(value) && value > 0);
      return last === undefined ? ZERO : y(last);
    });
    const [total, local] = spread(ends, LINE, LINE / 2, HEIGHT - LINE / 2);
    this.total.style.top = `${total}px`;
    this.local.style.top = `${local}px`;
    this.margin.replaceChildren(this.total, this.local);
    this.write();
  }

  private write(): void {
    if (!this.gradient) return;
    setText(this.total, `total ${sized(this.gradient.total[this.cursor.step])}`);
    setText(
      this.local,
      `${this.gradient.local_label ?? "local"} ${sized(this.gradient.local[this.cursor.step])}`,
    );
  }
}

/** What the lines leave out, in words. */
function notFinite({ total, local }: Gradient): string[] {
  const odd = total.filter((value, step) => !Number.isFinite(value) || !Number.isFinite(local[step])).length;
  return odd > 0 ? [`not finite at ${formatCount(odd, "step")}`] : [];
}

/** Where a log scale has no place for a line. */
function zero({ total, local, local_label = "local" }: Gradient): string[] {
  const [whole, own] = [total, local].map((values) => values.filter((value) => value === 0).length);
  const told = (name: string, count: number) =>
    count === total.length
      ? `${name}zero at every step`
      : `${name}zero at ${count} of ${formatCount(total.length, "step")}`;
  if (whole === own) return whole ? [told("", whole)] : [];
  return [...(whole ? [told("total ", whole)] : []), ...(own ? [told(`${local_label} `, own)] : [])];
}

const sized = (value: number | undefined) =>
  value !== undefined && value > 0 && Number.isFinite(value)
    ? value.toExponential(0).replace("-", "−")
    : formatValue(value, 0);
