import { prepare } from "./canvas";
import type { Cursor } from "./cursor";
import { make, setText } from "./dom";
import { formatShort, formatValue } from "./format";
import type { FilledFrame, Site } from "./frame";
import { type Grippable, TraceGrip } from "./grip";
import { spread } from "./labels";
import { type Lane, laneParts, type Sheet, textAt } from "./lane";
import type { Link } from "./link";
import { drawLine, drawOddSteps, drawRule, largest, roundLimit, type Stroke } from "./plot";

const PAD = 6;
const LINE = 14;
const STYLES = [
  { name: "solid", width: 1.7, dash: [] },
  { name: "dashed", width: 1.5, dash: [6, 2.5] },
  { name: "dotted", width: 1.5, dash: [1.5, 2.5] },
] as const;

/** Which quantities share an axis: the cell state has a range of its own. */
export type Group = "cell" | "signed" | "gates";

function captionOf(group: Group, sites: Site[]): string {
  const [only, more] = sites;
  // The whole name would run into the numbers of the axis.
  if (only && !more) return only.name === "hidden" ? `hidden ${only.symbol}` : only.label;
  return group === "gates" ? "gates" : sites.map(({ symbol }) => symbol).join(" and ");
}

function groupOf(site: Site): Group {
  if (!site.signed) return "gates";
  return site.name === "cell" ? "cell" : "signed";
}

interface Line {
  site: Site;
  after: Float32Array;
  before: Float32Array | null;
  label: HTMLElement;
  style: (typeof STYLES)[number];
}

/** Some lines of the traced unit on one axis: the edited run solid, the unedited run as a ghost. */
export class TraceLane implements Lane {
  readonly element: HTMLElement;
  private readonly gutter: HTMLElement;
  private readonly margin: HTMLElement;
  private readonly canvas = make("canvas", { role: "img" });
  private lines: Line[] = [];
  private readonly grip: TraceGrip;
  private grippable: Grippable | null = null;
  private axis = "";

  constructor(
    private readonly cursor: Cursor,
    link: Link,
    private readonly group: Group,
    private readonly height: number,
  ) {
    const parts = laneParts(`trace rnnwidget-trace-${group}`);
    this.element = parts.element;
    this.element.style.height = `${height}px`;
    this.gutter = parts.gutter;
    this.margin = parts.margin;
    parts.field.append(this.canvas);
    this.grip = new TraceGrip(parts.field, link, () => this.grippable);
    cursor.listen(() => this.writeValues());
  }

  paint({ frame, scale, theme }: Sheet): void {
    const sites = frame.sites.filter((site) => groupOf(site) === this.group && frame.trace.series[site.name]);
    this.element.hidden = sites.length === 0;
    if (sites.length === 0) return;
    this.lines = sites.map((site, index) => {
      const style = STYLES[index % STYLES.length]!;
      const known = this.lines[index];
      const label = known?.style === style ? known.label : textAt("rnnwidget-line-label", 0, "");
      label.dataset.line = style.name;
      return { site, style, label, ...frame.trace.series[site.name]! };
    });
    const limits = this.limits();
    const [top, bottom] = [PAD, this.height - PAD];
    const y = (value: number) => bottom - ((value - limits[0]) / (limits[1] - limits[0])) * (bottom - top);
    const valueAt = (at: number) => limits[0] + ((bottom - at) / (bottom - top)) * (limits[1] - limits[0]);
    const lines = this.lines.map(({ site, after }) => ({ site: site.name, values: after }));
    this.grippable = { frame, scale, lines, heightOf: y, valueAt };
    this.grip.show();
    const { context } = prepare(this.canvas, scale.width, this.height);
    const thin = scale.column < 5 ? 0.7 : 1;
    const rules = this.group === "gates" ? limits : [0];
    for (const value of rules) drawRule(context, y(value), scale.width, theme.faint);
    for (const { before, style } of this.lines)
      if (before) drawLine(context, before, scale, y, stroke(style, theme.muted, 0.8));
    for (const { after, style } of this.lines) {
      drawLine(context, after, scale, y, stroke(style, theme.ink, style.width * thin));
      drawOddSteps(context, after, scale, { top, bottom }, theme.ink);
    }
    this.placeLabels(y);
    this.labelAxis(frame, limits, y);
  }

  private limits(): [number, number] {
    if (this.group === "gates")
      return [0, roundLimit(Math.max(1, largest(this.lines.map(({ after }) => after))))];
    const size = roundLimit(
      Math.max(0.1, largest(this.lines.flatMap(({ after, before }) => [after, before]))),
    );
    return [-size, size];
  }

  private placeLabels(y: (value: number) => number): void {
    const ends = this.lines.map(({ after }) => {
      const last = after.findLast((value) => Number.isFinite(value));
      return last === undefined ? this.height / 2 : y(last);
    });
    const places = spread(ends, LINE, LINE / 2, this.height - LINE / 2);
    for (const [index, { label }] of this.lines.entries()) label.style.top = `${places[index]}px`;
    const labels = this.lines.map(({ label }) => label);
    if (labels.length !== this.margin.children.length || labels.some((label) => !label.isConnected))
      this.margin.replaceChildren(...labels);
    this.writeValues();
  }

  private writeValues(): void {
    for (const { site, after, label } of this.lines) {
      setText(label, `${site.symbol} ${formatValue(after[this.cursor.step])}`);
      label.title = site.label;
    }
  }

  private labelAxis(frame: FilledFrame, limits: [number, number], y: (value: number) => number): void {
    const names = this.lines.map(({ site }) => site.label).join(", ");
    const axis = JSON.stringify([names, limits, frame.trace.unit]);
    if (axis === this.axis) return;
    this.axis = axis;
    const sites = this.lines.map(({ site }) => site);
    const caption = make("span", {}, captionOf(this.group, sites));
    const unit = make("span", { class: "rnnwidget-muted" }, `#${frame.trace.unit}`);
    const values = this.group === "gates" ? [limits[1], limits[0]] : [limits[1], 0, limits[0]];
    const ticks = values.map((value) => textAt("rnnwidget-axis-label", y(value), formatShort(value)));
    this.gutter.replaceChildren(caption, unit, ...ticks);
    this.canvas.setAttribute("aria-label", `lines over the steps for unit ${frame.trace.unit}: ${names}`);
  }
}

function stroke(style: Line["style"], color: string, width: number): Stroke {
  return { color, width, dash: [...style.dash] };
}
