import { make, setText, uniqueId } from "./dom";
import { formatValue } from "./format";
import type { FilledFrame, Gate } from "./frame";
import type { Link } from "./link";
import type { TimeScale } from "./timescale";
import { type Stand, TraceHandle } from "./trace_handle";

const INSIDE = 6;
const NEAR = 8;
/** A finger hides what it points at. */
const NEAR_A_FINGER = 24;
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
  pointer: number;
  stand: Stand;
  y: number;
  gesture: string;
  moved: boolean;
}

/** A gate's line taken hold of inside the brush and moved up or down: the gate is clamped there, for that unit. */
export class TraceGrip {
  private readonly zone = make("div", { class: "rnnwidget-grip-zone", hidden: "" });
  private readonly bar = make("div", { class: "rnnwidget-grip", hidden: "" });
  private readonly told = make("span", {});
  private readonly handles = new Map<string, TraceHandle>();
  private hold: Hold | null = null;
  /** The serial of the request that last moved a line by key. */
  private asked = 0;

  constructor(
    private readonly field: HTMLElement,
    private readonly link: Link,
    private readonly lane: () => Grippable | null,
  ) {
    this.bar.append(this.told);
    field.append(this.zone, this.bar);
    field.addEventListener("pointerdown", (event) => this.take(event));
    field.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
      field.addEventListener(end, (event) => this.release(event as PointerEvent));
  }

  /** Puts the handles where the lines are. */
  show(): void {
    const lane = this.lane();
    const stands = new Map(this.stands().map((stand) => [stand.gate.site, stand]));
    for (const site of stands.keys()) if (!this.handles.has(site)) this.build(site);
    const settled = this.asked <= this.link.answered;
    for (const [site, handle] of this.handles) handle.show(stands.get(site) ?? null, settled);
    const steps = this.link.get("steps");
    this.zone.hidden = !lane || !steps || stands.size === 0;
    if (this.zone.hidden) this.bar.hidden = true;
    else for (const element of [this.zone, this.bar]) place(element, lane!.scale, steps!);
  }

  private build(site: string): void {
    const moved = (stand: Stand, value: number, gesture: string) => {
      this.clamp(stand, value, gesture);
      this.asked = this.link.newest;
    };
    const handle = new TraceHandle(moved, () => {
      this.bar.hidden = true;
    });
    this.handles.set(site, handle);
    this.field.append(handle.input);
  }

  /** Every line of a gate that a clamp can hold, inside the brush. */
  private stands(): Stand[] {
    const lane = this.lane();
    const brush = this.link.get("steps");
    if (!lane || !brush || this.link.closed) return [];
    const { frame, scale, lines, heightOf } = lane;
    const steps: [number, number] = [brush[0], Math.min(brush[1], frame.steps)];
    return lines.flatMap(({ site, values }, place) => {
      const gate: Gate | undefined = frame.panel.find(
        (row) => row.site === site && row.kinds.includes("clamp"),
      );
      const inside = values.subarray(...steps);
      const mean = inside.reduce((sum, value) => sum + value, 0) / inside.length;
      if (!gate || !Number.isFinite(mean)) return [];
      // Side by side, so that lines on each other have handles that are not.
      const at = steps[0] + Math.floor(((steps[1] - steps[0]) * (place + 1)) / (lines.length + 1));
      const y = heightOf(Number.isFinite(values[at]) ? values[at]! : mean);
      return [
        { gate, layer: frame.layer, unit: frame.trace.unit, steps: brush, mean, x: scale.centre(at), y },
      ];
    });
  }

  /** The line, or the handle of a line, under the pointer. */
  private under(event: PointerEvent): Hold | null {
    const lane = this.lane();
    if (!lane) return null;
    const { x, y } = this.place(event);
    const step = lane.scale.stepAt(x);
    let nearest: Hold | null = null;
    let least = event.pointerType === "touch" ? NEAR_A_FINGER : NEAR;
    for (const stand of this.stands()) {
      if (x < 0 || step < stand.steps[0] || step >= stand.steps[1]) continue;
      const { values } = lane.lines.find(({ site }) => site === stand.gate.site)!;
      const byHandle = Math.abs(x - stand.x) <= INSIDE ? Math.abs(stand.y - y) : Number.POSITIVE_INFINITY;
      const away = Math.min(byHandle, Math.abs(lane.heightOf(values[step]!) - y));
      if (!(away <= least)) continue;
      least = away;
      nearest = { pointer: event.pointerId, stand, y, gesture: uniqueId("gesture"), moved: false };
    }
    return nearest;
  }

  private take(event: PointerEvent): void {
    if (event.button !== 0 || this.hold) return;
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
    if (event.pointerId !== hold.pointer) return;
    const { y } = this.place(event);
    if (!hold.moved && Math.abs(y - hold.y) < STILL) return;
    hold.moved = true;
    this.clamp(hold.stand, lane.valueAt(y), hold.gesture);
  }

  private clamp({ gate, layer, unit, steps }: Stand, wanted: number, gesture: string): void {
    const [low, high] = gate.clamp;
    const value = Math.round(Math.min(high, Math.max(low, wanted)) * 100) / 100;
    this.select(unit);
    this.draw(gate, steps, value);
    this.link.request({
      layer,
      units: [unit],
      steps,
      dials: { [gate.site]: { kind: "clamp", value } },
      only: [gate.site],
      gesture,
    });
  }

  /** Lets the panel stand where this acts, unless a person has selected several units. */
  private select(unit: number): void {
    const units = this.link.get("units");
    const { units: which, layers, steps } = this.link.get("scope");
    if (units.some((other) => other !== unit)) return;
    if (units.length > 0 && which === "selected" && layers === "this" && steps === "brushed") return;
    this.link.set({ units: [unit], scope: { units: "selected", layers: "this", steps: "brushed" } });
  }

  private release(event: PointerEvent): void {
    if (event.pointerId !== this.hold?.pointer) return;
    this.hold = null;
    this.bar.hidden = true;
  }

  private draw(gate: Gate, steps: [number, number], value: number): void {
    const lane = this.lane();
    if (!lane) return;
    this.bar.hidden = false;
    this.bar.style.top = `${lane.heightOf(value)}px`;
    place(this.bar, lane.scale, steps);
    setText(this.told, `${gate.symbol} ${formatValue(value, 2)}`);
  }

  private place(event: PointerEvent): { x: number; y: number } {
    const { left, top } = this.field.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }
}

function place(element: HTMLElement, scale: TimeScale, [start, stop]: [number, number]): void {
  element.style.left = `${scale.left(start)}px`;
  element.style.width = `${scale.left(Math.min(scale.steps, stop)) - scale.left(start)}px`;
}
