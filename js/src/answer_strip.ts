import { colorsOf } from "./colormap";
import { make, setAttribute, setText } from "./dom";
import { formatCount, formatShort } from "./format";
import type { Strip } from "./frame";
import { paintGrid } from "./heatmap";
import { Remembered } from "./remembered";
import type { Theme } from "./theme";

const ROW = 14;
const WIDTH = 240;

/** Many numbers without names: a row of cells before, one after, and their change in words. */
export class StripPicture {
  readonly element: HTMLElement;
  private strip: Strip | null = null;
  private readonly words = make("div", { class: "rnnwidget-muted" });
  private readonly rows = (["before", "after"] as const).map((name) => {
    const caption = make("span", {});
    const canvas = make("canvas", { role: "img" });
    const line = make("div", { class: "rnnwidget-numbers-row" }, caption, canvas);
    return { name, caption, canvas, line, drawn: new Remembered() };
  });

  constructor() {
    const lines = this.rows.map(({ line }) => line);
    this.element = make("div", { class: "rnnwidget-numbers" }, ...lines, this.words);
  }

  show(strip: Strip, edited: boolean): void {
    this.strip = strip;
    const limit = strip.limit || 1;
    const count = formatCount(strip.count, "number");
    for (const { name, caption, canvas, line } of this.rows) {
      line.hidden = name === "before" && !edited;
      if (line.hidden) continue;
      setText(caption, edited ? name : "output");
      setAttribute(canvas, "aria-label", `${count} ${edited ? name : ""}`.trim());
    }
    const words = [`${count}, colours from ${formatShort(-limit)} to ${formatShort(limit)}`];
    if (edited)
      words.push(
        `|Δ| ${formatShort(strip.mean_change, 3)} on average, ${formatShort(strip.most_change, 3)} at most`,
      );
    setText(this.words, words.join(" · "));
  }

  paint({ dark }: Theme): void {
    if (!this.strip) return;
    const limit = this.strip.limit || 1;
    for (const { name, canvas, line, drawn } of this.rows) {
      const values = this.strip[name];
      if (line.hidden || drawn.still(values, limit, dark, devicePixelRatio)) continue;
      const grid = { rows: 1, columns: this.strip.columns, values };
      paintGrid(canvas, grid, [-limit, limit], colorsOf(true, { dark }), WIDTH, ROW);
    }
  }
}
