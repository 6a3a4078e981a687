import { onPress, putAway } from "./button";
import { prepare } from "./canvas";
import { channelScales } from "./channel_scales";
import type { Cursor } from "./cursor";
import { make, setText } from "./dom";
import { formatShort } from "./format";
import type { FilledFrame, Inputs, Moved } from "./frame";
import { RESET_INPUT } from "./input_wish";
import { type Lane, laneParts, type Sheet, textAt } from "./lane";
import type { Link } from "./link";
import { drawLine, drawOddSteps, drawRule } from "./plot";
import { Pulse } from "./pulse";
import { Remembered } from "./remembered";
import type { TimeScale } from "./timescale";

/** The height of one channel. */
export const CHANNEL = 38;
const PAD = 8;
const CONTROLS = 22;

/** Continuous inputs, one band a channel; the brushed steps of a channel can be moved and scaled. */
export class StimulusLane implements Lane {
  readonly element: HTMLElement;
  private readonly gutter: HTMLElement;
  private readonly field: HTMLElement;
  private readonly margin: HTMLElement;
  readonly canvas = make("canvas", { "aria-hidden": "true" });
  private readonly zones = make("div", { class: "rnnwidget-pulse-zones" });
  private readonly told = make("span", { class: "rnnwidget-clipped" });
  private readonly reset = make("button", { type: "button", title: RESET_INPUT }, "reset input");
  private readonly foot = make("div", { class: "rnnwidget-stimulus-foot rnnwidget-muted" });
  private readonly drawn = new Remembered();
  private names: string[] = [];
  private pulses: Pulse[] = [];
  private values: HTMLElement[] = [];
  private inputs: Inputs | null = null;
  private scale: TimeScale | null = null;
  private moved: Moved[] = [];

  constructor(
    private readonly cursor: Cursor,
    private readonly link: Link,
  ) {
    const parts = laneParts("stimuli");
    this.element = parts.element;
    this.gutter = parts.gutter;
    this.field = parts.field;
    this.margin = parts.margin;
    this.foot.append(this.told, this.reset);
    this.field.append(this.canvas, this.zones);
    onPress(this.reset, () => link.request({ inputs: { kind: "reset" } }));
    cursor.listen(() => this.write());
    // A change that was refused: the numbers go back to what is in force.
    link.listen("_status", () => this.showPulses());
  }

  /** Nobody is there to move a pulse. */
  stand(still: boolean): void {
    for (const part of [this.zones, this.margin, this.foot]) part.inert = still;
  }

  paint({ frame, scale, theme }: Sheet): void {
    const { inputs } = frame;
    this.inputs = inputs;
    this.element.hidden = inputs === null;
    if (!inputs) return;
    const height = CHANNEL * inputs.names.length;
    this.element.style.height = frame.writing ? `calc(${height}px + var(--rw-foot))` : `${height}px`;
    const names = JSON.stringify(inputs.names);
    if (!this.drawn.still(inputs.data, inputs.before, names, scale.width, theme, devicePixelRatio))
      this.draw(inputs, frame.steps, { scale, theme });
    this.build(inputs.names, frame.writing?.pulses === "");
    this.scale = scale;
    this.moved = frame.writing?.moved ?? [];
    this.showPulses();
    this.describe(frame);
    this.write();
  }

  private showPulses(): void {
    if (!this.scale) return;
    for (const [channel, pulse] of this.pulses.entries())
      pulse.show(this.scale, this.moved.find((moved) => moved.channel === channel) ?? null);
  }

  /** Each channel as it is, and as it was before where it was changed. */
  private draw(inputs: Inputs, steps: number, { scale, theme }: Omit<Sheet, "frame">): void {
    const { context } = prepare(this.canvas, scale.width, CHANNEL * inputs.names.length);
    const lines = inputs.names.map((_, channel) => {
      const own = (values: Float32Array) => values.subarray(channel * steps, (channel + 1) * steps);
      return [own(inputs.data), ...(inputs.before ? [own(inputs.before)] : [])];
    });
    const scales = channelScales(lines);
    const labels = inputs.names.flatMap((name, channel) => {
      const [values, before] = [lines[channel]![0]!, lines[channel]![1]];
      const top = channel * CHANNEL;
      const area = { top: top + PAD, bottom: top + CHANNEL - PAD };
      const { range, ticks } = scales[channel]!;
      const [low, high] = range;
      const y = (value: number) => area.bottom - ((value - low) / (high - low)) * (area.bottom - area.top);
      drawRule(context, y(0), scale.width, theme.faint);
      if (before) drawLine(context, before, scale, y, { color: theme.muted, width: 1.2, dash: [1.5, 2.5] });
      drawLine(context, values, scale, y, { color: theme.ink, width: 1.2 });
      drawOddSteps(context, values, scale, area, theme.ink);
      const label = textAt("rnnwidget-channel", top + CHANNEL / 2, name);
      label.title = name;
      const ends = ticks.map((value) => textAt("rnnwidget-axis-label", y(value), formatShort(value)));
      return [label, ...ends];
    });
    this.gutter.replaceChildren(...labels);
  }

  /** The value of each channel at the cursor, where nothing is brushed: the numbers of a pulse stand there then. */
  private write(): void {
    const { inputs } = this;
    if (!inputs) return;
    const steps = inputs.data.length / inputs.names.length;
    const brushed = this.pulses.length > 0 && this.link.get("steps") !== null;
    for (const [channel, place] of this.values.entries()) {
      const at = (values: Float32Array) =>
        formatShort(values[channel * steps + this.cursor.step] ?? Number.NaN);
      const [now, was] = [at(inputs.data), inputs.before && at(inputs.before)];
      setText(place, was === null || was === now ? now : `${was} → ${now}`);
      place.hidden = brushed;
    }
  }

  private build(names: string[], movable: boolean): void {
    const known = this.pulses.length > 0 === movable && names.length === this.names.length;
    if (known && names.every((name, channel) => name === this.names[channel])) return;
    this.names = names;
    this.zones.replaceChildren();
    this.pulses = (movable ? names : []).map((name, channel) => {
      const zone = make("div", { class: "rnnwidget-pulse-zone" });
      zone.style.top = `${channel * CHANNEL}px`;
      zone.style.height = `${CHANNEL}px`;
      this.zones.append(zone);
      return new Pulse(this.link, channel, name, zone);
    });
    this.values = names.map((_, channel) => textAt("rnnwidget-channel-value", (channel + 0.5) * CHANNEL, ""));
    this.margin.replaceChildren(...this.values, ...this.pulses.map(({ controls }) => controls));
    for (const [channel, { controls }] of this.pulses.entries())
      controls.style.top = `${channel * CHANNEL + (CHANNEL - CONTROLS) / 2}px`;
  }

  private describe(frame: FilledFrame): void {
    const writing = frame.writing;
    if (!writing) {
      this.foot.remove();
      return;
    }
    if (!this.foot.isConnected) this.field.append(this.foot);
    const brushed = this.link.get("steps") !== null;
    const how = brushed
      ? "drag a pulse: ↔ move, ↕ scale"
      : "brush steps, here or on the axis, to move or scale a pulse";
    const most = brushed ? 1 : 0;
    const parts = [...writing.told, ...(writing.told.length <= most ? [writing.pulses || how] : [])];
    setText(this.told, parts.join(" · "));
    this.told.title = parts.join(" · ");
    putAway(this.reset, writing.told.length === 0);
  }
}
