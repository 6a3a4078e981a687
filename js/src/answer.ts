import { seriesPlot } from "./answer_series";
import { StripPicture } from "./answer_strip";
import { make, setText } from "./dom";
import { formatChance, formatExponent, formatValue, formatWhole, visibleToken } from "./format";
import type { Answer } from "./frame";
import type { Theme } from "./theme";

const MOST = 12;

interface Bar {
  label: string;
  before: number;
  after: number;
  picked: boolean;
  /** What the answer should have been. */
  truth?: number | undefined;
}

/** What the bars span: the range given, or zero and every finite value. */
export function answerRange(answer: Answer): [number, number] {
  if (answer.range) return answer.range;
  const finite = [...answer.before, ...answer.after, ...(answer.truth ?? [])].filter((value) =>
    Number.isFinite(value),
  );
  const [low, high] = [Math.min(0, ...finite), Math.max(0, ...finite)];
  return low === high ? [0, 1] : [low, high];
}

/** All labels, or of many those of the largest numbers, whatever their sign; the picked one is always there. */
export function barsOf(answer: Answer): Bar[] {
  const bars = answer.labels.map((label, index) => ({
    label,
    before: answer.before[index]!,
    after: answer.after[index]!,
    picked: index === answer.picked,
    truth: answer.truth?.[index],
  }));
  if (bars.length <= MOST) return bars;
  const size = (bar: Bar) =>
    bar.picked ? Number.POSITIVE_INFINITY : Math.max(Math.abs(bar.after), Math.abs(bar.before));
  return bars.sort((a, b) => size(b) - size(a)).slice(0, MOST);
}

/** The model's answer: one bar a label, before the edit as a ghost, after it solid. */
export class AnswerView {
  readonly element: HTMLElement;
  private readonly headline = make("div", { class: "rnnwidget-answer-headline", "aria-live": "polite" });
  private readonly caption = make("div", { class: "rnnwidget-muted" });
  private readonly bars = make("div", { class: "rnnwidget-bars" });
  private readonly strip = new StripPicture();
  /** Letters of the longest name so far: a column that gave way again would have the bars jump. */
  private longest = 0;
  private readonly more = make("div", { class: "rnnwidget-muted" });

  constructor() {
    const title = make("div", { class: "rnnwidget-title" }, "answer");
    this.element = make("section", { class: "rnnwidget-answer" });
    this.element.append(title, this.headline, this.caption, this.bars, this.more);
  }

  show(answer: Answer | null, error = ""): void {
    this.element.hidden = answer === null && error === "";
    setText(this.headline, answer ? headlineOf(answer) : "");
    setText(this.caption, answer?.caption ?? error);
    this.caption.classList.toggle("rnnwidget-warning", answer === null);
    if (!answer) {
      this.bars.replaceChildren();
      setText(this.more, "");
      return;
    }
    const { series, strip } = answer;
    if (series || strip) {
      if (strip) this.strip.show(strip, answer.edited);
      const picture = series ? seriesPlot(series, answer.edited) : this.strip.element;
      if (picture.parentNode !== this.bars || this.bars.childElementCount > 1)
        this.bars.replaceChildren(picture);
      setText(this.more, "");
      return;
    }
    const bars = barsOf(answer);
    const range = answerRange(answer);
    this.longest = Math.max(this.longest, ...bars.map(({ label }) => visibleToken(label).length));
    this.bars.style.setProperty("--rw-longest", String(this.longest));
    this.bars.replaceChildren(...bars.map((bar) => barRow(bar, range, answer)));
    const hidden = answer.labels.length - bars.length;
    setText(this.more, hidden > 0 ? `and ${hidden.toLocaleString("en")} smaller ones` : "");
  }

  /** What is a canvas needs the theme's colours. */
  paint(theme: Theme): void {
    this.strip.paint(theme);
  }
}

/** The number told of, and what has overtaken it. */
export function headlineOf({ headline, overtaken }: Answer): string {
  return overtaken ? `${headline} · ${overtaken}` : headline;
}

function barRow(bar: Bar, range: [number, number], { edited, chance }: Answer): HTMLElement {
  const name = make("span", { class: "rnnwidget-bar-name", title: bar.label }, visibleToken(bar.label));
  const track = make("span", { class: "rnnwidget-bar-track" });
  if (edited) track.append(barBetween("rnnwidget-bar-before", bar.before, range));
  track.append(barBetween("rnnwidget-bar-after", bar.after, range));
  if (bar.truth !== undefined) track.append(truthTick(bar.truth, range));
  const short = chance ? formatChance : (value: number) => sized(value, range);
  const after = short(bar.after);
  const value = make(
    "span",
    { class: "rnnwidget-bar-value" },
    edited ? `${short(bar.before)} → ${after}` : after,
  );
  const row = make("div", { class: "rnnwidget-bar" }, name, track, value);
  if (bar.picked) row.classList.add("rnnwidget-picked");
  return row;
}

function truthTick(truth: number, [low, high]: [number, number]): HTMLElement {
  const tick = make("span", { class: "rnnwidget-bar-truth", title: `truth ${sized(truth, [low, high])}` });
  tick.style.left = `${Math.min(100, Math.max(0, ((truth - low) / (high - low)) * 100))}%`;
  return tick;
}

/** Two decimals; three beside numbers that are all below one. */
function sized(value: number, [low, high]: [number, number]): string {
  const size = Math.abs(value);
  const digits = Math.max(Math.abs(low), Math.abs(high)) < 1 ? 3 : 2;
  if (size < 1000 || !Number.isFinite(value)) return formatValue(value, digits);
  if (size < 1e6) return formatWhole(value);
  return formatExponent(value, 3);
}

function barBetween(className: string, value: number, [low, high]: [number, number]): HTMLElement {
  const bar = make("span", { class: className });
  if (!Number.isFinite(value)) {
    bar.hidden = true;
    return bar;
  }
  const share = (at: number) => Math.min(100, Math.max(0, ((at - low) / (high - low)) * 100));
  const [start, stop] = [share(Math.min(0, value)), share(Math.max(0, value))];
  bar.style.left = `${start}%`;
  bar.style.width = `${stop - start}%`;
  return bar;
}
