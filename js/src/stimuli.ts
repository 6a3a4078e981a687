import { prepare } from "./canvas";
import { make, setText } from "./dom";
import type { FilledFrame } from "./frame";
import { type Lane, laneParts, type Sheet, textAt } from "./lane";
import type { Link } from "./link";
import { drawLine, drawOddSteps, drawRule } from "./plot";
import { Pulse } from "./pulse";
import { Remembered } from "./remembered";

/** The height of one channel. */
export const CHANNEL = 26;

/** Continuous inputs, one band a channel; the brushed steps of a channel can be moved and scaled. */
export class StimulusLane implements Lane {
  readonly element: HTMLElement;
  private readonly gutter: HTMLElement;
  private readonly field: HTMLElement;
  private readonly margin: HTMLElement;
  private readonly canvas = make("canvas", { "aria-hidden": "true" });
  private readonly zones = make("div", { class: "rnnwidget-pulse-zones" });
  private readonly told = make("span", { class: "rnnwidget-clipped" });
  private readonly reset = make("button", { type: "button" }, "reset input");
  private readonly foot = make("div", { class: "rnnwidget-stimulus-foot rnnwidget-muted" });
  private readonly drawn = new Remembered();
  private names: string[] = [];
  private pulses: Pulse[] = [];

  constructor(private readonly link: Link) {
    const parts = laneParts("stimuli");
    this.element = parts.element;
    this.gutter = parts.gutter;
    this.field = parts.field;
    this.margin = parts.margin;
    this.foot.append(this.told, this.reset);
    this.field.append(this.canvas, this.zones);
    this.reset.addEventListener("click", () => link.request({ inputs: { kind: "reset" } }));
  }

  paint({ frame, scale, theme }: Sheet): void {
    const inputs = frame.inputs;
    this.element.hidden = inputs === null;
    if (!inputs) return;
    const height = CHANNEL * inputs.names.length;
    this.element.style.height = `${height + (frame.writing ? 20 : 0)}px`;
    if (!this.drawn.still(inputs.data, JSON.stringify(inputs.names), scale.width, theme, devicePixelRatio))
      this.draw(inputs, frame.steps, { scale, theme });
    this.build(frame.writing?.pulses === "" ? inputs.names : []);
    for (const pulse of this.pulses) pulse.show(scale);
    this.describe(frame);
  }

  private draw(
    inputs: { names: string[]; data: Float32Array },
    steps: number,
    { scale, theme }: Omit<Sheet, "frame">,
  ): void {
    const { context } = prepare(this.canvas, scale.width, CHANNEL * inputs.names.length);
    const names = inputs.names.map((name, channel) => {
      const values = inputs.data.subarray(channel * steps, (channel + 1) * steps);
      const area = { top: channel * CHANNEL + 4, bottom: (channel + 1) * CHANNEL - 4 };
      const [low, high] = finiteRange(values);
      const span = high - low || 1;
      const y = (value: number) => area.bottom - ((value - low) / span) * (area.bottom - area.top);
      if (low <= 0 && high >= 0) drawRule(context, y(0), scale.width, theme.faint);
      drawLine(context, values, scale, y, { color: theme.ink, width: 1.2 });
      drawOddSteps(context, values, scale, area, theme.ink);
      const label = textAt("rnnwidget-channel", (channel + 0.5) * CHANNEL, name);
      label.title = name;
      return label;
    });
    this.gutter.replaceChildren(...names);
  }

  private build(names: string[]): void {
    if (names.length === this.names.length && names.every((name, channel) => name === this.names[channel]))
      return;
    this.names = names;
    this.zones.replaceChildren();
    this.pulses = names.map((name, channel) => {
      const zone = make("div", { class: "rnnwidget-pulse-zone" });
      zone.style.top = `${channel * CHANNEL}px`;
      zone.style.height = `${CHANNEL}px`;
      this.zones.append(zone);
      return new Pulse(this.link, channel, name, zone);
    });
    this.margin.replaceChildren(...this.pulses.map(({ controls }) => controls));
    for (const [channel, { controls }] of this.pulses.entries())
      controls.style.top = `${channel * CHANNEL + 2}px`;
  }

  private describe(frame: FilledFrame): void {
    const writing = frame.writing;
    if (!writing) {
      this.foot.remove();
      return;
    }
    if (!this.foot.isConnected) this.field.append(this.foot);
    const how = this.link.get("steps")
      ? "drag a pulse: ↔ moves it, ↕ scales it"
      : "brush steps on the axis to move or scale a pulse";
    const parts = [...writing.told, ...(writing.told.length < 2 ? [writing.pulses || how] : [])];
    setText(this.told, parts.join(" · "));
    this.told.title = parts.join(" · ");
    this.reset.hidden = writing.told.length === 0;
  }
}

function finiteRange(values: Float32Array): [number, number] {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values)
    if (Number.isFinite(value)) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  return low <= high ? [low, high] : [0, 1];
}
