import { prepare } from "./canvas";
import { DIVERGING } from "./colormap";
import { make } from "./dom";
import { formatCount, formatShort } from "./format";
import type { Strip } from "./frame";
import { paintGrid } from "./heatmap";

const ROW = 14;
const WIDTH = 240;

/** Many numbers without names: a row of cells before, one after, and their change in words. */
export function stripPicture(strip: Strip, edited: boolean): HTMLElement {
  const rows = edited ? (["before", "after"] as const) : (["after"] as const);
  const limit = strip.limit || 1;
  const lines = rows.map((name) => {
    const canvas = make("canvas", { role: "img" });
    canvas.setAttribute("aria-label", `${formatCount(strip.count, "number")} ${edited ? name : ""}`.trim());
    prepare(canvas, WIDTH, ROW);
    const grid = { rows: 1, columns: strip.columns, values: strip[name] };
    paintGrid(canvas, grid, [-limit, limit], DIVERGING, WIDTH, ROW);
    return make(
      "div",
      { class: "rnnwidget-numbers-row" },
      make("span", {}, edited ? name : "output"),
      canvas,
    );
  });
  const words = [
    `${formatCount(strip.count, "number")}, colours from ${formatShort(-limit)} to ${formatShort(limit)}`,
  ];
  if (edited)
    words.push(
      `|Δ| ${formatShort(strip.mean_change, 3)} on average, ${formatShort(strip.most_change, 3)} at most`,
    );
  return make(
    "div",
    { class: "rnnwidget-numbers" },
    ...lines,
    make("div", { class: "rnnwidget-muted" }, words.join(" · ")),
  );
}
