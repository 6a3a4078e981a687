import { Choice } from "./choice";
import { Dial, meanOf } from "./dial";
import { make } from "./dom";
import type { FilledFrame } from "./frame";
import type { Dials, Link, Scope } from "./link";

/** A slider for each gate, what the sliders act on, and the edits in force. */
export class GatePanel {
  readonly element: HTMLElement;
  private readonly unitScope: Choice;
  private readonly layerScope: Choice;
  private readonly rows = make("div", { class: "rnnwidget-dials" });
  private readonly edits = make("ul", { class: "rnnwidget-edits", "aria-label": "edits in force" });
  private readonly clear = make("button", { type: "button" }, "reset all");
  private dials: Dial[] = [];
  private gates = "";
  private frame: FilledFrame | null = null;
  /** For each site the serial of the request that last moved it. */
  private readonly moved = new Map<string, number>();
  /** Sites moved since the scope changed, until Python has told the dials of the new scope. */
  private fresh: Set<string> | null = null;

  constructor(private readonly link: Link) {
    this.unitScope = new Choice("units", (units) => this.setScope({ units: units as Scope["units"] }));
    this.layerScope = new Choice("layers", (layers) => this.setScope({ layers: layers as Scope["layers"] }));
    const scope = make("span", { class: "rnnwidget-scope" });
    scope.append("units", this.unitScope.element, "layer", this.layerScope.element, this.clear);
    const head = make("div", { class: "rnnwidget-panel-head" });
    head.append(make("span", { class: "rnnwidget-title" }, "probe"), scope);
    this.element = make("section", { class: "rnnwidget-panel", "aria-label": "gate panel" });
    this.element.append(head, this.rows, this.edits);
    this.clear.addEventListener("click", () => this.resetAll());
    link.listen("dials", () => this.sync());
    for (const trait of ["units", "scope", "layer"] as const)
      link.listen(trait, () => {
        this.fresh = new Set();
        this.showScope();
      });
  }

  show(frame: FilledFrame): void {
    this.frame = frame;
    const gates = JSON.stringify(frame.panel.map((gate) => ({ ...gate, shift: null })));
    if (gates !== this.gates) this.build(gates);
    for (const [place, dial] of this.dials.entries()) {
      dial.fit(frame.panel[place]!.shift);
      const trace = frame.trace.series[dial.gate.site];
      dial.restAt(meanOf(trace?.before ?? trace?.after));
    }
    this.showScope();
    const lines = frame.edits.length > 0 ? frame.edits : ["no edits: the model runs as it is"];
    this.edits.replaceChildren(...lines.map((line) => make("li", {}, line)));
    this.edits.dataset.edited = String(frame.edits.length > 0);
    this.clear.disabled = frame.edits.length === 0;
    this.sync();
  }

  private build(gates: string): void {
    this.gates = gates;
    this.dials = (this.frame?.panel ?? []).map(
      (gate) =>
        new Dial(
          { ...gate },
          () => this.send([gate.site]),
          () => this.sync(),
        ),
    );
    this.rows.replaceChildren(...this.dials.map(({ element }) => element));
  }

  private showScope(): void {
    if (!this.frame) return;
    const scope = this.link.get("scope");
    const units = this.link.get("units");
    const selected = { value: "selected", text: `selected ${units.length}`, disabled: units.length === 0 };
    const everyone = { value: "all", text: `all ${this.frame.order.length} units` };
    this.unitScope.show([selected, everyone], units.length === 0 ? "all" : scope.units);
    const layers = [
      { value: "this", text: "this" },
      { value: "all", text: `all ${this.frame.layers.length}`, disabled: this.frame.layers.length < 2 },
    ];
    this.layerScope.show(layers, scope.layers);
  }

  private setScope(change: Partial<Scope>): void {
    this.link.set({ scope: { ...this.link.get("scope"), ...change } });
  }

  /** Moves the dials to what Python says, but none that is held or whose newest move is unanswered. */
  private sync(): void {
    this.fresh = null;
    const dials = this.link.get("dials");
    for (const dial of this.dials) {
      const { site } = dial.gate;
      const pending = (this.moved.get(site) ?? 0) > this.link.answered;
      if (!dial.held && !pending) dial.adopt(dials[site] ?? null);
    }
  }

  private send(sites: string[]): void {
    for (const site of sites) this.fresh?.add(site);
    const settings: Dials = {};
    for (const { gate, setting } of this.dials)
      if (setting && (!this.fresh || this.fresh.has(gate.site))) settings[gate.site] = setting;
    const { units, layers } = this.link.get("scope");
    const selected = this.link.get("units");
    this.link.request({
      layer: layers === "all" ? null : this.link.get("layer"),
      units: units === "all" || selected.length === 0 ? null : selected,
      dials: settings,
    });
    this.remember(sites);
  }

  private resetAll(): void {
    for (const dial of this.dials) dial.adopt(null);
    this.link.request({ clear: true });
    this.remember(this.dials.map(({ gate }) => gate.site));
  }

  private remember(sites: string[]): void {
    for (const site of sites) this.moved.set(site, this.link.newest);
  }
}
