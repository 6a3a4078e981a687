import type { AnyModel } from "@anywidget/types";
import type { AnswerSteps } from "./answer_lane";
import { Cursor } from "./cursor";
import { decodeAnswer } from "./decoding";
import { make, setText } from "./dom";
import type { Answer, WireAnswer } from "./frame";
import { RippleView } from "./ripple";
import { decodeRipple, type Ripple, type WireRipple } from "./ripple_frame";
import { readTheme, watchTheme } from "./theme";

const FRAMES = 60;

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
  private scheduled = 0;
  /** Frames without room: JupyterLab hides everything for a moment while it changes the theme. */
  private waited = 0;

  constructor(
    private readonly model: AnyModel<RippleTraits>,
    private readonly signal: AbortSignal,
  ) {
    this.view = new RippleView(this.cursor, (state) => {
      model.set("state", state);
      model.save_changes();
    });
    const left = make("div", {}, this.title, this.edits);
    const head = make("header", { class: "rnnwidget-ripple-title" }, left, this.headline);
    this.root.append(head, this.view.element, this.hint);
  }

  /** Begins to follow the model; call it once the root is on the page. */
  start(): void {
    this.listen("_frame", () => this.take());
    this.listen("lane", () => this.refresh());
    watchTheme(this.root, () => this.refresh(), this.signal);
    let seen = -1;
    const observer = new ResizeObserver(() => {
      if (this.root.clientWidth !== seen) this.refresh();
      seen = this.root.clientWidth;
    });
    observer.observe(this.root);
    this.signal.addEventListener("abort", () => {
      observer.disconnect();
      cancelAnimationFrame(this.scheduled);
    });
    this.take();
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
    this.refresh();
  }

  private describe(frame: RippleFrame): void {
    this.root.setAttribute("aria-label", `ripple of ${frame.title}`);
    setText(this.title, frame.title);
    this.edits.replaceChildren(...frame.edits.map((line) => make("li", {}, line)));
    this.edits.dataset.edited = String(frame.edits.length > 0);
    setText(this.headline, frame.answer?.headline ?? "");
    setText(this.hint, frame.hint);
  }

  private refresh(): void {
    if (this.scheduled === 0 && !this.signal.aborted)
      this.scheduled = requestAnimationFrame(() => {
        this.scheduled = 0;
        this.paint();
      });
  }

  private paint(): void {
    if (!this.frame) return;
    if (this.root.clientWidth === 0) {
      this.waited += 1;
      if (this.waited < FRAMES) this.refresh();
      return;
    }
    this.waited = 0;
    const { wire, ripple, answer } = this.frame;
    this.root.dataset.width =
      this.root.clientWidth >= 800 ? "wide" : this.root.clientWidth >= 660 ? "narrow" : "slim";
    this.view.element.hidden = !ripple;
    if (ripple) {
      const { tokens, edits, answer_number: number } = wire;
      const scene = { ripple, tokens, edits, answer, number, lane: this.model.get("lane") };
      if (!this.view.paint(scene, readTheme(this.root))) return;
    }
    this.root.dataset.drawn = String(wire.version);
    if (this.model.get("_drawn") < wire.version) {
      this.model.set("_drawn", wire.version);
      this.model.save_changes();
    }
  }
}
