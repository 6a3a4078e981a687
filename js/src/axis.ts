import { make, setText } from "./dom";
import { type Lane, laneParts, type Sheet } from "./lane";
import { Remembered } from "./remembered";

/** The height of the step numbers. */
export const AXIS = 18;

/** The step numbers along the top of the lanes. */
export class AxisLane implements Lane {
  readonly element: HTMLElement;
  readonly field: HTMLElement;
  private readonly marked = new Remembered();
  private readonly caption = make("span", { class: "rnnwidget-muted" });

  constructor() {
    const parts = laneParts("axis");
    this.element = parts.element;
    this.element.style.height = `${AXIS}px`;
    this.field = parts.field;
    parts.gutter.append(this.caption);
  }

  paint({ frame, scale }: Sheet): void {
    setText(this.caption, frame.reverse ? "step, read ←" : "step, read →");
    this.caption.title = frame.reverse
      ? "this layer reads from right to left"
      : "this layer reads from left to right";
    if (this.marked.still(frame.steps, scale.width)) return;
    this.field.replaceChildren(
      ...scale.ticks(44).map((step) => {
        const tick = make("span", { class: "rnnwidget-tick" }, String(step));
        tick.style.left = `${scale.centre(step)}px`;
        return tick;
      }),
    );
  }
}
