import { AnswerView } from "./answer";
import { watchBusy } from "./busy";
import { Cursor } from "./cursor";
import { make, setText } from "./dom";
import { decode, type Frame, isFilled, rowOfUnit } from "./frame";
import { Header } from "./header";
import { Lanes } from "./lanes";
import type { Link } from "./link";
import { GatePanel } from "./panel";
import { RunningText } from "./text";
import { readTheme, watchTheme } from "./theme";
import { WaitingView } from "./waiting";

const WIDE = 800;
const NARROW = 660;

/** One view of the score: takes frames from the link, paints them, and says which one is on the page. */
export class Score {
  readonly root = make("div", { class: "rnnwidget", role: "group", "data-lm-suppress-shortcuts": "true" });
  private readonly cursor = new Cursor();
  private readonly header: Header;
  private readonly waiting = new WaitingView();
  private readonly text: RunningText;
  private readonly lanes: Lanes;
  private readonly panel: GatePanel;
  private readonly answer = new AnswerView();
  private readonly filled: HTMLElement;
  private readonly status = make("div", { class: "rnnwidget-status", role: "alert" });
  private frame: Frame | null = null;
  private complaint = "";
  private scheduled = 0;

  constructor(
    private readonly link: Link,
    private readonly signal: AbortSignal,
  ) {
    this.header = new Header(link);
    this.text = new RunningText(this.cursor);
    this.lanes = new Lanes(link, this.cursor, () => this.refresh());
    this.panel = new GatePanel(link);
    const bench = make("div", { class: "rnnwidget-bench" }, this.panel.element, this.answer.element);
    this.filled = make("div", { class: "rnnwidget-filled" }, this.text.element, this.lanes.element, bench);
    this.root.append(this.header.element, this.waiting.element, this.filled, this.status);
    this.filled.hidden = true;
    this.waiting.element.hidden = true;
    this.root.dataset.busy = "false";
    this.root.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Begins to follow the model; call it once the root is on the page. */
  start(): void {
    this.link.listen("_frame", () => this.take());
    this.link.listen("_status", () => this.tellStatus());
    for (const trait of ["units", "steps"] as const) this.link.listen(trait, () => this.refresh());
    watchTheme(this.root, () => this.refresh(), this.signal);
    watchBusy(this.link, (busy) => this.tellBusy(busy), this.signal);
    let seen = -1;
    const observer = new ResizeObserver(() => {
      const width = this.root.clientWidth;
      if (width !== seen) this.refresh();
      seen = width;
    });
    observer.observe(this.root);
    this.signal.addEventListener("abort", () => {
      observer.disconnect();
      cancelAnimationFrame(this.scheduled);
    });
    this.take();
    this.tellStatus();
  }

  private measure(width: number): void {
    this.root.dataset.width = width >= WIDE ? "wide" : width >= NARROW ? "narrow" : "slim";
  }

  private take(): void {
    const wire = this.link.get("_frame");
    try {
      const frame = decode(wire);
      if (!frame) return;
      this.settleCursor(frame);
      this.frame = frame;
      this.complaint = "";
      this.describe(frame);
    } catch (error) {
      this.complain(error);
      if ("version" in wire) this.link.set({ _drawn: wire.version });
    }
    this.tellStatus();
    this.refresh();
  }

  private describe(frame: Frame): void {
    this.root.setAttribute("aria-label", `score of ${frame.title}`);
    this.header.show(frame);
    this.waiting.show(frame);
    this.filled.hidden = !isFilled(frame);
    if (!isFilled(frame)) return;
    this.panel.show(frame);
    this.answer.show(frame.answer);
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
    if (this.scheduled === 0 && !this.signal.aborted)
      this.scheduled = requestAnimationFrame(() => {
        this.scheduled = 0;
        this.paint();
      });
  }

  private paint(): void {
    const { frame } = this;
    if (!frame || this.root.clientWidth === 0) return;
    this.measure(this.root.clientWidth);
    try {
      if (isFilled(frame)) {
        this.text.show(frame, this.link.get("steps"));
        if (!this.lanes.paint(frame, readTheme(this.root))) return;
      }
      this.root.dataset.drawn = String(frame.version);
    } catch (error) {
      this.complain(error);
      this.tellStatus();
    }
    if (this.link.get("_drawn") < frame.version) this.link.set({ _drawn: frame.version });
  }

  private complain(error: unknown): void {
    this.complaint = `the picture could not be drawn: ${error instanceof Error ? error.message : String(error)}`;
  }

  private tellStatus(): void {
    const { state, message } = this.link.get("_status");
    const closed = state === "closed";
    this.root.dataset.state = state;
    setText(this.status, this.complaint || message || "");
    this.panel.element.inert = closed;
    this.header.element.inert = closed;
    this.tellActivity();
  }

  private tellBusy(busy: boolean): void {
    this.root.dataset.busy = String(busy);
    this.tellActivity();
  }

  private tellActivity(): void {
    const failed = this.complaint !== "" || this.root.dataset.state === "error";
    const closed = this.root.dataset.state === "closed";
    const busy = this.root.dataset.busy === "true";
    this.header.tell(closed ? "closed" : busy ? "re-running …" : failed ? "⚠ see the message below" : "");
  }

  private onKey(event: KeyboardEvent): void {
    if (event.key !== "Escape" || event.target instanceof HTMLInputElement) return;
    this.lanes.clearSelection();
    event.preventDefault();
  }
}
