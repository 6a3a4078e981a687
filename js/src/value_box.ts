import { make, setAttribute } from "./dom";
import { formatShort } from "./format";

export interface Typing {
  began(): void;
  /** What was typed so far; null where the box was emptied. */
  typed(value: number | null): void;
  /** Enter, or the focus left; `beyond` where the nearest end of the range was taken instead. */
  settled(beyond: boolean): void;
  /** Escape. */
  cancelled(): void;
}

/** The number beside a slider: it acts while it is typed, and Escape takes back what was. */
export class ValueBox {
  readonly input = make("input", { type: "number", step: "any" });
  private typing = false;
  private bounds: readonly [number, number] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];

  constructor(
    label: string,
    private readonly hands: Typing,
  ) {
    this.input.setAttribute("aria-label", label);
    this.input.addEventListener("input", () => {
      if (!this.typing) hands.began();
      this.typing = true;
      if (this.input.value !== "" && this.input.checkValidity()) hands.typed(Number(this.input.value));
    });
    for (const end of ["change", "blur"]) this.input.addEventListener(end, () => this.settle());
    this.input.addEventListener("keydown", ({ key }) => {
      // Chromium tells of no change where what was typed lies outside the range.
      if (key === "Enter") this.settle();
      if (key === "Escape" && this.typing) {
        this.typing = false;
        hands.cancelled();
      }
    });
  }

  /** What is in force, where nobody is typing. */
  show(value: number, exact: boolean): void {
    const text = String(Number(exact ? value.toPrecision(5) : value.toFixed(2)));
    if (!this.typing && this.input.value !== text) this.input.value = text;
  }

  /** What the slider can be moved to, and what can be typed. */
  reach([low, high]: readonly [number, number], bounds: readonly [number, number]): void {
    this.bounds = bounds;
    for (const [place, name] of ["min", "max"].entries()) {
      const end = bounds[place]!;
      if (Number.isFinite(end)) setAttribute(this.input, name, String(end));
      else this.input.removeAttribute(name);
    }
    const slider = `from ${formatShort(low)} to ${formatShort(high)}`;
    const least = Number.isFinite(bounds[0]) ? `any number from ${formatShort(bounds[0])} on` : "any number";
    this.input.title = Number.isFinite(bounds[1]) ? slider : `${least}; the slider goes ${slider}`;
  }

  private settle(): void {
    if (!this.typing) return;
    this.typing = false;
    const { value, validity } = this.input;
    const [low, high] = this.bounds;
    const typed = Number(value);
    const beyond = value !== "" && (typed < low || typed > high);
    if (beyond) this.hands.typed(Math.min(high, Math.max(low, typed)));
    else if (value === "" && !validity.badInput) this.hands.typed(null);
    // What is no number is still in the box where the text of its value has not changed.
    this.input.value = "";
    this.hands.settled(beyond);
  }
}
