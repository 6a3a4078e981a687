import { AnswerLane } from "./answer_lane";
import { AXIS, AxisLane } from "./axis";
import { Brush } from "./brush";
import type { Cursor } from "./cursor";
import { make } from "./dom";
import { EquationLane } from "./equation";
import type { FilledFrame } from "./frame";
import { GradientLane } from "./gradient";
import { HeatmapLane } from "./heatmap";
import { onHeatmapKey } from "./keyboard";
import type { Lane, Sheet } from "./lane";
import { LegendLane } from "./legend";
import type { Link } from "./link";
import { describeCell, ReadoutLane } from "./readout";
import { Remembered } from "./remembered";
import type { Ground } from "./repainting";
import { Room } from "./room";
import { selectRow } from "./select";
import { CHANNEL, StimulusLane } from "./stimuli";
import { TimeScale } from "./timescale";
import { TOKENS, TokenLane } from "./tokens";
import { TraceLane } from "./traces";

/** The axis and what the model reads: where the brush is shaded, and where it is drawn. */
function heightAboveStates(frame: FilledFrame): number {
  return AXIS + (frame.tokens ? TOKENS : 0) + (frame.inputs ? CHANNEL * frame.inputs.names.length : 0);
}

/** All lanes on one time axis, with the crosshair and the brush over them. */
export class Lanes {
  readonly element: HTMLElement;
  private readonly axis = new AxisLane();
  private readonly crosshair = make("div", { class: "rnnwidget-crosshair" });
  private readonly live = make("div", { class: "rnnwidget-live", "aria-live": "polite" });
  private readonly brush: Brush;
  private readonly heatmap: HeatmapLane;
  private readonly stimuli: StimulusLane;
  private readonly lanes: Lane[];
  private readonly answers: AnswerLane;
  private readonly room = new Room(this.axis.field);
  private readonly answered = new Remembered();
  private sheet: Sheet | null = null;
  private frame: FilledFrame | null = null;
  private scale = new TimeScale(1, 1);

  constructor(
    private readonly link: Link,
    private readonly cursor: Cursor,
    repaint: () => void,
  ) {
    const readout = new ReadoutLane(cursor, repaint);
    const tokens = new TokenLane(cursor);
    const run = () => readout.run();
    this.brush = new Brush(link);
    this.heatmap = new HeatmapLane(cursor, run, () => link.get("units"));
    this.stimuli = new StimulusLane(cursor, link);
    this.lanes = [
      this.axis,
      tokens,
      this.stimuli,
      new LegendLane(link, run),
      this.heatmap,
      readout,
      new TraceLane(cursor, link, "cell", 52),
      new TraceLane(cursor, link, "signed", 60),
      new TraceLane(cursor, link, "gates", 60),
      new EquationLane(cursor),
      new GradientLane(cursor),
    ];
    this.answers = new AnswerLane(cursor, (told) => link.set({ told }));
    const overlay = make(
      "div",
      { class: "rnnwidget-overlay", "aria-hidden": "true" },
      this.brush.band,
      this.crosshair,
    );
    this.element = make("div", { class: "rnnwidget-lanes" });
    this.element.append(
      overlay,
      ...this.lanes.map(({ element }) => element),
      this.answers.element,
      this.live,
    );
    for (const field of [this.axis.field, tokens.field]) this.brush.attach(field);
    for (const field of [this.heatmap.canvas, this.stimuli.canvas]) this.brush.attach(field, false);
    this.element.addEventListener("pointermove", (event) => this.follow(event));
    this.heatmap.canvas.addEventListener("click", (event) => this.select(event));
    this.heatmap.canvas.addEventListener("keydown", (event) => this.onKey(event));
    cursor.listen(() => this.placeCrosshair());
  }

  /** False while there is no room to paint in. */
  paint(frame: FilledFrame, ground: Ground): boolean {
    const width = this.room.on(ground);
    if (width <= 0) return false;
    const { theme } = ground;
    this.heatmap.measure(ground);
    this.frame = frame;
    this.scale = new TimeScale(frame.steps, width);
    this.sheet = { frame, scale: this.scale, theme };
    for (const lane of this.lanes) lane.paint(this.sheet);
    this.paintAnswers();
    this.brush.show(this.scale);
    this.brush.shade(heightAboveStates(frame));
    this.placeCrosshair();
    return true;
  }

  /** The answer after every step comes when it is worked out: its lane alone is painted then. */
  paintAnswers(): void {
    if (!this.sheet) return;
    const { frame, scale, theme } = this.sheet;
    this.answers.element.hidden = frame.answer === null || frame.answer_number === undefined;
    const wire = this.link.get("lane") ?? {};
    const number = frame.answer_number ?? 0;
    const own = "number" in wire && wire.number === number;
    const before = frame.answer?.edited === false;
    const told = this.link.get("told");
    if (this.answered.still(wire, own, told, before, frame.steps, scale.width, theme, devicePixelRatio))
      return;
    this.answers.paint({ wire, number, told, before, steps: frame.steps, scale, theme });
  }

  stand(still: boolean): void {
    this.stimuli.stand(still);
  }

  clearSelection(): void {
    if (this.link.get("units").length > 0) this.link.set({ units: [] });
    this.brush.clear();
  }

  private follow(event: PointerEvent): void {
    if (!this.frame) return;
    const { left, width } = this.axis.field.getBoundingClientRect();
    const x = event.clientX - left;
    if (x >= 0 && x < width) this.cursor.move({ step: this.scale.stepAt(x) });
  }

  private select(event: MouseEvent): void {
    if (this.brush.wasDrawn || !this.frame) return;
    const how = { range: event.shiftKey, toggle: event.ctrlKey || event.metaKey };
    const row = this.heatmap.rowAt(event);
    this.cursor.move({ row });
    this.link.set({ units: selectRow(this.frame, this.link.get("units"), row, how) });
  }

  private onKey(event: KeyboardEvent): void {
    onHeatmapKey(event, {
      frame: () => this.frame,
      cursor: this.cursor,
      link: this.link,
      brush: this.brush,
      speak: () => this.speak(),
    });
  }

  private speak(): void {
    if (this.frame) this.live.textContent = describeCell(this.frame, this.cursor.row, this.cursor.step);
  }

  private placeCrosshair(): void {
    this.crosshair.style.left = `${this.scale.left(this.cursor.step)}px`;
    this.crosshair.style.width = `${Math.max(1, this.scale.column)}px`;
  }
}
