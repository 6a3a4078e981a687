import { onPress, turnOff } from "./button";
import type { Cursor } from "./cursor";
import { make, setText, uniqueId } from "./dom";
import type { FilledFrame } from "./frame";
import type { Link } from "./link";
import type { Ground } from "./repainting";
import { RippleView } from "./ripple";

/** The ripple inside the score: a button opens it in place. Python makes it only while it is open. */
export class RippleSection {
  readonly element: HTMLElement;
  private readonly button = make("button", { type: "button" });
  private readonly sign = make("span", { class: "rnnwidget-disclosure", "aria-hidden": "true" });
  private readonly hint = make("span", { class: "rnnwidget-muted rnnwidget-clipped" });
  private readonly view: RippleView;

  constructor(
    private readonly link: Link,
    cursor: Cursor,
  ) {
    const id = uniqueId("ripple");
    this.view = new RippleView(
      cursor,
      { state: (state) => link.set({ ripple: state }), told: (told) => link.set({ told }) },
      true,
    );
    this.view.element.id = id;
    this.button.append(this.sign, "ripple");
    this.button.setAttribute("aria-controls", id);
    onPress(this.button, () => link.set({ ripple: link.get("ripple") ? "" : "hidden" }));
    const line = make("div", { class: "rnnwidget-ripple-line" }, this.button, this.hint);
    this.element = make("section", { class: "rnnwidget-ripple" });
    this.element.append(line);
  }

  /** Nobody is there to make one, or another. */
  stand(still: boolean): void {
    turnOff(this.button, still);
  }

  /** False while there is no room to paint in. */
  paint(frame: FilledFrame, ground: Ground): boolean {
    const open = this.link.get("ripple") !== "";
    const ripple = open ? (frame.ripple ?? null) : null;
    const edited = frame.heatmap.before !== null;
    this.button.setAttribute("aria-expanded", String(open));
    setText(this.sign, open ? "▾" : "▸");
    const idle = edited
      ? ""
      : "nothing is changed: move a slider or change the input, and see here where it travels";
    setText(this.hint, open ? idle : "where a change travels: all layers on one time axis");
    if (!ripple) {
      this.view.element.remove();
      return true;
    }
    if (!this.view.element.isConnected) this.element.append(this.view.element);
    const scene = {
      ripple,
      tokens: frame.tokens,
      edits: frame.edits,
      answer: frame.answer,
      number: frame.answer_number ?? 0,
      told: this.link.get("told"),
      lane: this.link.get("lane"),
    };
    return this.view.paint(scene, ground);
  }
}
