import { isText } from "./before";
import { turnOff } from "./button";
import { make } from "./dom";
import type { Link } from "./link";

/** Undo and redo, as buttons and as keys of the whole widget. */
export class HistoryButtons {
  readonly element = make("span", { class: "rnnwidget-history" });
  private readonly undo = make("button", { type: "button", "aria-label": "undo" }, "↶");
  private readonly redo = make("button", { type: "button", "aria-label": "redo" }, "↷");
  /** Steps asked for and not sent: only an answered request tells where on the line we stand. */
  private owed = 0;

  constructor(private readonly link: Link) {
    this.undo.title = "undo (Ctrl Z)";
    this.redo.title = "redo (Ctrl Shift Z)";
    this.undo.addEventListener("click", () => this.step(-1));
    this.redo.addEventListener("click", () => this.step(1));
    this.element.append(this.undo, this.redo);
    for (const trait of ["_history", "_frame", "_status", "_request"] as const)
      link.listen(trait, () => {
        this.pay();
        this.show();
      });
    this.show();
  }

  /** True if the key was one of ours. */
  onKey(event: KeyboardEvent): boolean {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || isText(event.target)) return false;
    const key = event.key.toLowerCase();
    if (key !== "z" && key !== "y") return false;
    this.step(key === "y" || event.shiftKey ? 1 : -1);
    event.preventDefault();
    event.stopPropagation();
    return true;
  }

  private step(by: number): void {
    this.owed += by;
    this.pay();
  }

  private pay(): void {
    if (this.owed === 0 || this.link.outstanding) return;
    const { position, length } = this.link.get("_history");
    const wanted = Math.min(length - 1, Math.max(0, position + this.owed));
    this.owed = 0;
    if (wanted !== position) this.link.request({ position: wanted });
  }

  private show(): void {
    const { position, length } = this.link.get("_history");
    turnOff(this.undo, position === 0);
    turnOff(this.redo, position >= length - 1);
  }
}
