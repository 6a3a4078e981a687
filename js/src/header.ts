import { turnOff } from "./button";
import { Choice } from "./choice";
import { make, setText } from "./dom";
import { formatCount } from "./format";
import type { FilledFrame, Frame } from "./frame";
import { isFilled } from "./frame";
import { isolated } from "./isolation";
import type { Link } from "./link";

const TRAINING =
  "the answer is that of a training run: it goes by what dropout left, or by the other sequences of the batch; after model.eval() it is the one that the model gives in use";

/** Title, layer and sequence choosers, one-step residual, and whether something is under way. */
export class Header {
  readonly element: HTMLElement;
  private readonly title = make("span", { class: "rnnwidget-title" });
  private readonly layers: Choice;
  private readonly layerGroup: HTMLElement;
  private readonly calls = make("span", { class: "rnnwidget-calls rnnwidget-muted" });
  private readonly training = make("span", { class: "rnnwidget-training rnnwidget-muted", title: TRAINING });
  private readonly sequences: HTMLElement;
  private readonly index = make("input", { type: "number", min: "1", step: "1", "aria-label": "sequence" });
  private readonly count = make("span", {});
  private readonly sequenceLabel = make("span", { class: "rnnwidget-sequence-label rnnwidget-muted" });
  private readonly previous = make("button", { type: "button", "aria-label": "previous sequence" }, "◀");
  private readonly next = make("button", { type: "button", "aria-label": "next sequence" }, "▶");
  private readonly residual = make("span", { class: "rnnwidget-residual" });
  private readonly activity = make("span", { class: "rnnwidget-activity", role: "status" });
  private frame: FilledFrame | null = null;
  /** Whether there is a number in the box that has not been asked for. */
  private typing = false;

  constructor(private readonly link: Link) {
    this.layers = new Choice("layer", (layer) => link.set({ layer }));
    this.layerGroup = make("span", { class: "rnnwidget-group" }, "layer", this.layers.element);
    this.sequences = make("span", { class: "rnnwidget-group rnnwidget-sequences" });
    this.sequences.append("sequence", this.previous, this.index, this.count, this.next, this.sequenceLabel);
    this.element = make("div", { class: "rnnwidget-header" });
    this.element.append(
      this.title,
      this.layerGroup,
      this.calls,
      this.training,
      this.sequences,
      this.residual,
      this.activity,
    );
    this.previous.addEventListener("click", () => this.go(-1));
    this.next.addEventListener("click", () => this.go(1));
    this.index.addEventListener("input", () => {
      this.typing = true;
    });
    this.index.addEventListener("change", () => this.jump());
    this.index.addEventListener("keydown", ({ key }) => {
      // Chromium tells of no change where what was typed lies outside the range.
      if (key === "Enter") this.jump();
      if (key === "Escape") this.putBack();
    });
  }

  show(frame: Frame): void {
    setText(this.title, frame.title);
    this.frame = isFilled(frame) ? frame : null;
    for (const part of [this.layerGroup, this.calls, this.training, this.sequences, this.residual])
      part.hidden = !this.frame;
    if (!this.frame) return;
    const { layers, layer, calls, training = "", residual } = this.frame;
    const { sequences, sequence, sequence_label } = this.frame;
    const distinct = new Set(layers.map(({ label }) => label)).size === layers.length;
    const options = layers.map(({ name, label, title, family, units }) => ({
      value: name,
      text: distinct ? label : name,
      name: `${label} (${title ?? isolated(name)}, ${familyName(family)}${units === null ? "" : `, ${formatCount(units, "unit")}`})`,
    }));
    this.layers.show(options, layer);
    this.calls.hidden = calls === 1;
    setText(this.calls, `last of ${calls} calls`);
    this.calls.title = `the model called this layer ${calls} times, each time from a state that the layer had not just given: edits act in every call, the last is shown, and rw.record(model) keeps them all`;
    setText(this.training, training);
    this.training.hidden = training === "";
    if (document.activeElement !== this.index) this.index.value = String(sequence + 1);
    this.index.max = String(sequences);
    this.index.style.width = `${String(sequences).length + 3}ch`;
    setText(this.count, `/ ${sequences}`);
    setText(this.sequenceLabel, sequence_label.startsWith("sequence ") ? "" : sequence_label);
    this.sequences.title = `sequence index ${sequence} in Python`;
    turnOff(this.previous, sequence <= 0);
    turnOff(this.next, sequence >= sequences - 1);
    const { text, ok } = residual;
    const number = /\d/.test(text);
    setText(this.residual, `one-step residual${number ? "" : ":"} ${text} ${ok ? "✓" : "⚠"}`);
    this.residual.classList.toggle("rnnwidget-warning", !ok);
    const agrees = ok ? "agrees" : number ? "does not agree" : "cannot be compared";
    this.residual.title = `the hidden state rebuilt from the gates ${agrees} with the model’s own`;
  }

  tell(activity: string): void {
    setText(this.activity, activity);
  }

  private go(by: number): void {
    if (!this.frame) return;
    const wanted = this.link.get("sequence") + by;
    if (wanted >= 0 && wanted < this.frame.sequences) this.link.set({ sequence: wanted });
  }

  /** To the number that was typed; where there is none such the box goes back to the one on show. */
  private jump(): void {
    if (!this.frame || !this.typing) return;
    const sequence = Math.round(Number(this.index.value)) - 1;
    const valid = sequence >= 0 && sequence < this.frame.sequences && this.index.value !== "";
    if (!valid) this.putBack();
    else this.link.set({ sequence });
    this.typing = false;
  }

  private putBack(): void {
    this.typing = false;
    if (this.frame) this.index.value = String(this.frame.sequence + 1);
  }
}

/** PyTorch's own families are acronyms; a registered one goes by the name that a person gave it. */
function familyName(family: string): string {
  return ["lstm", "gru", "rnn"].includes(family) ? family.toUpperCase() : family;
}
