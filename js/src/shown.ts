import { type Grid, valuesToPaint } from "./cells";
import { formatCount, formatShort } from "./format";
import { currentLayer, currentSite, type FilledFrame } from "./frame";
import { largest, roundLimit } from "./plot";

/** Which run the heatmap shows while an edit is in force. */
export type Run = "after" | "before" | "change";

export interface Shown {
  grid: Grid;
  limits: [number, number];
  /** Whether zero is the middle of the colours. */
  signed: boolean;
  /** What the picture shows, in words, for a screen reader. */
  words: string;
}

const SUFFIX: Record<Run, string> = {
  after: "",
  before: " of the unedited run",
  change: ", change by the edit",
};

export function runOf(frame: FilledFrame, run: Run): Run {
  return frame.heatmap.before ? run : "after";
}

const made = new WeakMap<FilledFrame, Map<Run, Shown>>();

/** The legend and the heatmap of one painting ask for the same. */
export function shownGrid(frame: FilledFrame, wanted: Run): Shown {
  const run = runOf(frame, wanted);
  const runs = made.get(frame) ?? new Map<Run, Shown>();
  made.set(frame, runs);
  const shown = runs.get(run) ?? madeGrid(frame, run);
  runs.set(run, shown);
  return shown;
}

function madeGrid(frame: FilledFrame, run: Run): Shown {
  const { heatmap } = frame;
  const values = valuesOf(frame, run);
  const limits = run === "change" ? changeLimits(values) : heatmap.limits;
  const site = currentSite(frame);
  const layer = currentLayer(frame);
  const words = [
    `${site.label}${SUFFIX[run]}, layer ${layer?.label ?? frame.layer}`,
    `${formatCount(frame.order.length, "unit")} by ${formatCount(frame.steps, "step")}`,
    `colours from ${formatShort(limits[0])} to ${formatShort(limits[1])}`,
  ];
  return {
    grid: { rows: heatmap.rows, columns: heatmap.columns, values },
    limits,
    signed: run === "change" || heatmap.signed,
    words: `heatmap: ${words.join("; ")}`,
  };
}

function changeLimits(values: Float32Array): [number, number] {
  const size = roundLimit(largest([values]));
  return [-size, size];
}

function valuesOf({ heatmap }: FilledFrame, run: Run): Float32Array {
  const { data, before } = heatmap;
  if (run === "before" && before) return before;
  if (run === "change" && before) return data.map((value, cell) => value - before[cell]!);
  return valuesToPaint(heatmap);
}
