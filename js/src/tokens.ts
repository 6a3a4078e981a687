import type { Cursor } from "./cursor";
import { make, setText } from "./dom";
import { visibleToken } from "./format";
import type { FilledFrame } from "./frame";
import { aroundFirst, type Label, placeLabels } from "./labels";
import { type Lane, laneParts, type Sheet } from "./lane";
import type { Theme } from "./theme";
import type { TimeScale } from "./timescale";

/** The height of the labels. */
export const TOKENS = 22;
const REACH = 6;
const WIDEST = 96;

/** Token labels at their columns. Where columns are narrow the cursor's neighbourhood comes first. */
export class TokenLane implements Lane {
  readonly element: HTMLElement;
  readonly field: HTMLElement;
  private readonly shown = new Map<number, HTMLElement>();
  private tokens: string[] = [];
  private changed = new Set<number>();
  private widths: number[] = [];
  private font = "";
  private theme: Theme | null = null;
  private scale: TimeScale | null = null;

  constructor(private readonly cursor: Cursor) {
    const parts = laneParts("tokens");
    this.element = parts.element;
    this.element.style.height = `${TOKENS}px`;
    this.element.setAttribute("aria-hidden", "true");
    this.field = parts.field;
    parts.gutter.append(make("span", {}, "token"));
    cursor.listen(() => this.place());
  }

  paint({ frame, scale, theme }: Sheet<Pick<FilledFrame, "tokens" | "writing">>): void {
    this.element.hidden = frame.tokens === null;
    if (!frame.tokens) return;
    this.changed = new Set(frame.writing?.changed_steps ?? []);
    const tokens = frame.tokens;
    if (tokens.length !== this.tokens.length || tokens.some((token, step) => token !== this.tokens[step])) {
      this.tokens = tokens;
      for (const label of this.shown.values()) label.remove();
      this.shown.clear();
      this.font = "";
    }
    if (theme !== this.theme || this.font === "") this.measure();
    this.theme = theme;
    this.scale = scale;
    this.place();
  }

  private measure(): void {
    const { fontFamily, fontSize } = getComputedStyle(this.field);
    const font = `600 ${fontSize} ${fontFamily}`;
    const context = document.createElement("canvas").getContext("2d");
    if (font === this.font || !context) return;
    this.font = font;
    context.font = font;
    this.widths = this.tokens.map((token) =>
      Math.min(WIDEST, Math.ceil(context.measureText(visibleToken(token)).width) + 1),
    );
  }

  private *wanted(scale: TimeScale): Generator<Label> {
    const steps = Math.min(scale.steps, this.tokens.length);
    for (const step of aroundFirst(this.cursor.step, steps, REACH))
      yield { step, centre: scale.centre(step), width: this.widths[step]! };
  }

  private place(): void {
    if (!this.scale) return;
    const placed = placeLabels(this.wanted(this.scale), this.scale.width);
    const kept = new Set(placed.map(({ step }) => step));
    for (const [step, label] of this.shown)
      if (!kept.has(step)) {
        label.remove();
        this.shown.delete(step);
      }
    for (const { step, left } of placed) {
      const label = this.labelOf(step);
      label.style.left = `${left}px`;
      label.style.width = `${this.widths[step]}px`;
      label.classList.toggle("rnnwidget-at-cursor", step === this.cursor.step);
      label.classList.toggle("rnnwidget-retyped", this.changed.has(step));
    }
  }

  private labelOf(step: number): HTMLElement {
    const existing = this.shown.get(step);
    if (existing) return existing;
    const label = make("span", { class: "rnnwidget-token" });
    setText(label, visibleToken(this.tokens[step]!));
    this.shown.set(step, label);
    this.field.append(label);
    return label;
  }
}
