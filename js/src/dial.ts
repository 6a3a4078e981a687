import { onPress, turnOff } from "./button";
import { Choice } from "./choice";
import { make, setAttribute, setText, uniqueId } from "./dom";
import { formatExact, formatShort, formatSigned } from "./format";
import type { Gate, Kind } from "./frame";
import type { Inherited, Setting, Track } from "./link";
import { TrackStrip, trackInNumbers } from "./track";
import { ValueBox } from "./value_box";

const KIND_NAMES: Record<Kind, string> = {
  shift: "shift: add to the pre-activation",
  clamp: "clamp: hold at this value",
  scale: "scale: multiply by this factor",
};

export interface Hands {
  /** A person moved the dial. */
  moved(dial: Dial): void;
  /** A person let go of it. */
  released(dial: Dial): void;
  /** A pointer or the focus came to it, or its kind was changed. */
  lookedAt(dial: Dial): void;
}

/** One gate's slider with its number box, kind and reset. Untouched until a person or Python moves it. */
export class Dial {
  readonly element: HTMLElement;
  /** A pointer holds the slider: nothing else may move it. */
  held = false;
  /** Moves under one name are one step to undo: a whole drag, or keys pressed one after the other. */
  gesture = uniqueId("gesture");
  kind: Kind;
  private value: number | null = null;
  /** What is in force while another kind has been chosen and not been moved. */
  private kept: Setting | null = null;
  private mean = Number.NaN;
  private wider: Partial<Record<Kind, Inherited>> = {};
  /** What the curve is of, and its ends. */
  private answers: [string, string] = ["", ""];
  private readonly slider = make("input", { type: "range" });
  private readonly box: ValueBox;
  /** What was in force before somebody typed. */
  private before: Setting | null = null;
  private readonly reset = make("button", { type: "button", class: "rnnwidget-reset" }, "⟲");
  private readonly kinds: Choice;
  private readonly strip = new TrackStrip();
  private readonly ghost = make("span", { class: "rnnwidget-ghost", "aria-hidden": "true" });
  private readonly wide = make("span", { class: "rnnwidget-words-wider", hidden: "" });
  /** What became of a number beyond the range. */
  private readonly said = make("span", { class: "rnnwidget-words-said", role: "status" });
  private readonly words = ["low", "answers", "high"].map((end) =>
    make("span", { class: `rnnwidget-words-${end}` }),
  );

  constructor(
    readonly gate: Gate,
    private readonly hands: Hands,
  ) {
    this.kind = gate.kind;
    this.kinds = new Choice(`${gate.label}: kind of edit`, (kind) => this.changeKind(kind as Kind));
    this.box = new ValueBox(`${gate.label} value`, {
      began: () => {
        this.before = this.setting;
      },
      typed: (value) => this.move(value),
      settled: (beyond) => this.settle(beyond),
      cancelled: () => this.cancel(),
    });
    this.reset.setAttribute("aria-label", `reset ${gate.label}`);
    this.reset.title = `reset ${gate.label}`;
    this.element = this.assemble();
    this.slider.addEventListener("input", () => this.move(Number(this.slider.value)));
    this.slider.addEventListener("pointerdown", () => {
      this.held = true;
      this.begin();
    });
    for (const end of ["pointerup", "pointercancel", "change", "blur"])
      this.slider.addEventListener(end, () => this.letGo());
    onPress(this.reset, () => {
      this.begin();
      this.move(null);
    });
    for (const input of [this.slider, this.box.input]) input.addEventListener("blur", () => this.begin());
    for (const come of ["pointerenter", "focusin"])
      this.element.addEventListener(come, () => hands.lookedAt(this));
    this.render();
  }

  /** null while untouched. */
  get setting(): Setting | null {
    return this.value === null ? this.kept : { kind: this.kind, value: this.value };
  }

  /** Whether a pointer or the focus is at it. */
  get present(): boolean {
    return this.element.matches(":hover, :focus-within");
  }

  /** Takes what Python says; an untouched dial keeps the kind that the person chose for it. */
  adopt(setting: Setting | null, wider: Partial<Record<Kind, Inherited>> = this.wider): void {
    this.wider = wider;
    const same = setting?.kind === this.kept?.kind && setting?.value === this.kept?.value;
    if (!this.kept || !same) {
      this.kept = null;
      if (setting) this.kind = setting.kind;
      this.value = setting?.value ?? null;
    }
    this.render();
  }

  /** The ranges that depend on the edits in force; a drag in progress keeps the ones it began with. */
  fit({ shift, scale, clamp }: Gate): void {
    if (!this.held) Object.assign(this.gate, { shift, scale, clamp });
  }

  /** Where a clamp starts, from the next rendering on: the gate's mean in the trace of the unedited run. */
  restAt(mean: number): void {
    this.mean = mean;
  }

  /** The answers along the slider, all dials on one scale. */
  draw(track: Track | undefined, span: [number, number]): void {
    const shown = track?.kind === this.kind ? track : null;
    this.strip.show(shown, this.gate[this.kind], span);
    const numbers = shown ? trackInNumbers(shown) : "";
    this.answers = [numbers && shown!.name, numbers];
    this.tell();
  }

  /** What is in force where this dial acts and is not its own setting. */
  private get inherited(): string {
    const wider = this.wider[this.kind];
    const told = wider ? [`${this.shown(wider.value)} from ${wider.of}`] : [];
    if (this.kept) told.unshift(`${this.kept.kind} ${this.shown(this.kept.value, this.kept.kind)} holds`);
    return told.join(" · ");
  }

  private tell(): void {
    const [name, numbers] = this.answers;
    if (this.words[1]!.title !== `${name} ${numbers}`.trim()) {
      this.words[1]!.replaceChildren(
        ...(name ? [make("span", {}, `${name} `)] : []),
        make("span", {}, numbers),
      );
      this.words[1]!.title = `${name} ${numbers}`.trim();
    }
    setText(this.wide, this.inherited);
    this.wide.title = this.inherited;
    this.wide.hidden = this.inherited === "" || this.said.textContent !== "";
  }

  private assemble(): HTMLElement {
    const { label, symbol } = this.gate;
    const name = make("span", { class: "rnnwidget-dial-name" }, label, " ", make("i", {}, symbol));
    const words = make("span", { class: "rnnwidget-words" }, ...this.words);
    const track = make(
      "span",
      { class: "rnnwidget-track" },
      this.strip.element,
      this.slider,
      this.ghost,
      words,
    );
    const parts = [name, this.kinds.element, track, this.box.input, this.reset, this.wide, this.said];
    return make("div", { class: "rnnwidget-dial" }, ...parts);
  }

  private begin(): void {
    this.gesture = uniqueId("gesture");
  }

  private letGo(): void {
    if (!this.held) return;
    this.held = false;
    this.begin();
    this.hands.released(this);
  }

  /** Changes nothing until the dial is moved: a look at another kind leaves the edit in force. */
  private changeKind(kind: Kind): void {
    const { setting } = this;
    this.kind = kind;
    const back = setting?.kind === kind;
    this.value = back ? setting.value : null;
    this.kept = back ? null : setting;
    setText(this.said, "");
    this.begin();
    this.render();
    this.hands.lookedAt(this);
  }

  private move(value: number | null): void {
    this.kept = null;
    setText(this.said, "");
    this.value = value === NEUTRAL[this.kind] ? null : value;
    this.render();
    this.hands.moved(this);
  }

  /** The number in the box is the one in force. */
  private settle(beyond: boolean): void {
    if (beyond) {
      const [low, high] = this.bounds.map((end) => formatShort(end));
      setText(this.said, `a ${this.kind} here goes from ${low} to ${high}`);
    }
    this.render();
    this.begin();
    this.hands.released(this);
  }

  private cancel(): void {
    const { before } = this;
    const moved = JSON.stringify(this.setting) !== JSON.stringify(before);
    const own = before?.kind === this.kind;
    this.value = own ? before.value : null;
    this.kept = own ? null : before;
    setText(this.said, "");
    this.render();
    if (moved) this.hands.moved(this);
    this.begin();
  }

  /** What the model takes: of a clamp what its gate can be, of the others any number. */
  private get bounds(): [number, number] {
    const [low, high] = (this.kind === "clamp" && (this.gate.bounds ?? this.gate.clamp)) || [null, null];
    return [low ?? Number.NEGATIVE_INFINITY, high ?? Number.POSITIVE_INFINITY];
  }

  private resting(): number {
    const neutral = NEUTRAL[this.kind];
    if (neutral !== null) return neutral;
    const [low, high] = this.gate.clamp;
    return Number.isFinite(this.mean) ? Math.min(high, Math.max(low, this.mean)) : (low + high) / 2;
  }

  private render(): void {
    const [low, high] = this.gate[this.kind];
    const step = high - low > 3 ? 0.1 : 0.01;
    const at = this.value ?? this.resting();
    setAttribute(this.slider, "min", String(low));
    setAttribute(this.slider, "max", String(high));
    setAttribute(this.slider, "step", String(step));
    this.slider.value = String(at);
    this.box.reach([low, high], this.bounds);
    this.box.show(at, this.value !== null);
    const [left, right] = this.ends();
    setText(this.words[0]!, left);
    setText(this.words[2]!, right);
    const middle = this.kind === "scale" ? 1 : (low + high) / 2;
    const towards = at === middle || this.kind === "scale" ? "" : `, toward ${at > middle ? right : left}`;
    setAttribute(this.slider, "aria-label", `${this.gate.label} ${this.kind}`);
    setAttribute(
      this.slider,
      "aria-valuetext",
      `${this.shown(at)}${this.value === null ? ", untouched" : towards}${this.inherited && `; ${this.inherited}`}`,
    );
    const share = (value: number) => String((Math.min(high, Math.max(low, value)) - low) / (high - low));
    const wider = this.wider[this.kind];
    this.ghost.hidden = wider === undefined;
    if (wider) this.ghost.style.setProperty("--rw-at", share(wider.value));
    this.tell();
    this.slider.style.setProperty("--rw-from", share(this.resting()));
    this.slider.style.setProperty("--rw-to", share(at));
    setAttribute(this.element, "data-touched", String(this.value !== null));
    setAttribute(this.element, "data-kind", this.kind);
    turnOff(this.reset, this.setting === null);
    this.showKinds();
  }

  /** What stands at the ends: a gate's words, or the factors. */
  private ends(): [string, string] {
    const { low, high, scale } = this.gate;
    if (this.kind !== "scale") return [low, high];
    return [`× ${formatShort(scale[0])}`, `× ${formatShort(scale[1])}`];
  }

  private shown(value: number, kind = this.kind): string {
    if (kind === "shift") return formatSigned(value);
    return kind === "scale" ? `× ${formatExact(value)}` : formatExact(value);
  }

  private showKinds(): void {
    const options = this.gate.kinds.map((kind) => ({ value: kind, text: kind, name: KIND_NAMES[kind] }));
    this.kinds.show(options, this.kind);
  }
}

/** The value that changes nothing; a clamp has none. */
const NEUTRAL: Record<Kind, number | null> = { shift: 0, scale: 1, clamp: null };

export function meanOf(values: Float32Array | undefined): number {
  let [sum, count] = [0, 0];
  for (const value of values ?? [])
    if (Number.isFinite(value)) {
      sum += value;
      count += 1;
    }
  return sum / count;
}
