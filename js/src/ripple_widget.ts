import type { AnyModel } from "@anywidget/types";
import { headlineOf } from "./answer";
import type { AnswerSteps } from "./answer_lane";
import { Cursor } from "./cursor";
import { decodeAnswer } from "./decoding";
import { make, setText } from "./dom";
import type { Answer, WireAnswer } from "./frame";
import { type Ground, Repainting } from "./repainting";
import { RippleView } from "./ripple";
import { decodeRipple, type Ripple, type WireRipple } from "./ripple_frame";
import { viewName } from "./view_name";

export interface RippleFrame {
  version: number;
  title: string;
  /** What there is instead of a picture. */
  hint: string;
  sequence_label: string;
  tokens: string[] | null;
  edits: string[];
  answer: WireAnswer | null;
  answer_number: number;
  ripple: WireRipple | null;
}

export interface RippleTraits {
  _view: "ripple";
  _frame: RippleFrame | Record<string, never>;
  lane: AnswerSteps | Record<string, never>;
  _drawn: number;
  state: string;
  told: string;
}

/** A ripple in a cell of its own. */
export class RippleWidget {
  readonly root = make("div", {
    class: "rnnwidget rnnwidget-ripple-alone",
    role: "group",
    "data-lm-suppress-shortcuts": "true",
  });
  private readonly cursor = new Cursor();
  private readonly view: RippleView;
  private readonly title = make("span", { class: "rnnwidget-title" });
  private readonly edits = make("ul", { class: "rnnwidget-edits", "aria-label": "changes in force" });
  private readonly headline = make("div", { class: "rnnwidget-answer-headline" });
  private readonly hint = make("div", { class: "rnnwidget-status", role: "status" });
  private frame: { wire: RippleFrame; ripple: Ripple | null; answer: Answer | null } | null = null;
  private readonly repainting: Repainting;

  constructor(
    private readonly model: AnyModel<RippleTraits>,
    private readonly signal: AbortSignal,
  ) {
    this.view = new RippleView(this.cursor, {
      state: (state) => this.say("state", state),
      told: (told) => this.say("told", told),
    });
    const left = make("div", {}, this.title, this.edits);
    const head = make("div", { class: "rnnwidget-ripple-title" }, left, this.headline);
    this.root.append(head, this.view.element, this.hint);
    this.repainting = new Repainting(this.root, (ground) => this.paint(ground), signal);
  }

  /** Begins to follow the model; call it once the root is on the page. */
  start(): void {
    this.listen("_frame", () => this.take());
    for (const trait of ["lane", "told"] as const) this.listen(trait, () => this.repainting.ask());
    this.repainting.start();
    this.take();
  }

  private say(trait: "state" | "told", value: string): void {
    this.model.set(trait, value);
    this.model.save_changes();
  }

  private listen(name: keyof RippleTraits, listener: () => void): void {
    const wrapped = () => listener();
    this.model.on(`change:${name}`, wrapped);
    this.signal.addEventListener("abort", () => this.model.off(`change:${name}`, wrapped));
  }

  private take(): void {
    const wire = this.model.get("_frame");
    if (!("version" in wire)) return;
    const frame = wire as RippleFrame;
    try {
      const ripple = decodeRipple(frame.ripple);
      if (ripple && (!this.frame?.ripple || this.cursor.step >= ripple.steps))
        this.cursor.move({ step: ripple.steps - 1 });
      this.frame = { wire: frame, ripple, answer: decodeAnswer(frame.answer) };
      this.describe(frame);
    } catch (error) {
      setText(this.hint, `the picture could not be drawn: ${error instanceof Error ? error.message : error}`);
    }
    this.repainting.ask();
  }

  private describe(frame: RippleFrame): void {
    this.root.setAttribute("aria-label", `ripple of ${viewName(this.root, frame.title)}`);
    setText(this.title, frame.title);
    this.edits.replaceChildren(...frame.edits.map((line) => make("li", {}, line)));
    this.edits.dataset.edited = String(frame.edits.length > 0);
    setText(this.headline, this.frame?.answer ? headlineOf(this.frame.answer) : "");
    setText(this.hint, frame.hint);
  }

  private paint(ground: Ground): boolean {
    if (!this.frame) return true;
    const { wire, ripple, answer } = this.frame;
    this.view.element.hidden = !ripple;
    if (ripple) {
      const { tokens, edits, answer_number: number } = wire;
      const scene = {
        ripple,
        tokens,
        edits,
        answer,
        number,
        told: this.model.get("told"),
        lane: this.model.get("lane"),
      };
      if (!this.view.paint(scene, ground)) return false;
    }
    this.root.dataset.drawn = String(wire.version);
    if (this.model.get("_drawn") < wire.version) {
      this.model.set("_drawn", wire.version);
      this.model.save_changes();
    }
    return true;
  }
}
