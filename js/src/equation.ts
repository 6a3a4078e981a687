import type { Cursor } from "./cursor";
import { make, setText } from "./dom";
import { type Equation, equationsAt, hasEquation } from "./equations";
import { formatValue } from "./format";
import { currentLayer, type FilledFrame } from "./frame";
import { type Lane, laneParts, type Sheet } from "./lane";

/** The update equation of the traced unit at the cursor: every number stands below its symbol. */
export class EquationLane implements Lane {
  readonly element: HTMLElement;
  private readonly field: HTMLElement;
  private readonly caption = make("span", {});
  private readonly when = make("span", { class: "rnnwidget-muted" });
  private frame: FilledFrame | null = null;
  private shape = "";
  private numbers: HTMLElement[] = [];
  private notes: HTMLElement[] = [];
  /** Where a person registered the layer there is nothing to write out. */
  private readonly own = make(
    "span",
    { class: "rnnwidget-muted" },
    "values of this step; its equation is your own",
  );

  constructor(private readonly cursor: Cursor) {
    const parts = laneParts("equation");
    this.element = parts.element;
    this.field = parts.field;
    parts.gutter.append(this.caption, this.when);
    cursor.listen(() => this.write());
  }

  paint({ frame }: Sheet): void {
    this.frame = frame;
    this.write();
  }

  private write(): void {
    const frame = this.frame;
    if (!frame) return;
    const layer = currentLayer(frame);
    const family = layer?.family ?? "";
    const step = Math.min(this.cursor.step, frame.steps - 1);
    const symbols = new Map(frame.sites.map(({ name, symbol }) => [name, symbol]));
    const equations = equationsAt(frame.trace, family, layer?.nonlinearity ?? "tanh", step, symbols);
    setText(this.caption, "update");
    setText(this.when, `#${frame.trace.unit} at ${step}`);
    const shape = JSON.stringify(equations.map(({ parts }) => parts.map(({ symbol }) => symbol)));
    if (shape !== this.shape) this.build(equations, shape, !hasEquation(family));
    const values = equations.flatMap(({ parts }) => parts.filter((part) => "value" in part));
    for (const [index, { value }] of values.entries()) setText(this.numbers[index]!, formatValue(value));
    for (const [index, { rule }] of equations.entries()) {
      const note = rule === undefined ? "" : `edited; the rule gives ${formatValue(rule)}`;
      setText(this.notes[index]!, note);
    }
  }

  private build(equations: Equation[], shape: string, own: boolean): void {
    this.shape = shape;
    this.numbers = [];
    this.notes = [];
    this.field.replaceChildren(
      ...equations.map(({ parts }) => {
        const cells = parts.map((part) => this.cellOf(part.symbol, "value" in part));
        const note = make("span", { class: "rnnwidget-rule" });
        this.notes.push(note);
        return make("span", { class: "rnnwidget-equation-line" }, ...cells, note);
      }),
      ...(own ? [this.own] : []),
    );
  }

  private cellOf(symbol: string, valued: boolean): HTMLElement {
    const sign = make("span", { class: "rnnwidget-symbol" }, symbol);
    const number = make("span", { class: "rnnwidget-number" }, valued ? "" : "\u00a0");
    if (valued) this.numbers.push(number);
    return make("span", { class: valued ? "rnnwidget-term" : "rnnwidget-operator" }, sign, number);
  }
}
