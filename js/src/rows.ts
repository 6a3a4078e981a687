import { prepare } from "./canvas";
import { make, setText } from "./dom";
import { editedUnits } from "./edited";
import { formatCount } from "./format";
import { type FilledFrame, type Margin, rowOfUnit } from "./frame";
import { spreadNear } from "./labels";
import { textAt } from "./lane";
import { drawMissing } from "./marks";
import { Remembered } from "./remembered";
import type { Ground } from "./repainting";
import { Room } from "./room";
import type { Theme } from "./theme";

const MARKERS = 10;
const LINE = 13;
const STUB = 14;
const TICK = 4;

/** Beside the heatmap: which rows are selected (ink), edited (accent), and the numbers of the units. */
export class RowMarkers {
  private readonly canvas = make("canvas", { class: "rnnwidget-markers", "aria-hidden": "true" });
  private readonly names = make("div", { class: "rnnwidget-unit-names" });
  private readonly marked = new Remembered();
  private shown = "";
  private named = new Set<number>();

  /** Names the row that has the frame, unless it has a name already. */
  private readonly here = textAt("rnnwidget-unit-here", 0, "");

  constructor(gutter: HTMLElement) {
    gutter.append(this.names, this.here, this.canvas);
  }

  point(units: number[], at: number, height: number): void {
    setText(this.here, units.length > 1 ? `#${units[0]} …` : `#${units[0] ?? "–"}`);
    this.here.hidden = units.some((unit) => this.named.has(unit));
    this.here.style.top = `${Math.max(LINE / 2, Math.min(height - LINE / 2, at))}px`;
  }

  paint(frame: FilledFrame, units: number[], height: number, theme: Theme): void {
    const rowHeight = height / Math.max(1, frame.heatmap.rows);
    const shown = units.length > 0 ? units : [frame.trace.unit];
    this.paintNames(frame, shown, units.length > 0, rowHeight, height);
    const { edited, order, heatmap } = frame;
    const what = JSON.stringify([edited, shown, units, height, heatmap.rows, heatmap.row_factor]);
    if (this.marked.still(what, order, theme, devicePixelRatio)) return;
    const { context } = prepare(this.canvas, MARKERS, height);
    const bar = (unit: number, left: number, width: number, color: string) => {
      const row = rowOfUnit(frame, unit);
      context.fillStyle = color;
      if (row >= 0) context.fillRect(left, row * rowHeight, width, Math.max(1.5, rowHeight));
    };
    for (const unit of editedUnits(frame)) bar(unit, 7, 3, theme.accent);
    for (const unit of shown) bar(unit, 1, 4, units.length > 0 ? theme.ink : theme.muted);
  }

  private paintNames(
    frame: FilledFrame,
    units: number[],
    selected: boolean,
    rowHeight: number,
    height: number,
  ): void {
    const traced = (unit: number) => Number(unit === frame.trace.unit);
    const newest = units
      .slice(-Math.floor(height / LINE))
      .reverse()
      .sort((one, other) => traced(other) - traced(one));
    const centred = newest
      .map((unit) => ({ unit, height: (rowOfUnit(frame, unit) + 0.5) * rowHeight }))
      .filter(({ height }) => height > 0);
    const named = spreadNear(centred, LINE, LINE / 2, height - LINE / 2);
    const wanted = JSON.stringify([named, frame.trace.unit, selected]);
    if (wanted === this.shown) return;
    this.shown = wanted;
    this.named = new Set(named.map(({ unit }) => unit));
    this.names.replaceChildren(
      ...named.map(({ unit, place }) => {
        const pinned = unit === frame.trace.unit;
        const label = textAt("rnnwidget-unit-name", place, `#${unit}`);
        label.classList.toggle("rnnwidget-pinned", pinned && selected);
        return label;
      }),
    );
  }
}

/** The margin: one bar a row, a tick where it was before the edit; hatched where the number is not finite. */
export class RowMargin {
  private readonly canvas = make("canvas", { "aria-hidden": "true" });

  private readonly room: Room;
  private width = 0;

  constructor(margin: HTMLElement) {
    this.room = new Room(margin);
    margin.append(this.canvas);
  }

  /** Asked before anything is written: in the middle of a painting the browser would lay the page out twice. */
  measure(ground: Ground): void {
    this.width = this.room.on(ground);
  }

  paint(frame: FilledFrame, height: number, theme: Theme): void {
    const { values, before, limits } = frame.margin;
    const width = Math.max(10, this.width - 8);
    const { context } = prepare(this.canvas, width, height);
    const rowHeight = height / Math.max(1, values.length);
    const span = limits[1] - limits[0] || 1;
    const length = (value: number) => Math.max(0, Math.min(1, (value - limits[0]) / span)) * width;
    const tall = rowHeight > 3 ? rowHeight - 1 : rowHeight;
    values.forEach((value, row) => {
      const top = row * rowHeight;
      const was = before?.[row];
      context.fillStyle = theme.muted;
      if (Number.isFinite(value)) context.fillRect(0, top, Math.max(0.5, length(value)), tall);
      else drawMissing(context, 0, top, STUB, tall);
      if (was === undefined) return;
      context.fillStyle = theme.ink;
      if (Number.isFinite(was)) context.fillRect(Math.min(width - 1.5, length(was)), top, 1.5, tall);
      else drawMissing(context, width - TICK, top, TICK, tall);
    });
    this.canvas.title = describeOdd(frame.margin);
  }
}

function describeOdd({ label, values, before }: Margin): string {
  const count = (of: Float32Array | null) => of?.filter((value) => !Number.isFinite(value)).length ?? 0;
  const [odd, was] = [count(values), count(before)];
  const told = [`${label}, a bar for each row`];
  if (odd > 0) told.push(`hatched at the left: ${formatCount(odd, "row")} with values that are not finite`);
  if (was > 0) told.push(`hatched at the right: ${formatCount(was, "row")} before the edit`);
  return told.join("; ");
}
