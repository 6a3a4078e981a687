import { rangeOf } from "./answer_series";
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
const DOTS = [1.5, 2.5];

type Bytes = DataView | ArrayBuffer | Uint8Array;

/** The answer of the model that has read the first steps only, as far as Python has got with it. */
export interface AnswerSteps {
  /** The answer it belongs to, by number. */
  number: number;
  reason: string;
  /** What the answer has a number for; `before`, `after` and `truth` hold a line for each. */
  labels?: string[];
  /** What the answer itself calls them: a choice is told to Python by these. */
  names?: string[];
  /** The label to show while the person has chosen none. */
  picked?: number;
  limits?: [number, number] | null;
  steps?: number;
  before?: Bytes;
  /** Steps that the run before does not have. */
  new_steps?: number[];
  after?: Bytes | null;
  truth?: Bytes | null;
  /** Whether the labels are the channels of a series: its range is its own, and need not have zero in it. */
  series?: boolean;
  /** Whether they are what the model gives at each step, having read the whole input. */
  by_step?: boolean;
  done?: boolean;
}

/** The lines of one label. */
export interface Lines {
  label: string;
  limits: [number, number] | null;
  before: Float32Array;
  after: Float32Array | null;
  truth: Float32Array | null;
  series: boolean;
  done: boolean;
  newSteps: readonly number[];
}

function floats(bytes: Bytes): Float32Array {
  if (bytes instanceof ArrayBuffer) return new Float32Array(bytes);
  return new Float32Array(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength).slice().buffer);
}

/** The lines that fit a picture of so many steps, of the name asked for where there is one; null if there are none. */
export function linesOf(wire: AnswerSteps | Record<string, never>, steps: number, told = ""): Lines | null {
  if (!("number" in wire) || !wire.before || wire.steps !== steps) return null;
  const labels = wire.labels ?? ["answer"];
  const wanted = (wire.names ?? labels).indexOf(told);
  const place = told !== "" && wanted >= 0 ? wanted : (wire.picked ?? 0);
  const own = (bytes: Bytes | null | undefined) =>
    bytes ? floats(bytes).subarray(place * steps, (place + 1) * steps) : null;
  return {
    label: labels[place] ?? "answer",
    limits: wire.limits ?? null,
    before: own(wire.before)!,
    after: own(wire.after),
    truth: own(wire.truth),
    series: wire.series ?? false,
    done: wire.done ?? false,
    newSteps: wire.new_steps ?? [],
  };
}

/** What can be chosen between: of two chances the one says the other. */
function choicesIn(wire: AnswerSteps | Record<string, never>): string[] {
  const labels = ("number" in wire ? wire.labels : null) ?? [];
  return labels.length === 1 || (labels.length === 2 && isChance(wire.limits ?? null)) ? [] : labels;
}

export interface AnswerSheet {
  wire: AnswerSteps | Record<string, never>;
  /** The number of the answer on show: lines of an older one are drawn faint. */
  number: number;
  /** The name that the person has chosen to be told of. */
  told: string;
  /** Whether the run without edits is on show alone. */
  before?: boolean;
  steps: number;
  scale: TimeScale;
  theme: Theme;
}

/** The answer after every step: before the edit as a ghost, after it solid, the truth as dots where it is known. */
export class AnswerLane {
  readonly element: HTMLElement;
  private readonly gutter: HTMLElement;
  private readonly margin: HTMLElement;
  private readonly canvas = make("canvas", { role: "img", "aria-label": "answer after every step" });
  private readonly reason = make("span", { class: "rnnwidget-lane-reason" });
  private readonly label = make("span", { class: "rnnwidget-clipped" });
  private readonly title = make("span", {});
  private readonly choice = make("select", { "aria-label": "answer shown after every step" });
  private readonly caption = make("span", { class: "rnnwidget-caption" }, this.label, this.choice);
  private readonly truth = textAt("rnnwidget-line-label", 0, "");
  private readonly before = textAt("rnnwidget-line-label", 0, "");
  private readonly after = textAt("rnnwidget-line-label", 0, "");
  private sheet: AnswerSheet | null = null;
  private lines: Lines | null = null;

  /** `choose` is told the name chosen; `brief` where another lane on the page gives the whole reason. */
  constructor(
    private readonly cursor: Cursor,
    choose: (name: string) => void,
    private readonly brief = false,
  ) {
    const parts = laneParts("answer-lane");
    this.element = parts.element;
    this.gutter = parts.gutter;
    this.margin = parts.margin;
    this.truth.dataset.line = "dotted";
    this.after.dataset.line = "solid";
    if (brief) this.choice.setAttribute("aria-label", "answer shown after every step, in the ripple");
    this.gutter.append(this.title);
    parts.field.append(this.caption, this.canvas, this.reason);
    this.choice.addEventListener("change", () => {
      const { labels = [], names = labels } = (this.sheet?.wire ?? {}) as Partial<AnswerSteps>;
      choose(names[labels.indexOf(this.choice.value)] ?? "");
    });
    cursor.listen(() => this.write());
  }

  paint(sheet: AnswerSheet): void {
    const { wire, number, steps, scale, theme } = sheet;
    this.sheet = sheet;
    const found = linesOf(wire, steps, sheet.told);
    const lines = found && sheet.before ? { ...found, after: null } : found;
    const stale = !("number" in wire) || wire.number !== number;
    this.lines = lines;
    this.element.dataset.state = stale ? "stale" : lines?.done || wire.reason ? "done" : "growing";
    const reason = "reason" in wire && !stale ? wire.reason : "";
    const told = reason && this.brief ? "no answer along the way: the answer lane above says why" : reason;
    const other = "number" in wire && !stale && !reason && wire.before && wire.steps !== steps;
    const awaited = other
      ? "the answer goes by the steps of the input: this layer has others"
      : "the answer after every step appears here";
    setText(this.reason, told || (lines ? "" : awaited));
    this.reason.title = reason;
    const { context } = prepare(this.canvas, scale.width, HEIGHT);
    this.name(wire);
    this.margin.replaceChildren();
    for (const old of this.gutter.querySelectorAll(".rnnwidget-axis-label")) old.remove();
    if (!lines) {
      this.canvas.setAttribute("aria-label", `answer after every step: ${this.reason.textContent}`);
      return;
    }
    const limits = limitsOf(lines);
    const y = (value: number) =>
      HEIGHT - PAD - ((value - limits[0]) / (limits[1] - limits[0])) * (HEIGHT - 2 * PAD);
    for (const value of rulesOf(lines, limits)) drawRule(context, y(value), scale.width, theme.faint);
    context.globalAlpha = stale ? 0.45 : 1;
    const area = { top: PAD, bottom: HEIGHT - PAD };
    const ghost = lines.after !== null;
    if (lines.truth) drawLine(context, lines.truth, scale, y, { color: theme.ink, width: 1.4, dash: DOTS });
    drawLine(context, lines.before, scale, y, {
      color: ghost ? theme.muted : theme.ink,
      width: ghost ? (lines.truth ? 1 : 1.4) : 1.8,
      dash: ghost && !lines.truth ? DOTS : [],
    });
    if (lines.after) drawLine(context, lines.after, scale, y, { color: theme.ink, width: 1.8 });
    if (lines.done) drawOddSteps(context, lines.after ?? lines.before, scale, area, theme.ink);
    context.globalAlpha = 1;
    for (const value of [limits[1], limits[0]])
      this.gutter.append(textAt("rnnwidget-axis-label", y(value), formatShort(value)));
    this.placeLabels(lines, y);
    this.canvas.setAttribute("aria-label", this.describe(lines));
  }

  /** What is followed, and where there are several, which of them. */
  private name(wire: AnswerSheet["wire"]): void {
    const whole = "by_step" in wire && wire.by_step === true;
    setText(this.title, whole ? "output" : "answer");
    const meaning = whole
      ? "what the model gives at this step, having read the whole input"
      : "the model’s answer when it has read no further than this step";
    for (const part of [this.title, this.label, this.choice]) part.title = meaning;
    const choices = choicesIn(wire);
    this.choice.hidden = choices.length === 0;
    this.label.hidden = !this.choice.hidden;
    setText(this.label, this.lines?.label ?? "");
    this.label.title = `${this.lines?.label ?? ""}: ${meaning}`;
    const known = [...this.choice.options].map(({ value }) => value);
    if (choices.length !== known.length || choices.some((label, place) => label !== known[place]))
      this.choice.replaceChildren(...choices.map((label) => make("option", { value: label }, label)));
    if (this.lines) this.choice.value = this.lines.label;
  }

  private placeLabels(lines: Lines, y: (value: number) => number): void {
    const shown = [
      { label: this.truth, values: lines.truth },
      { label: this.before, values: lines.after && lines.before },
      { label: this.after, values: lines.after ?? lines.before },
    ].filter((line): line is { label: HTMLElement; values: Float32Array } => line.values !== null);
    const ends = shown.map(({ values }) => {
      const last = values.findLast((value) => Number.isFinite(value));
      return last === undefined ? HEIGHT / 2 : y(last);
    });
    const places = spread(ends, LINE, LINE / 2, HEIGHT - LINE / 2);
    for (const [index, { label }] of shown.entries()) label.style.top = `${places[index]}px`;
    this.before.dataset.line = lines.truth ? "ghost" : "dotted";
    this.margin.replaceChildren(...shown.map(({ label }) => label));
    this.write();
  }

  private write(): void {
    if (!this.lines) return;
    const { before, after, truth, done, limits, newSteps } = this.lines;
    const { step } = this.cursor;
    const at = (values: Float32Array, absent: boolean) => {
      const value = values[step];
      if (absent || value === undefined) return "–";
      if (Number.isNaN(value) && !done) return "…";
      return isChance(limits) ? formatChance(value) : formatValue(value, 2);
    };
    const was = at(before, newSteps.includes(step));
    setText(this.before, `before ${was}`);
    setText(this.after, after ? `after ${at(after, false)}` : was);
    setText(this.truth, truth ? `truth ${at(truth, Number.isNaN(truth[step]))}` : "");
  }

  private describe({ label, before, after, truth, done, newSteps }: Lines): string {
    const known = (values: Float32Array) => values.findLast((value) => Number.isFinite(value));
    const last = (values: Float32Array) => formatValue(done ? values.at(-1) : known(values), 2);
    const was = newSteps.includes(before.length - 1) ? formatValue(known(before), 2) : last(before);
    const end = after ? `${was} before, ${last(after)} after` : was;
    const right = truth ? `, ${formatValue(known(truth), 2)} in truth` : "";
    return `${label} after every step; at the end ${end}${right}`;
  }
}

const isChance = (limits: [number, number] | null) => limits?.[0] === 0 && limits[1] === 1;

function rulesOf(lines: Lines, limits: [number, number]): number[] {
  if (isChance(lines.limits)) return [0, 0.5, 1];
  const hasZero = limits[0] <= 0 && limits[1] >= 0;
  return lines.series || limits[0] < 0 ? (hasZero ? [0] : []) : limits;
}

function limitsOf({ limits, before, after, truth, series }: Lines): [number, number] {
  if (limits) return limits;
  const lines = [before, after, truth].filter((values) => values !== null);
  if (series) return rangeOf(lines);
  const size = roundLimit(largest(lines));
  return [lines.some((values) => values.some((value) => value < 0)) ? -size : 0, size];
}
