import { Choice } from "./choice";
import type { Cursor } from "./cursor";
import { make, setText } from "./dom";
import { formatValue } from "./format";
import { currentSite, type FilledFrame, unitsOfRow } from "./frame";
import { quotedToken } from "./isolation";
import { type Lane, laneParts, type Sheet } from "./lane";
import { type Run, runOf } from "./shown";

/** The cell in words, e.g. `unit 17 · step 42 "not" · h = −0.213 (before −0.190)`. */
export function describeCell(frame: FilledFrame, row: number, step: number): string {
  const { heatmap } = frame;
  const units = unitsOfRow(frame, row);
  const column = Math.floor(step / heatmap.column_factor);
  const cell = row * heatmap.columns + column;
  const start = column * heatmap.column_factor;
  const stop = Math.min(frame.steps, start + heatmap.column_factor);
  const pooled = units.length > 1 || stop - start > 1;
  const who = units.length > 1 ? `units ${units.join(", ")}` : `unit ${units[0] ?? "–"}`;
  const token = frame.tokens?.[step];
  const when = stop - start > 1 ? `steps ${start}–${stop - 1}` : `step ${step}`;
  const quoted = token === undefined ? "" : ` ${quotedToken(token)}`;
  const before = heatmap.before
    ? ` (${wordsBefore(heatmap.before[cell]!, noStepBefore(frame, start, stop))})`
    : "";
  const extremes =
    pooled && heatmap.low && heatmap.high
      ? `, ${formatValue(heatmap.low[cell])} … ${formatValue(heatmap.high[cell])}`
      : "";
  const what = `${pooled ? "mean " : ""}${currentSite(frame).symbol}`;
  const value = `${what} = ${formatValue(heatmap.data[cell])}${extremes}${before}`;
  return `${who} · ${when}${quoted} · ${value}${oddRow(frame, row)}`;
}

function wordsBefore(value: number, none: boolean): string {
  return none ? "no step before" : `before ${formatValue(value)}`;
}

/** Whether the run before has none of these steps. */
function noStepBefore({ writing }: FilledFrame, start: number, stop: number): boolean {
  const fresh = new Set(writing?.new_steps ?? []);
  for (let step = start; step < stop; step++) if (!fresh.has(step)) return false;
  return true;
}

/** Why the row has no bar beside it. */
function oddRow({ margin }: FilledFrame, row: number): string {
  return Number.isFinite(margin.values[row] ?? 0) ? "" : " · not finite at some step";
}

const RUNS = [
  { value: "after", text: "after", name: "after the edit" },
  { value: "before", text: "before", name: "before the edit" },
  { value: "change", text: "Δ", name: "change by the edit" },
];

/** Below the heatmap: the cell under the cursor in words, and which run the heatmap shows. */
export class ReadoutLane implements Lane {
  readonly element: HTMLElement;
  private readonly line = make("span", { class: "rnnwidget-readout-line" });
  private readonly runs: Choice;
  private wanted: Run = "after";
  private frame: FilledFrame | null = null;

  constructor(
    private readonly cursor: Cursor,
    changed: () => void,
  ) {
    const parts = laneParts("readout");
    this.element = parts.element;
    parts.field.append(this.line);
    this.runs = new Choice("run shown in the heatmap", (run) => {
      this.wanted = run as Run;
      changed();
    });
    parts.margin.append(this.runs.element);
    cursor.listen(() => this.write());
  }

  run(): Run {
    return this.wanted;
  }

  paint({ frame }: Sheet): void {
    this.frame = frame;
    this.runs.show(RUNS, runOf(frame, this.wanted));
    this.runs.element.style.visibility = frame.heatmap.before ? "visible" : "hidden";
    this.write();
  }

  private write(): void {
    if (!this.frame) return;
    const text = describeCell(this.frame, this.cursor.row, this.cursor.step);
    setText(this.line, `cursor: ${text}`);
    const { unit } = this.frame.trace;
    const other = !unitsOfRow(this.frame, this.cursor.row).includes(unit);
    this.line.dataset.other = String(other);
    const pin = `the lines below are of unit ${unit}: a click in the heatmap pins another, Enter does at its cursor`;
    this.line.title = [this.line.textContent, ...(other ? [pin] : [])].join("; ");
  }
}
