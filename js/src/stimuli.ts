import { prepare } from "./canvas";
import { make } from "./dom";
import { type Lane, laneParts, type Sheet, textAt } from "./lane";
import { drawLine, drawOddSteps, drawRule } from "./plot";

const BAND = 26;

/** Continuous inputs, one band a channel. */
export class StimulusLane implements Lane {
  readonly element: HTMLElement;
  private readonly gutter: HTMLElement;
  private readonly canvas = make("canvas", { "aria-hidden": "true" });

  constructor() {
    const parts = laneParts("stimuli");
    this.element = parts.element;
    this.gutter = parts.gutter;
    parts.field.append(this.canvas);
  }

  paint({ frame, scale, theme }: Sheet): void {
    const inputs = frame.inputs;
    this.element.hidden = inputs === null;
    if (!inputs) return;
    const height = BAND * inputs.names.length;
    this.element.style.height = `${height}px`;
    const { context } = prepare(this.canvas, scale.width, height);
    const names = inputs.names.map((name, channel) => {
      const values = inputs.data.subarray(channel * frame.steps, (channel + 1) * frame.steps);
      const area = { top: channel * BAND + 4, bottom: (channel + 1) * BAND - 4 };
      const [low, high] = finiteRange(values);
      const span = high - low || 1;
      const y = (value: number) => area.bottom - ((value - low) / span) * (area.bottom - area.top);
      if (low <= 0 && high >= 0) drawRule(context, y(0), scale.width, theme.faint);
      drawLine(context, values, scale, y, { color: theme.ink, width: 1.2 });
      drawOddSteps(context, values, scale, area, theme.ink);
      const label = textAt("rnnwidget-channel", (channel + 0.5) * BAND, name);
      label.title = name;
      return label;
    });
    this.gutter.replaceChildren(...names);
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
