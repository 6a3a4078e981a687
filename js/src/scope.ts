import { Choice } from "./choice";
import { make } from "./dom";
import { formatCount } from "./format";
import type { FilledFrame } from "./frame";
import type { Link, Moves, Scope } from "./link";

/** Where a dial acts; null is everything. */
export type Where = Pick<Moves, "layer" | "units" | "steps">;

/** Chips that say where the sliders act: on what is selected where something is. */
export class ScopeChips {
  readonly element = make("span", { class: "rnnwidget-scope" });
  private readonly units: Choice;
  private readonly layers: Choice;
  private readonly steps: Choice;

  constructor(private readonly link: Link) {
    this.units = new Choice("units", (units) => this.choose({ units: units as Scope["units"] }));
    this.steps = new Choice("steps", (steps) => this.choose({ steps: steps as "brushed" | "all" }));
    this.layers = new Choice("layers", (layers) => this.choose({ layers: layers as Scope["layers"] }));
    const group = (name: string, choice: Choice) => make("span", {}, name, choice.element);
    this.element.append(group("units", this.units), group("steps", this.steps), group("layer", this.layers));
  }

  get scope(): Where {
    const { units, layers, steps } = this.link.get("scope");
    const selected = this.link.get("units");
    return {
      layer: layers === "all" ? null : this.link.get("layer"),
      units: units === "all" || selected.length === 0 ? null : selected,
      steps: steps === "all" ? null : this.link.get("steps"),
    };
  }

  show(frame: FilledFrame): void {
    const { units: wanted, layers, steps = "brushed" } = this.link.get("scope");
    const units = this.link.get("units");
    const brush = this.link.get("steps");
    const selected = { value: "selected", text: `selected ${units.length}`, disabled: units.length === 0 };
    const everyone = {
      value: "all",
      text: `all ${frame.order.length}`,
      name: `all ${formatCount(frame.order.length, "unit")}`,
    };
    this.units.show([selected, everyone], units.length === 0 ? "all" : wanted);
    const [first, last] = brush ? [brush[0], brush[1] - 1] : [0, 0];
    const one = first === last;
    const brushed = {
      value: "brushed",
      text: brush ? (one ? String(first) : `${first}–${last}`) : "brushed",
      name: brush
        ? `brushed, ${one ? `step ${first}` : `${first} to ${last}`}`
        : "brushed: none; drag over the axis or the heatmap",
      disabled: !brush,
    };
    const always = {
      value: "all",
      text: `all ${frame.steps}`,
      name: `all ${formatCount(frame.steps, "step")}`,
    };
    this.steps.show([brushed, always], brush ? steps : "all");
    const here = { value: "this", text: "this" };
    const every = { value: "all", text: `all ${frame.layers.length}`, disabled: frame.layers.length < 2 };
    this.layers.show([here, every], every.disabled ? "this" : layers);
  }

  private choose(change: Partial<Scope>): void {
    this.link.set({ scope: { ...this.link.get("scope"), ...change } });
  }
}
