import { prepare } from "./canvas";
import { countMarks, type Mark } from "./cells";
import { Choice } from "./choice";
import { type ColorMap, colorsOf } from "./colormap";
import { make, setText } from "./dom";
import { formatCount, formatShort } from "./format";
import { currentSite, type FilledFrame } from "./frame";
import { type Lane, laneParts, type Sheet } from "./lane";
import type { Link } from "./link";
import { drawMark, MARK_NAMES } from "./marks";
import { Remembered } from "./remembered";
import { type Run, runOf, shownGrid } from "./shown";

const BAR = { width: 96, height: 10 };

/** Above the heatmap: what it shows, its colour bar with limits, and what the marks in it mean. */
export class LegendLane implements Lane {
  readonly element: HTMLElement;
  private readonly sites: Choice;
  private readonly siteName = make("span", { class: "rnnwidget-site-name" });
  private readonly count = make("span", { class: "rnnwidget-muted" });
  private readonly low = make("span", { class: "rnnwidget-limit" });
  private readonly high = make("span", { class: "rnnwidget-limit" });
  private readonly bar = make("canvas", { "aria-hidden": "true" });
  private readonly marks = make("span", { class: "rnnwidget-marks" });
  private readonly truncated = make("span", { class: "rnnwidget-truncated" });
  private readonly marginName = make("span", {});
  private readonly marginLimits = make("span", { class: "rnnwidget-muted" });

  private readonly marked = new Remembered();
  private drawn: { colors: ColorMap; ratio: number } | null = null;

  constructor(
    link: Link,
    private readonly run: () => Run,
  ) {
    const parts = laneParts("legend");
    this.element = parts.element;
    this.sites = new Choice("show in the heatmap", (site) => link.set({ site }));
    const scale = make("span", { class: "rnnwidget-colorbar" }, this.low, this.bar, this.high);
    parts.gutter.append(this.siteName, this.count);
    parts.field.append(
      make("div", { class: "rnnwidget-legend-line" }, this.sites.element, scale),
      make("div", { class: "rnnwidget-notes" }, this.truncated, this.marks),
    );
    parts.margin.append(this.marginName, this.marginLimits);
  }

  paint({ frame, theme }: Sheet): void {
    const options = frame.sites.map(({ name, symbol, label }) => ({
      value: name,
      text: symbol,
      name: label,
    }));
    this.sites.show(options, frame.site);
    this.name(frame);
    const { limits, signed, grid } = shownGrid(frame, this.run());
    const colors = colorsOf(signed, theme);
    setText(this.low, formatShort(limits[0]));
    setText(this.high, formatShort(limits[1]));
    this.drawBar(colors);
    this.explain(countMarks(grid.values, limits), colors);
    setText(this.truncated, frame.truncated);
    this.truncated.title = frame.truncated;
    setText(this.marginName, frame.margin.label);
    const [from, to] = frame.margin.limits;
    setText(this.marginLimits, `${formatShort(from)} … ${formatShort(to)}`);
  }

  /** In two lines of the same height: the site and its units, or that it is the change of it. */
  private name(frame: FilledFrame): void {
    const { label, symbol } = currentSite(frame);
    const count = formatCount(frame.order.length, "unit");
    const change = runOf(frame, this.run()) === "change";
    setText(this.siteName, change ? `change Δ${symbol}` : label);
    setText(this.count, change ? `of ${label}` : count);
    for (const part of [this.siteName, this.count])
      part.title = change ? `change of the ${label} by the edit, after − before; ${count}` : "";
  }

  /** The same for many frames; a change of the screen's resolution makes it anew. */
  private drawBar(colors: ColorMap): void {
    if (this.drawn?.colors === colors && this.drawn.ratio === devicePixelRatio) return;
    this.drawn = { colors, ratio: devicePixelRatio };
    const { context } = prepare(this.bar, BAR.width, BAR.height);
    for (let x = 0; x < BAR.width; x++) {
      context.fillStyle = colors.css(Math.round((x / (BAR.width - 1)) * 255));
      context.fillRect(x, 0, 1, BAR.height);
    }
  }

  private explain(counts: Map<Mark, number>, colors: ColorMap): void {
    if (this.marked.still(JSON.stringify([...counts]), colors.dark, devicePixelRatio)) return;
    this.marks.replaceChildren(
      ...[...counts].map(([mark, count]) => {
        const sample = make("canvas", { "aria-hidden": "true" });
        const { context } = prepare(sample, 12, 10);
        context.fillStyle = colors.dark ? "#a8a8a8" : "#d0d0d0";
        context.fillRect(0, 0, 12, 10);
        drawMark(context, mark, colors, 0, 0, 12, 10);
        return make(
          "span",
          { "data-mark": mark },
          sample,
          `${MARK_NAMES[mark]} ${count.toLocaleString("en")}`,
        );
      }),
    );
  }
}
