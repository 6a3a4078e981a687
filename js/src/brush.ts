import { make } from "./dom";
import type { Link } from "./link";
import type { TimeScale } from "./timescale";

/** A range of steps drawn with the pointer along a field on the time axis, shown as a band over all lanes. */
export class Brush {
  readonly band = make("div", { class: "rnnwidget-brush", hidden: "" });
  private scale: TimeScale | null = null;
  private anchor: { step: number; x: number } | null = null;
  private draft: [number, number] | null = null;
  private drawn = false;

  constructor(private readonly link: Link) {}

  /** A click without a drag clears the brush where it means nothing else. */
  attach(field: HTMLElement, clears = true): void {
    field.classList.add("rnnwidget-brushable");
    field.addEventListener("pointerdown", (event) => this.start(event, field));
    field.addEventListener("pointermove", (event) => this.extend(event, field));
    field.addEventListener("pointerup", () => this.finish(clears));
    field.addEventListener("pointercancel", () => this.cancel());
  }

  show(scale: TimeScale): void {
    this.scale = scale;
    const range = this.draft ?? this.link.get("steps");
    this.band.hidden = !range;
    if (!range) return;
    const [start, stop] = [Math.max(0, range[0]), Math.min(scale.steps, range[1])];
    this.band.style.left = `${scale.left(start)}px`;
    this.band.style.width = `${Math.max(0, scale.left(stop) - scale.left(start))}px`;
  }

  /** How far down from the top the band is shaded; below it, the states stay as they are. */
  shade(height: number): void {
    this.band.style.backgroundSize = `100% ${height}px`;
  }

  /** Brushes from the step where the brush began to this one: the keyboard's way. */
  stretch(from: number, to: number): void {
    const current = this.link.get("steps");
    const fixed = !current ? from : from === current[1] - 1 ? current[0] : current[1] - 1;
    this.link.set({ steps: [Math.min(fixed, to), Math.max(fixed, to) + 1] });
  }

  clear(): void {
    if (this.link.get("steps")) this.link.set({ steps: null });
  }

  /** Whether the click that follows is the end of a drag, asked once. */
  get wasDrawn(): boolean {
    const { drawn } = this;
    this.drawn = false;
    return drawn;
  }

  private start(event: PointerEvent, field: HTMLElement): void {
    this.drawn = false;
    if (event.button !== 0 || !this.scale) return;
    const x = event.clientX - field.getBoundingClientRect().left;
    this.anchor = { step: this.scale.stepAt(x), x };
    field.setPointerCapture(event.pointerId);
  }

  private extend(event: PointerEvent, field: HTMLElement): void {
    const scale = this.scale;
    if (!this.anchor || !scale) return;
    const x = event.clientX - field.getBoundingClientRect().left;
    if (!this.draft && Math.abs(x - this.anchor.x) < 4) return;
    const step = scale.stepAt(x);
    this.draft = [Math.min(step, this.anchor.step), Math.max(step, this.anchor.step) + 1];
    this.show(scale);
  }

  private finish(clears: boolean): void {
    if (!this.anchor) return;
    const steps = this.draft;
    this.cancel();
    this.drawn = steps !== null;
    if (steps) this.link.set({ steps });
    else if (clears) this.clear();
  }

  private cancel(): void {
    this.anchor = null;
    this.draft = null;
    if (this.scale) this.show(this.scale);
  }
}
