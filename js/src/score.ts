import { AnswerView } from "./answer";
import { beforeOf, HeldSpace } from "./before";
import { type Waiting, watchBusy } from "./busy";
import { Cursor } from "./cursor";
import { decode } from "./decoding";
import { make, setAttribute, setText } from "./dom";
import { type FilledFrame, type Frame, isFilled, rowOfUnit } from "./frame";
import { Header } from "./header";
import { Lanes } from "./lanes";
import type { Link } from "./link";
import { GatePanel } from "./panel";
import { Reach } from "./reach";
import { type Ground, Repainting } from "./repainting";
import { RippleSection } from "./ripple_section";
import { RunningText } from "./text";
import { viewName } from "./view_name";
import { WaitingView } from "./waiting";

const ACTIVITY: Record<Waiting, string> = {
  no: "",
  busy: "re-running …",
  silent: "no answer from the kernel: the last picture",
};

/** One view of the score: takes frames from the link, paints them, and says which one is on the page. */
export class Score {
  readonly root = make("div", {
    class: "rnnwidget",
    role: "group",
    tabindex: "-1",
    "data-lm-suppress-shortcuts": "true",
  });
  private readonly cursor = new Cursor();
  private readonly header: Header;
  private readonly waiting = new WaitingView();
  private readonly text: RunningText;
  private readonly lanes: Lanes;
  private readonly panel: GatePanel;
  private readonly answer = new AnswerView();
  private readonly ripple: RippleSection;
  private readonly filled: HTMLElement;
  private readonly status = make("div", { class: "rnnwidget-status", role: "alert" });
  private frame: Frame | null = null;
  private complaint = "";
  private reach: Reach | null = null;
  private waitingFor: Waiting = "no";
  private readonly repainting: Repainting;
  private ground: Ground | null = null;

  constructor(
    private readonly link: Link,
    private readonly signal: AbortSignal,
  ) {
    this.header = new Header(link);
    this.text = new RunningText(this.cursor, (inputs) => link.request({ inputs }));
    this.lanes = new Lanes(link, this.cursor, () => this.refresh());
    this.panel = new GatePanel(link);
    this.ripple = new RippleSection(link, this.cursor);
    const bench = make("div", { class: "rnnwidget-bench" }, this.panel.element, this.answer.element);
    this.filled = make(
      "div",
      { class: "rnnwidget-filled" },
      this.text.element,
      this.lanes.element,
      this.ripple.element,
      bench,
    );
    this.root.append(this.header.element, this.waiting.element, this.filled, this.status);
    this.filled.hidden = true;
    this.waiting.element.hidden = true;
    this.root.dataset.busy = "false";
    this.root.dataset.before = "false";
    this.repainting = new Repainting(this.root, (ground) => this.paint(ground), signal);
    new HeldSpace(this.root, (down) => this.showBefore(down), signal);
    this.root.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Begins to follow the model; call it once the root is on the page. */
  start(): void {
    this.link.listen("_frame", () => this.take());
    this.link.listen("before", () => {
      if (this.complaint) this.take();
    });
    this.link.listen("_status", () => this.tellStatus());
    for (const trait of ["lane", "told"] as const) this.link.listen(trait, () => this.lanes.paintAnswers());
    for (const trait of ["lane", "told", "ripple"] as const)
      this.link.listen(trait, () => this.repaintRipple());
    for (const trait of ["units", "steps"] as const) this.link.listen(trait, () => this.refresh());
    const turned = () => {
      this.tellStatus();
      this.refresh();
    };
    this.reach = new Reach(this.root, this.link, turned, this.signal);
    watchBusy(this.link, (waiting) => this.tellWaiting(waiting), this.signal);
    this.repainting.start();
    this.take();
    this.tellStatus();
  }

  private take(): void {
    const wire = this.link.get("_frame");
    try {
      const frame = decode(wire, this.link.get("before"));
      if (!frame) return;
      this.settleCursor(frame);
      this.frame = frame;
      this.complaint = "";
      this.describe(frame);
    } catch (error) {
      this.complain(error);
      if ("version" in wire) this.link.echo(wire.version);
    }
    this.tellStatus();
    this.refresh();
  }

  private describe(frame: Frame): void {
    this.name(frame.title);
    this.header.show(frame);
    this.waiting.show(frame);
    this.filled.hidden = !isFilled(frame);
    if (!isFilled(frame)) return;
    this.panel.show(frame);
    this.showAnswer(frame);
  }

  /** The regions of a page are told apart by their names. */
  private name(title: string): void {
    const name = viewName(this.root, title);
    const regions = {
      score: this.root,
      "gate panel": this.panel.element,
      answer: this.answer.element,
      ripple: this.ripple.element,
      "waiting for a run": this.waiting.element,
    };
    for (const [what, element] of Object.entries(regions))
      setAttribute(element, "aria-label", `${what} of ${name}`);
  }

  /** The frame as it is, or the run before the edits while somebody holds the space bar. */
  private shown(frame: FilledFrame): FilledFrame {
    return this.root.dataset.before === "true" ? beforeOf(frame) : frame;
  }

  private showAnswer(frame: FilledFrame): void {
    const { answer, answer_error } = this.shown(frame);
    this.answer.show(answer, answer_error);
  }

  private showBefore(down: boolean): void {
    this.root.dataset.before = String(down);
    if (isFilled(this.frame)) this.showAnswer(this.frame);
    this.tellActivity();
    this.refresh();
  }

  /** The cursor starts where the layer's reading ends, on the traced unit, and stays where it is put. */
  private settleCursor(frame: Frame): void {
    if (!isFilled(frame)) return;
    const first = !isFilled(this.frame);
    const step = first ? (frame.reverse ? 0 : frame.steps - 1) : Math.min(this.cursor.step, frame.steps - 1);
    const row = first ? rowOfUnit(frame, frame.trace.unit) : this.cursor.row;
    this.cursor.move({ step: Math.max(0, step), row: Math.max(0, Math.min(row, frame.heatmap.rows - 1)) });
  }

  private refresh(): void {
    this.repainting.ask();
  }

  private paint(ground: Ground): boolean {
    const { frame } = this;
    if (!frame) return true;
    const anew = ground !== this.ground;
    this.ground = ground;
    try {
      if (isFilled(frame)) {
        this.text.show(frame, this.link.get("steps"));
        if (anew) this.text.laidOutAnew();
        if (!this.lanes.paint(this.shown(frame), ground) || !this.ripple.paint(frame, ground)) return false;
        this.answer.paint(ground.theme);
      }
      this.root.dataset.drawn = String(frame.version);
    } catch (error) {
      this.complain(error);
      this.tellStatus();
    }
    this.link.echo(frame.version);
    return true;
  }

  private repaintRipple(): void {
    if (isFilled(this.frame) && this.ground) this.ripple.paint(this.frame, this.ground);
  }

  private get lost(): boolean {
    return this.reach?.open === false;
  }

  private complain(error: unknown): void {
    this.complaint = `the picture could not be drawn: ${error instanceof Error ? error.message : String(error)}`;
  }

  private tellStatus(): void {
    const { state, message } = this.link.get("_status");
    const closed = state === "closed" || this.lost;
    this.link.closed = closed;
    this.root.dataset.state = this.lost ? "closed" : state;
    setText(this.status, this.complaint || message || "");
    this.header.element.inert = closed;
    for (const part of [this.text, this.lanes, this.ripple, this.panel]) part.stand(closed);
    const focused = document.activeElement;
    if (this.root.contains(focused) && focused?.closest("[inert]")) this.root.focus({ preventScroll: true });
    this.tellActivity();
  }

  private tellWaiting(waiting: Waiting): void {
    this.waitingFor = waiting;
    this.reach?.await(waiting !== "no");
    this.tellActivity();
  }

  private tellActivity(): void {
    const failed = this.complaint !== "" || this.root.dataset.state === "error";
    const closed = this.root.dataset.state === "closed";
    const before = this.root.dataset.before === "true";
    this.root.dataset.busy = String(this.waitingFor !== "no" && !closed);
    const activity = closed
      ? this.lost
        ? "the kernel is gone: a still picture"
        : "closed"
      : before
        ? "before the edits"
        : ACTIVITY[this.waitingFor] || (failed ? "⚠ see the message below" : "");
    for (const part of [this.header, this.panel]) part.tell(activity);
  }

  private onKey(event: KeyboardEvent): void {
    if (this.panel.history.onKey(event)) return;
    if (event.key !== "Escape" || event.target instanceof HTMLInputElement) return;
    this.lanes.clearSelection();
    event.preventDefault();
  }
}
