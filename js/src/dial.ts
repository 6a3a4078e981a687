import { Choice } from "./choice";
import { make } from "./dom";
import { formatSigned } from "./format";
import type { Gate, Kind } from "./frame";
import type { Setting } from "./link";

const KIND_NAMES: Record<Kind, string> = {
  shift: "shift: add to the pre-activation",
  clamp: "clamp: hold at this value",
};

/** One gate's slider with its number box, kind and reset. Untouched until a person or Python moves it. */
export class Dial {
  readonly element: HTMLElement;
  /** A pointer holds the slider: nothing else may move it. */
  held = false;
  private kind: Kind;
  private value: number | null = null;
  private mean = Number.NaN;
  private readonly slider = make("input", { type: "range" });
  private readonly box = make("input", { type: "number" });
  private readonly reset = make("button", { type: "button", class: "rnnwidget-reset" }, "⟲");
  private readonly kinds: Choice;

  constructor(
    readonly gate: Gate,
    private readonly changed: () => void,
    released: () => void,
  ) {
    this.kind = gate.kinds[0] ?? "shift";
    this.kinds = new Choice(`${gate.label}: kind of edit`, (kind) => this.changeKind(kind as Kind));
    this.box.setAttribute("aria-label", `${gate.label} value`);
    this.reset.setAttribute("aria-label", `reset ${gate.label}`);
    this.reset.title = `reset ${gate.label}`;
    this.element = this.assemble();
    this.slider.addEventListener("input", () => this.move(Number(this.slider.value)));
    this.slider.addEventListener("pointerdown", () => {
      this.held = true;
    });
    for (const end of ["pointerup", "pointercancel", "change", "blur"])
      this.slider.addEventListener(end, () => {
        if (!this.held) return;
        this.held = false;
        released();
      });
    this.box.addEventListener("input", () => {
      if (this.box.value !== "" && this.box.checkValidity()) this.move(Number(this.box.value));
    });
    this.box.addEventListener("change", () => this.settleBox());
    this.reset.addEventListener("click", () => this.move(null));
    this.render();
  }

  /** null while untouched. */
  get setting(): Setting | null {
    return this.value === null ? null : { kind: this.kind, value: this.value };
  }

  /** Takes what Python says; an untouched dial keeps the kind that the person chose for it. */
  adopt(setting: Setting | null): void {
    if (setting) this.kind = setting.kind;
    this.value = setting?.value ?? null;
    this.render();
  }

  /** The range of a shift; a drag in progress keeps the one it began with. */
  fit(shift: Gate["shift"]): void {
    if (!this.held) this.gate.shift = shift;
  }

  /** Where a clamp starts: the gate's mean in the trace of the unedited run. */
  restAt(mean: number): void {
    this.mean = mean;
    if (!this.held) this.render();
  }

  private assemble(): HTMLElement {
    const { label, symbol, low, high } = this.gate;
    const name = make("span", { class: "rnnwidget-dial-name" }, label, " ", make("i", {}, symbol));
    const words = make("span", { class: "rnnwidget-words" }, make("span", {}, low), make("span", {}, high));
    const track = make("span", { class: "rnnwidget-track" }, this.slider, words);
    return make("div", { class: "rnnwidget-dial" }, name, this.kinds.element, track, this.box, this.reset);
  }

  private changeKind(kind: Kind): void {
    const touched = this.value !== null;
    this.kind = kind;
    this.value = null;
    this.render();
    if (touched) this.changed();
  }

  private move(value: number | null): void {
    const neutral = this.kind === "shift" && value === 0;
    this.value = neutral ? null : value;
    this.render();
    this.changed();
  }

  private settleBox(): void {
    const [low, high] = this.gate[this.kind];
    const typed = Number(this.box.value);
    if (this.box.value === "" || !Number.isFinite(typed)) this.move(null);
    else if (typed < low || typed > high) this.move(Math.min(high, Math.max(low, typed)));
    this.render(true);
  }

  private resting(): number {
    if (this.kind === "shift") return 0;
    const [low, high] = this.gate.clamp;
    return Number.isFinite(this.mean) ? Math.min(high, Math.max(low, this.mean)) : (low + high) / 2;
  }

  private render(settled = false): void {
    const [low, high] = this.gate[this.kind];
    const step = high - low > 3 ? 0.1 : 0.01;
    const at = this.value ?? this.resting();
    for (const input of [this.slider, this.box]) {
      input.min = String(low);
      input.max = String(high);
    }
    this.slider.step = String(step);
    this.box.step = "any";
    this.slider.value = String(at);
    if (settled || document.activeElement !== this.box) this.box.value = String(Number(at.toFixed(2)));
    const words =
      at === (low + high) / 2 ? "" : `, toward ${at > (low + high) / 2 ? this.gate.high : this.gate.low}`;
    const shown = this.kind === "shift" ? formatSigned(at) : at.toFixed(2);
    this.slider.setAttribute("aria-label", `${this.gate.label} ${this.kind}`);
    this.slider.setAttribute(
      "aria-valuetext",
      this.value === null ? `${shown}, untouched` : `${shown}${words}`,
    );
    const share = (value: number) => String((value - low) / (high - low));
    this.slider.style.setProperty("--rw-from", share(this.resting()));
    this.slider.style.setProperty("--rw-to", share(at));
    this.element.dataset.touched = String(this.value !== null);
    this.element.dataset.kind = this.kind;
    this.reset.disabled = this.value === null;
    this.showKinds();
  }

  private showKinds(): void {
    const options = this.gate.kinds.map((kind) => ({ value: kind, text: kind, name: KIND_NAMES[kind] }));
    this.kinds.show(options, this.kind);
  }
}

export function meanOf(values: Float32Array | undefined): number {
  const finite = [...(values ?? [])].filter((value) => Number.isFinite(value));
  return finite.reduce((sum, value) => sum + value, 0) / finite.length;
}
