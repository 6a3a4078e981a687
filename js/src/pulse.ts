import { make } from "./dom";
import { formatShort } from "./format";
import type { Moved } from "./frame";
import type { InputWish } from "./input_wish";
import type { Link } from "./link";
import type { TimeScale } from "./timescale";

const STILL = 4;
const DOUBLE = 36;

let gestures = 0;

interface Drag {
  x: number;
  y: number;
  from: Standing;
  gesture: string;
  way: "move" | "scale" | null;
}

/** What was done to the brushed steps before; `again` where something was. */
type Standing = Moved & { again: boolean };

/** How far a pointer takes a pulse `from` where it was: along the steps, or up and down as a factor. */
export function pulseOf(
  way: "move" | "scale",
  dx: number,
  dy: number,
  column: number,
  from: { move: number; gain: number } = { move: 0, gain: 1 },
): [number, number] {
  if (way === "move") return [from.move + Math.round(dx / column), from.gain];
  const gain = from.gain + Math.round((-dy / DOUBLE) * 20) / 20;
  return [from.move, rounded(Math.max(Math.min(0, from.gain), gain))];
}

const rounded = (gain: number) => Number(gain.toFixed(4));

/**
 * The brushed steps of one channel, to be dragged: sideways moves them, upward scales them. Numbers do the same: they
 * say how far and by what in all, since the steps were as the model was given them.
 */
export class Pulse {
  readonly controls: HTMLElement;
  private readonly move: HTMLInputElement;
  private readonly gain: HTMLInputElement;
  private drag: Drag | null = null;
  private scale: TimeScale | null = null;
  private moved: Moved | null = null;
  private typing: HTMLInputElement | null = null;

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
    this.move.title = "steps that these were moved by, in all";
    this.gain.title = "factor that these steps were scaled by, in all";
    this.controls = make("span", { class: "rnnwidget-pulse" }, "→", this.move, "×", this.gain);
    for (const input of [this.move, this.gain]) {
      input.addEventListener("input", () => {
        this.typing = input;
      });
      input.addEventListener("change", () => this.typed());
      input.addEventListener("keydown", (event) => event.stopPropagation());
    }
    zone.addEventListener("pointerdown", (event) => this.start(event));
    zone.addEventListener("pointermove", (event) => this.follow(event));
    zone.addEventListener("pointerup", () => this.finish());
    zone.addEventListener("pointercancel", () => this.cancel());
  }

  /** `moved` is what was last done to the channel, if anything. */
  show(scale: TimeScale, moved: Moved | null): void {
    this.scale = scale;
    if (!this.link.outstanding) this.moved = moved;
    const steps = this.link.get("steps");
    this.controls.hidden = !steps;
    this.zone.hidden = this.controls.hidden;
    if (!steps) return;
    this.zone.style.left = `${scale.left(steps[0])}px`;
    this.zone.style.width = `${scale.left(Math.min(steps[1], scale.steps)) - scale.left(steps[0])}px`;
    if (!this.drag && !this.link.outstanding) this.rest();
  }

  private start(event: PointerEvent): void {
    const from = this.standing;
    if (!from || event.button !== 0) return;
    this.drag = { x: event.clientX, y: event.clientY, from, gesture: newGesture(), way: null };
    this.zone.setPointerCapture(event.pointerId);
    event.preventDefault();
  }

  private follow(event: PointerEvent): void {
    const { drag, scale } = this;
    if (!drag || !scale) return;
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    if (!drag.way && Math.max(Math.abs(dx), Math.abs(dy)) < STILL) return;
    drag.way ??= Math.abs(dx) >= Math.abs(dy) ? "move" : "scale";
    const [move, gain] = pulseOf(drag.way, dx, dy, scale.column, drag.from);
    if (Number(this.move.value) === move && Number(this.gain.value) === gain) return;
    this.send(drag.from, move, gain, drag.gesture);
  }

  private finish(): void {
    const { drag } = this;
    this.drag = null;
    if (drag?.way) this.settle(drag.from, Number(this.move.value));
  }

  private cancel(): void {
    const { drag } = this;
    this.drag = null;
    if (drag?.way) this.send(drag.from, drag.from.move, drag.from.gain, drag.gesture);
  }

  private typed(): void {
    this.typing = null;
    const from = this.standing;
    const [move, gain] = [Math.round(Number(this.move.value)), Number(this.gain.value)];
    if (!from || this.gain.value === "" || !Number.isFinite(move) || !Number.isFinite(gain)) {
      this.rest();
      return;
    }
    if (move === from.move && gain === rounded(from.gain)) return;
    this.send(from, move, gain, newGesture());
    this.settle(from, move);
  }

  /** The brush goes along with the pulse. */
  private settle(from: Standing, move: number): void {
    const [start, stop] = this.stands({ ...from, move });
    if (move !== from.move && stop > start) this.link.set({ steps: [start, stop] });
  }

  /** What was done to the brushed steps, if they are those to which something was done last. */
  private get standing(): Standing | null {
    const steps = this.link.get("steps");
    if (!steps) return null;
    const [start, stop] = steps;
    const stands = this.moved && this.stands(this.moved);
    if (this.moved && stands?.[0] === start && stands[1] === Math.min(stop, this.steps))
      return { ...this.moved, again: true };
    return { channel: this.channel, start, stop, move: 0, gain: 1, again: false };
  }

  private get steps(): number {
    return this.scale?.steps ?? Number.POSITIVE_INFINITY;
  }

  private stands({ start, stop, move }: Moved): [number, number] {
    return [Math.max(0, start + move), Math.min(this.steps, stop + move)];
  }

  private rest(): void {
    const { move, gain } = this.standing ?? { move: 0, gain: 1 };
    if (this.typing !== this.move) this.move.value = String(move);
    if (this.typing !== this.gain) this.gain.value = String(rounded(gain));
  }

  private send(from: Standing, move: number, gain: number, gesture: string): void {
    const { start, stop, again } = from;
    this.move.value = String(move);
    this.gain.value = String(gain);
    const inputs: InputWish = { kind: "pulse", channel: this.channel, start, stop, move, gain, gesture };
    this.link.request({ inputs: again ? { ...inputs, again } : inputs });
    this.moved = { channel: this.channel, start, stop, move, gain };
    this.zone.title = `moved by ${formatShort(move)}, scaled by ${formatShort(gain)}`;
  }
}

function newGesture(): string {
  gestures += 1;
  return `${Date.now().toString(36)}-${gestures}`;
}
