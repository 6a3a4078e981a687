import { make } from "./dom";
import { formatCount, formatShort } from "./format";
import type { Series } from "./frame";
import { roundUp } from "./timescale";

const SVG = "http://www.w3.org/2000/svg";
const TALL = 96;
const LOW = 56;
const PAD = 3;
const TICKS = 6;

/** The points of a line in a box 1000 wide; a break where a value is not finite. */
export function pathOf(values: Float32Array, [low, high]: readonly [number, number], height: number): string {
  const across = values.length > 1 ? 1000 / (values.length - 1) : 0;
  const parts: string[] = [];
  let drawing = false;
  values.forEach((value, step) => {
    if (!Number.isFinite(value)) {
      drawing = false;
      return;
    }
    const y = height - PAD - ((value - low) / (high - low)) * (height - 2 * PAD);
    parts.push(`${drawing ? "L" : "M"}${(step * across).toFixed(1)} ${y.toFixed(2)}`);
    drawing = true;
  });
  return parts.join("");
}

export function rangeOf(lines: Float32Array[]): [number, number] {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const line of lines)
    for (const value of line)
      if (Number.isFinite(value)) {
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
  if (low > high) return [0, 1];
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}

/** A forecast against the truth, channel by channel: truth dotted, before as a ghost, after solid. */
export function seriesPlot(series: Series, edited: boolean): HTMLElement {
  const legend = make("div", { class: "rnnwidget-series-legend" });
  for (const [line, name] of [
    ["truth", "truth"],
    ...(edited ? [["before", "before"]] : []),
    ["after", edited ? "after" : "forecast"],
  ])
    legend.append(make("span", { "data-line": line! }, name!));
  const plots = Array.from({ length: series.channels }, (_, channel) => plotOf(series, channel, edited));
  return make("div", { class: "rnnwidget-series" }, legend, ...plots, axisOf(series));
}

/** The round steps of a series along its foot, where its points are. */
function axisOf({ steps }: Series): HTMLElement {
  const field = make("div", { class: "rnnwidget-series-ticks" });
  const spacing = roundUp(steps / TICKS);
  for (let step = 0; step < steps; step += spacing) {
    const tick = make("span", {}, String(step));
    tick.style.left = `${steps > 1 ? (100 * step) / (steps - 1) : 0}%`;
    field.append(tick);
  }
  const name = make("span", { class: "rnnwidget-axis-label" }, "step");
  return make(
    "div",
    { class: "rnnwidget-series-plot rnnwidget-series-axis", "aria-hidden": "true" },
    name,
    field,
  );
}

function plotOf(series: Series, channel: number, edited: boolean): HTMLElement {
  const own = (values: Float32Array) => values.subarray(channel * series.steps, (channel + 1) * series.steps);
  const lines = { truth: own(series.truth), before: own(series.before), after: own(series.after) };
  const shown = edited ? (["truth", "before", "after"] as const) : (["truth", "after"] as const);
  const range = rangeOf(shown.map((name) => lines[name]));
  const height = series.channels > 1 ? LOW : TALL;
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 1000 ${height}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  const which = series.channels > 1 ? ` of channel ${channel}` : "";
  svg.setAttribute("aria-label", `forecast and truth${which} over ${formatCount(series.steps, "step")}`);
  svg.style.height = `${height}px`;
  for (const name of shown) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", pathOf(lines[name], range, height));
    path.setAttribute("data-line", name);
    svg.append(path);
  }
  const high = make("span", { class: "rnnwidget-axis-label" }, formatShort(range[1]));
  const low = make("span", { class: "rnnwidget-axis-label" }, formatShort(range[0]));
  return make("div", { class: "rnnwidget-series-plot" }, high, low, svg);
}
