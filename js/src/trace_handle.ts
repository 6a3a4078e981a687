import { make, setAttribute, uniqueId } from "./dom";
import { formatValue } from "./format";
import type { Gate } from "./frame";

/** What a handle stands at: the mean of a gate's line over the brushed steps. */
export interface Stand {
  gate: Gate;
  layer: string;
  unit: number;
  steps: [number, number];
  mean: number;
  x: number;
  y: number;
}

/** A gate's line taken hold of by the keyboard: a slider on the line, inside the brush. */
export class TraceHandle {
  readonly input = make("input", {
    type: "range",
    step: "0.01",
    class: "rnnwidget-trace-handle",
    hidden: "",
  });
  /** Keys pressed one after the other are one step to undo. */
  private gesture = uniqueId("gesture");
  private stand: Stand | null = null;

  constructor(moved: (stand: Stand, value: number, gesture: string) => void, left: () => void) {
    this.input.addEventListener("input", () => {
      this.tell();
      if (this.stand) moved(this.stand, Number(this.input.value), this.gesture);
    });
    this.input.addEventListener("blur", () => {
      this.gesture = uniqueId("gesture");
      left();
    });
  }

  /** Null where there is nothing to take hold of; `settled` once what was asked for by key has been answered. */
  show(stand: Stand | null, settled: boolean): void {
    this.stand = stand;
    this.input.hidden = stand === null;
    if (!stand) return;
    const { gate, unit, steps, mean, x, y } = stand;
    const [first, last] = [steps[0], steps[1] - 1];
    const when = first === last ? `step ${first}` : `steps ${first} to ${last}`;
    setAttribute(this.input, "min", String(gate.clamp[0]));
    setAttribute(this.input, "max", String(gate.clamp[1]));
    setAttribute(
      this.input,
      "aria-label",
      `line of the ${gate.label}, unit ${unit}, ${when}: arrows clamp it`,
    );
    this.input.style.left = `${x}px`;
    this.input.style.top = `${y}px`;
    if (settled) this.input.value = String(mean);
    this.tell();
  }

  private tell(): void {
    const one = this.stand && this.stand.steps[1] - this.stand.steps[0] === 1;
    setAttribute(
      this.input,
      "aria-valuetext",
      `${formatValue(Number(this.input.value), 2)}${one ? "" : " on average"}`,
    );
  }
}
