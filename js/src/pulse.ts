import { make } from "./dom";
import { formatShort } from "./format";
import type { InputWish } from "./input_wish";
import type { Link } from "./link";
import type { TimeScale } from "./timescale";

const STILL = 4;
const DOUBLE = 36;

let gestures = 0;

interface Drag {
  x: number;
  y: number;
  steps: [number, number];
  gesture: string;
  way: "move" | "scale" | null;
}

/** How far a pointer has taken a pulse: along the steps, or up and down as a factor. */
export function pulseOf(way: "move" | "scale", dx: number, dy: number, column: number): [number, number] {
  if (way === "move") return [Math.round(dx / column), 1];
  return [0, Math.max(0, Math.round((1 - dy / DOUBLE) * 20) / 20)];
}

/** The brushed steps of one channel, to be dragged: sideways moves them, upward scales them. Numbers do the same. */
export class Pulse {
  readonly controls: HTMLElement;
  private readonly move: HTMLInputElement;
  private readonly gain: HTMLInputElement;
  private drag: Drag | null = null;
  private scale: TimeScale | null = null;

  constructor(
    private readonly link: Link,
    private readonly channel: number,
    name: string,
    private readonly zone: HTMLElement,
  ) {
    this.move = make("input", {
      type: "number",
      step: "1",
      "aria-label": `${name}: move the brushed steps by`,
    });
    this.gain = make("input", {
      type: "number",
      step: "0.1",
      "aria-label": `${name}: scale the brushed steps by`,
    });
    this.move.title = "move the brushed steps by";
    this.gain.title = "scale the brushed steps by";
    this.controls = make("span", { class: "rnnwidget-pulse" }, "→", this.move, "×", this.gain);
    for (const input of [this.move, this.gain]) {
      input.addEventListener("change", () => this.typed());
      input.addEventListener("keydown", (event) => event.stopPropagation());
    }
    this.rest();
    zone.addEventListener("pointerdown", (event) => this.start(event));
    zone.addEventListener("pointermove", (event) => this.follow(event));
    zone.addEventListener("pointerup", () => this.finish());
    zone.addEventListener("pointercancel", () => this.cancel());
  }

  show(scale: TimeScale): void {
    this.scale = scale;
    const steps = this.link.get("steps");
    this.controls.hidden = !steps;
    this.zone.hidden = this.controls.hidden;
    if (!steps) return;
    this.zone.style.left = `${scale.left(steps[0])}px`;
    this.zone.style.width = `${scale.left(Math.min(steps[1], scale.steps)) - scale.left(steps[0])}px`;
  }

  private start(event: PointerEvent): void {
    const steps = this.link.get("steps");
    if (!steps || event.button !== 0) return;
    this.drag = { x: event.clientX, y: event.clientY, steps, gesture: newGesture(), way: null };
    this.zone.setPointerCapture(event.pointerId);
    event.preventDefault();
  }

  private follow(event: PointerEvent): void {
    const { drag, scale } = this;
    if (!drag || !scale) return;
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    if (!drag.way && Math.max(Math.abs(dx), Math.abs(dy)) < STILL) return;
    drag.way ??= Math.abs(dx) >= Math.abs(dy) ? "move" : "scale";
    const [move, gain] = pulseOf(drag.way, dx, dy, scale.column);
    if (Number(this.move.value) === move && Number(this.gain.value) === gain) return;
    this.move.value = String(move);
    this.gain.value = String(gain);
    this.send(drag.steps, move, gain, drag.gesture);
  }

  private finish(): void {
    const { drag } = this;
    this.drag = null;
    if (drag?.way) this.settle(drag.steps, Number(this.move.value));
  }

  private cancel(): void {
    const { drag } = this;
    this.drag = null;
    if (drag?.way) this.send(drag.steps, 0, 1, drag.gesture);
    this.rest();
  }

  private typed(): void {
    const steps = this.link.get("steps");
    const [move, gain] = [Math.round(Number(this.move.value)), Number(this.gain.value)];
    if (!steps || !Number.isFinite(move) || !Number.isFinite(gain)) {
      this.rest();
      return;
    }
    this.send(steps, move, gain, newGesture());
    this.settle(steps, move);
  }

  /** The brush goes along with the pulse. */
  private settle(steps: [number, number], move: number): void {
    this.rest();
    const start = Math.max(0, steps[0] + move);
    const stop = Math.min(this.scale?.steps ?? steps[1], steps[1] + move);
    if (move !== 0 && stop > start) this.link.set({ steps: [start, stop] });
  }

  private rest(): void {
    this.move.value = "0";
    this.gain.value = "1";
  }

  private send(steps: [number, number], move: number, gain: number, gesture: string): void {
    const [start, stop] = steps;
    const inputs: InputWish = { kind: "pulse", channel: this.channel, start, stop, move, gain, gesture };
    this.link.request({ inputs });
    this.zone.title = `moved by ${formatShort(move)}, scaled by ${formatShort(gain)}`;
  }
}

function newGesture(): string {
  gestures += 1;
  return `${Date.now().toString(36)}-${gestures}`;
}
