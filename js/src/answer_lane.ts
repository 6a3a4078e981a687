import { prepare } from "./canvas";
import type { Cursor } from "./cursor";
import { make, setText } from "./dom";
import { formatChance, formatShort, formatValue } from "./format";
import { spread } from "./labels";
import { laneParts, textAt } from "./lane";
import { drawLine, drawOddSteps, drawRule, largest, roundLimit } from "./plot";
import type { Theme } from "./theme";
import type { TimeScale } from "./timescale";

const HEIGHT = 64;
const PAD = 7;
const LINE = 14;

type Bytes = DataView | ArrayBuffer | Uint8Array;

/** The answer of the model that has read the first steps only, as far as Python has got with it. */
export interface AnswerSteps {
  /** The answer it belongs to, by number. */
  number: number;
  reason: string;
  label?: string;
  limits?: [number, number] | null;
  steps?: number;
  before?: Bytes;
  after?: Bytes | null;
  done?: boolean;
}

export interface Lines {
  label: string;
  limits: [number, number] | null;
  before: Float32Array;
  after: Float32Array | null;
  done: boolean;
}

function floats(bytes: Bytes): Float32Array {
  if (bytes instanceof ArrayBuffer) return new Float32Array(bytes);
  return new Float32Array(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength).slice().buffer);
}

/** The lines that fit a picture of so many steps; null if there are none. */
export function linesOf(wire: AnswerSteps | Record<string, never>, steps: number): Lines | null {
  if (!("number" in wire) || !wire.before || wire.steps !== steps) return null;
  return {
    label: wire.label ?? "answer",
    limits: wire.limits ?? null,
    before: floats(wire.before),
    after: wire.after ? floats(wire.after) : null,
    done: wire.done ?? false,
  };
}

export interface AnswerSheet {
  wire: AnswerSteps | Record<string, never>;
  /** The number of the answer on show: lines of an older one are drawn faint. */
  number: number;
  steps: number;
  scale: TimeScale;
  theme: Theme;
}

/** The answer after every step: before the edit as a ghost, after it solid. */
export class AnswerLane {
  readonly element: HTMLElement;
  private readonly gutter: HTMLElement;
  private readonly margin: HTMLElement;
  private readonly canvas = make("canvas", { role: "img", "aria-label": "answer after every step" });
  private readonly reason = make("span", { class: "rnnwidget-lane-reason" });
  private readonly before = textAt("rnnwidget-line-label", 0, "");
  private readonly after = textAt("rnnwidget-line-label", 0, "");
  private lines: Lines | null = null;

  /** `brief` where another lane on the page gives the whole reason. */
  constructor(
    private readonly cursor: Cursor,
    private readonly brief = false,
  ) {
    const parts = laneParts("answer-lane");
    this.element = parts.element;
    this.gutter = parts.gutter;
    this.margin = parts.margin;
    this.before.dataset.line = "dotted";
    this.after.dataset.line = "solid";
    parts.field.append(this.canvas, this.reason);
    cursor.listen(() => this.write());
  }

  paint({ wire, number, steps, scale, theme }: AnswerSheet): void {
    const lines = linesOf(wire, steps);
    const stale = !("number" in wire) || wire.number !== number;
    this.lines = lines;
    this.element.dataset.state = stale ? "stale" : lines?.done || wire.reason ? "done" : "growing";
    const reason = "reason" in wire && !stale ? wire.reason : "";
    const told = reason && this.brief ? "no answer along the way: the answer lane above says why" : reason;
    setText(this.reason, told || (lines ? "" : "the answer after every step appears here"));
    this.reason.title = reason;
    const { context } = prepare(this.canvas, scale.width, HEIGHT);
    this.margin.replaceChildren();
    const name = make("span", {}, "answer");
    const label = make("span", { class: "rnnwidget-muted rnnwidget-clipped" }, lines?.label ?? "");
    label.title = "the model’s answer when it has read no further than this step";
    this.gutter.replaceChildren(name, label);
    if (!lines) {
      this.canvas.setAttribute("aria-label", `answer after every step: ${this.reason.textContent}`);
      return;
    }
    const limits = limitsOf(lines);
    const y = (value: number) =>
      HEIGHT - PAD - ((value - limits[0]) / (limits[1] - limits[0])) * (HEIGHT - 2 * PAD);
    const rules = limits[0] < 0 ? [0] : limits;
    for (const value of rules) drawRule(context, y(value), scale.width, theme.faint);
    if (lines.limits?.[0] === 0 && lines.limits[1] === 1) drawRule(context, y(0.5), scale.width, theme.faint);
    context.globalAlpha = stale ? 0.45 : 1;
    const area = { top: PAD, bottom: HEIGHT - PAD };
    const ghost = lines.after !== null;
    drawLine(context, lines.before, scale, y, {
      color: ghost ? theme.muted : theme.ink,
      width: ghost ? 1.4 : 1.8,
      dash: ghost ? [1.5, 2.5] : [],
    });
    if (lines.after) drawLine(context, lines.after, scale, y, { color: theme.ink, width: 1.8 });
    if (lines.done) drawOddSteps(context, lines.after ?? lines.before, scale, area, theme.ink);
    context.globalAlpha = 1;
    for (const value of [limits[1], limits[0]])
      this.gutter.append(textAt("rnnwidget-axis-label", y(value), formatShort(value)));
    this.placeLabels(lines, y);
    this.canvas.setAttribute("aria-label", this.describe(lines));
  }

  private placeLabels(lines: Lines, y: (value: number) => number): void {
    const labels = lines.after ? [this.before, this.after] : [this.after];
    const ends = (lines.after ? [lines.before, lines.after] : [lines.before]).map((values) => {
      const last = values.findLast((value) => Number.isFinite(value));
      return last === undefined ? HEIGHT / 2 : y(last);
    });
    const places = spread(ends, LINE, LINE / 2, HEIGHT - LINE / 2);
    for (const [index, label] of labels.entries()) label.style.top = `${places[index]}px`;
    this.margin.replaceChildren(...labels);
    this.write();
  }

  private write(): void {
    if (!this.lines) return;
    const { before, after, done, limits } = this.lines;
    const at = (values: Float32Array) => {
      const value = values[this.cursor.step] ?? Number.NaN;
      if (Number.isNaN(value)) return done ? "–" : "…";
      return isChance(limits) ? formatChance(value) : formatValue(value, 2);
    };
    setText(this.before, `before ${at(before)}`);
    setText(this.after, after ? `after ${at(after)}` : at(before));
  }

  private describe({ label, before, after }: Lines): string {
    const last = (values: Float32Array) =>
      formatValue(
        values.findLast((value) => Number.isFinite(value)),
        2,
      );
    const end = after ? `${last(before)} before, ${last(after)} after` : last(before);
    return `${label} after every step; at the end ${end}`;
  }
}

const isChance = (limits: [number, number] | null) => limits?.[0] === 0 && limits[1] === 1;

function limitsOf({ limits, before, after }: Lines): [number, number] {
  if (limits) return limits;
  const size = roundLimit(largest([before, after]));
  const negative = [before, after].some((values) => values?.some((value) => value < 0));
  return [negative ? -size : 0, size];
}
