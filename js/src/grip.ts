import { make, setText, uniqueId } from "./dom";
import { formatValue } from "./format";
import type { FilledFrame } from "./frame";
import type { Link } from "./link";
import type { TimeScale } from "./timescale";

const NEAR = 8;
const STILL = 3;

/** What of a trace lane can be taken hold of: its lines, and how height and value go together. */
export interface Grippable {
  frame: FilledFrame;
  scale: TimeScale;
  lines: { site: string; values: Float32Array }[];
  heightOf(value: number): number;
  valueAt(height: number): number;
}

interface Hold {
  site: string;
  range: [number, number];
  steps: [number, number];
  unit: number;
  y: number;
  gesture: string;
  moved: boolean;
}

/** A gate's line taken hold of inside the brush and moved up or down: the gate is clamped there, for that unit. */
export class TraceGrip {
  private readonly bar = make("div", { class: "rnnwidget-grip", hidden: "" });
  private readonly told = make("span", {});
  private hold: Hold | null = null;

  constructor(
    private readonly field: HTMLElement,
    private readonly link: Link,
    private readonly lane: () => Grippable | null,
  ) {
    this.bar.append(this.told);
    field.append(this.bar);
    field.addEventListener("pointerdown", (event) => this.take(event));
    field.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
      field.addEventListener(end, () => this.release());
  }

  /** The line under the pointer, if it is a gate's and inside the brush. */
  private under(event: PointerEvent): Hold | null {
    const lane = this.lane();
    const steps = this.link.get("steps");
    if (!lane || !steps) return null;
    const { x, y } = this.place(event);
    const step = lane.scale.stepAt(x);
    if (x < 0 || step < steps[0] || step >= steps[1]) return null;
    let nearest: Hold | null = null;
    let least = NEAR;
    for (const { site, values } of lane.lines) {
      const gate = lane.frame.panel.find((row) => row.site === site && row.kinds.includes("clamp"));
      const away = Math.abs(lane.heightOf(values[step]!) - y);
      if (!gate || !(away <= least)) continue;
      least = away;
      const unit = lane.frame.trace.unit;
      nearest = { site, range: gate.clamp, steps, unit, y, gesture: uniqueId("gesture"), moved: false };
    }
    return nearest;
  }

  private take(event: PointerEvent): void {
    if (event.button !== 0) return;
    this.hold = this.under(event);
    if (!this.hold) return;
    this.field.setPointerCapture(event.pointerId);
    event.preventDefault();
  }

  private move(event: PointerEvent): void {
    const { hold } = this;
    const lane = this.lane();
    if (!hold || !lane) {
      this.field.dataset.grip = String(this.under(event) !== null);
      return;
    }
    const { y } = this.place(event);
    if (!hold.moved && Math.abs(y - hold.y) < STILL) return;
    if (!hold.moved) this.select(hold.unit);
    hold.moved = true;
    const [low, high] = hold.range;
    const value = Math.round(Math.min(high, Math.max(low, lane.valueAt(y))) * 100) / 100;
    this.draw(lane, hold, value);
    this.link.request({
      layer: this.link.get("layer"),
      units: [hold.unit],
      steps: hold.steps,
      dials: { [hold.site]: { kind: "clamp", value } },
      only: [hold.site],
      gesture: hold.gesture,
    });
  }

  /** Lets the panel stand where this acts, unless a person has selected several units. */
  private select(unit: number): void {
    if (this.link.get("units").some((other) => other !== unit)) return;
    this.link.set({ units: [unit], scope: { units: "selected", layers: "this", steps: "brushed" } });
  }

  private release(): void {
    this.hold = null;
    this.bar.hidden = true;
  }

  private draw({ scale, heightOf }: Grippable, { steps }: Hold, value: number): void {
    this.bar.hidden = false;
    this.bar.style.top = `${heightOf(value)}px`;
    this.bar.style.left = `${scale.left(steps[0])}px`;
    this.bar.style.width = `${scale.left(Math.min(scale.steps, steps[1])) - scale.left(steps[0])}px`;
    setText(this.told, formatValue(value, 2));
  }

  private place(event: PointerEvent): { x: number; y: number } {
    const { left, top } = this.field.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }
}
