import { AnswerLane, type AnswerSteps } from "./answer_lane";
import { prepare } from "./canvas";
import { countMarks } from "./cells";
import { Choice } from "./choice";
import { colorsOf } from "./colormap";
import type { Cursor } from "./cursor";
import { make, setText } from "./dom";
import { formatCount, formatShort, formatValue } from "./format";
import type { Answer } from "./frame";
import { paintGrid } from "./heatmap";
import { quotedToken } from "./isolation";
import { laneParts } from "./lane";
import { Remembered } from "./remembered";
import type { Ground } from "./repainting";
import { type Band, mostAt, type Ripple, strongestCells, valueAt } from "./ripple_frame";
import { labelOf } from "./ripple_label";
import { hatchMissing, outlineEdits } from "./ripple_overlay";
import { Room } from "./room";
import type { Theme } from "./theme";
import { TimeScale } from "./timescale";
import { TokenLane } from "./tokens";

const ROOM = 320;
const TALLEST = 120;
const SHORTEST = 18;
const BAR = { width: 96, height: 10 };

/** What a ripple shows beside its bands. */
export interface RippleScene {
  ripple: Ripple;
  tokens: string[] | null;
  edits: string[];
  answer: Answer | null;
  /** The number of the answer on show. */
  number: number;
  told: string;
  lane: AnswerSteps | Record<string, never>;
}

interface Strip {
  band: Band;
  height: number;
  element: HTMLElement;
  canvas: HTMLCanvasElement;
  outlines: HTMLCanvasElement;
  field: HTMLElement;
  value: HTMLElement;
}

/** Height of each band: whole pixels, all of them together within the room. */
export function bandHeight(bands: number): number {
  return Math.max(SHORTEST, Math.min(TALLEST, Math.floor(ROOM / Math.max(1, bands))));
}

/** A largest change in words; `sign` stands before a number, null is none that can be compared. */
const sizeOf = (change: number | null, sign = "", digits = 3) =>
  change === null
    ? "nothing to compare"
    : change === 0
      ? "no change"
      : `${sign}${formatShort(change, digits)}`;

/** Every layer's change on one time axis, the lowest layer at the foot, the answer above. */
export class RippleView {
  readonly element: HTMLElement;
  private readonly answer: AnswerLane;
  private readonly tokens: TokenLane;
  private readonly stack = make("div", { class: "rnnwidget-ripple-bands" });
  private readonly ticks = make("div", { class: "rnnwidget-field" });
  private readonly crosshair = make("div", { class: "rnnwidget-crosshair" });
  private readonly states: Choice;
  private readonly caption = make("span", { class: "rnnwidget-muted rnnwidget-clipped" });
  private readonly bar = make("canvas", { "aria-hidden": "true" });
  private readonly low = make("span", { class: "rnnwidget-limit" });
  private readonly high = make("span", { class: "rnnwidget-limit" });
  private readonly note = make("div", { class: "rnnwidget-ripple-note" });
  private readonly readout = make("div", { class: "rnnwidget-ripple-readout" });
  private readonly marked = new Remembered();
  private strips: Strip[] = [];
  private scene: RippleScene | null = null;
  private scale = new TimeScale(1, 1);
  private readonly room = new Room(this.ticks);
  private hovered: { strip: Strip; row: number } | null = null;

  constructor(
    private readonly cursor: Cursor,
    choose: { state(state: string): void; told(name: string): void },
    brief = false,
  ) {
    this.answer = new AnswerLane(cursor, choose.told, brief);
    this.tokens = new TokenLane(cursor);
    this.states = new Choice("state compared in the ripple", choose.state);
    const scale = make("span", { class: "rnnwidget-colorbar" }, this.low, this.bar, this.high);
    const head = make("div", { class: "rnnwidget-ripple-head" }, this.caption, this.states.element, scale);
    const axis = laneParts("ripple-axis");
    axis.gutter.append(make("span", { class: "rnnwidget-muted" }, "step"));
    axis.field.replaceWith(this.ticks);
    const overlay = make("div", { class: "rnnwidget-overlay", "aria-hidden": "true" }, this.crosshair);
    const lanes = make("div", { class: "rnnwidget-ripple-lanes" }, overlay);
    lanes.append(this.answer.element, this.stack, this.tokens.element, axis.element, this.note);
    this.element = make("div", { class: "rnnwidget-ripple-picture" }, head, lanes, this.readout);
    lanes.addEventListener("pointermove", (event) => this.follow(event));
    lanes.addEventListener("pointerleave", () => this.leave());
    cursor.listen(() => this.atCursor());
  }

  /** False while there is no room to paint in. */
  paint(scene: RippleScene, ground: Ground): boolean {
    const width = this.room.on(ground);
    if (width <= 0) return false;
    const { theme } = ground;
    this.scene = scene;
    const { ripple } = scene;
    this.scale = new TimeScale(ripple.steps, width);
    this.head(ripple, theme);
    this.build(ripple);
    for (const strip of this.strips) this.paintStrip(strip, ripple, theme);
    this.answer.element.hidden = scene.answer === null;
    this.answer.paint({
      wire: scene.lane,
      number: scene.number,
      told: scene.told,
      steps: ripple.steps,
      scale: this.scale,
      theme,
    });
    this.tokens.paint({ frame: scene, scale: this.scale, theme });
    if (!this.marked.still(ripple.steps, width))
      this.ticks.replaceChildren(...this.scale.ticks(44).map((step) => this.tick(step)));
    setText(this.note, this.notes(scene).join(" · "));
    this.atCursor();
    return true;
  }

  private tick(step: number): HTMLElement {
    const tick = make("span", { class: "rnnwidget-tick" }, String(step));
    tick.style.left = `${this.scale.centre(step)}px`;
    return tick;
  }

  private head(ripple: Ripple, theme: Theme): void {
    const symbol = ripple.state === "cell" ? "c" : "h";
    setText(this.caption, `Δ${symbol} = after − before, in every layer · colour by √|Δ${symbol}|`);
    this.caption.title =
      "one scale for all layers; where several units or steps share a pixel it shows the largest change among them";
    const options = ripple.states.map((state) => ({ value: state, text: state, name: `${state} state` }));
    this.states.show(options, ripple.state);
    this.states.element.hidden = options.length < 2;
    setText(this.low, formatShort(-ripple.limit));
    setText(this.high, formatShort(ripple.limit));
    const { context } = prepare(this.bar, BAR.width, BAR.height);
    const colors = colorsOf(true, theme);
    for (let x = 0; x < BAR.width; x++) {
      context.fillStyle = colors.css(Math.round((x / (BAR.width - 1)) * 255));
      context.fillRect(x, 0, 1, BAR.height);
    }
  }

  private build(ripple: Ripple): void {
    const bands = [...ripple.bands].reverse();
    const height = bandHeight(bands.length);
    const same =
      bands.length === this.strips.length &&
      bands.every(({ name }, index) => name === this.strips[index]!.band.name);
    if (same) {
      for (const [index, strip] of this.strips.entries()) strip.band = bands[index]!;
      return;
    }
    this.strips = bands.map((band) => this.strip(band, height));
    this.stack.replaceChildren(...this.strips.map(({ element }) => element));
  }

  private strip(band: Band, height: number): Strip {
    const { element, gutter, field, margin } = laneParts("ripple-band");
    const canvas = make("canvas", { role: "img" });
    const outlines = make("canvas", { class: "rnnwidget-outlines", "aria-hidden": "true" });
    const value = make("span", { class: "rnnwidget-muted" });
    element.style.height = `${height}px`;
    gutter.append(labelOf(band, height));
    margin.append(value);
    field.append(canvas, outlines);
    return { band, height, element, canvas, outlines, field, value };
  }

  private paintStrip(strip: Strip, ripple: Ripple, theme: Theme): void {
    const { band, canvas, outlines } = strip;
    const height = strip.height - 3;
    const limits: [number, number] = [-ripple.limit, ripple.limit];
    const ratio = canvas.ownerDocument.defaultView?.devicePixelRatio || 1;
    const cells = strongestCells(
      band,
      ripple.limit,
      Math.max(1, Math.round(height * ratio)),
      Math.max(1, Math.round(this.scale.width * ratio)),
    );
    const plain = { ...cells, values: cells.values.map((value) => (Number.isNaN(value) ? 0 : value)) };
    paintGrid(canvas, plain, limits, colorsOf(true, theme), this.scale.width, height);
    hatchMissing(canvas, cells, this.scale.width, height, theme);
    setText(strip.value, sizeOf(band.most, "|Δ| ≤ ", 2));
    strip.value.title = `the largest change of layer ${band.label}`;
    const odd = countMarks(cells.values, limits).get("nan") ?? 0;
    const words = [
      `layer ${band.label}, change of the ${ripple.state} state`,
      `${formatCount(band.units, "unit")} by ${formatCount(ripple.steps, "step")}`,
      sizeOf(band.most, "largest "),
      ...(odd > 0 ? [`hatched where there is nothing to compare: ${formatCount(odd, "cell")}`] : []),
    ];
    canvas.setAttribute("aria-label", words.join("; "));
    outlineEdits(outlines, band, { width: this.scale.width, height, steps: ripple.steps }, theme);
  }

  private notes({ ripple }: RippleScene): string[] {
    const notes: string[] = [];
    if (ripple.left_out.length > 0)
      notes.push(`not on this axis: ${ripple.left_out.join(", ")} (other steps, or no such state)`);
    if (ripple.unmatched > 0)
      notes.push(`${formatCount(ripple.unmatched, "step")} had no counterpart before: hatched`);
    return notes;
  }

  private follow(event: PointerEvent): void {
    const { left, width } = this.ticks.getBoundingClientRect();
    const x = event.clientX - left;
    if (x < 0 || x >= width) return;
    const strip = this.strips.find(
      ({ field }) => event.target instanceof Node && field.contains(event.target),
    );
    this.hovered = null;
    if (strip) {
      const y = event.clientY - strip.canvas.getBoundingClientRect().top;
      const row = Math.floor((y / (strip.height - 3)) * strip.band.rows);
      this.hovered = { strip, row: Math.min(strip.band.rows - 1, Math.max(0, row)) };
    }
    this.cursor.move({ step: this.scale.stepAt(x) });
    this.write();
  }

  private leave(): void {
    this.hovered = null;
    this.write();
  }

  private atCursor(): void {
    this.crosshair.style.left = `${this.scale.left(this.cursor.step)}px`;
    this.crosshair.style.width = `${Math.max(1, this.scale.column)}px`;
    this.write();
  }

  private write(): void {
    if (!this.scene) return;
    setText(this.readout, this.words(this.scene));
    this.readout.title = this.readout.textContent;
  }

  /** The cell under the pointer in words, or the largest change of each layer at the cursor's step. */
  private words({ ripple, tokens }: RippleScene): string {
    const step = Math.min(this.cursor.step, ripple.steps - 1);
    const token = tokens?.[step];
    const when = `step ${step}${token === undefined ? "" : ` ${quotedToken(token)}`}`;
    const symbol = ripple.state === "cell" ? "Δc" : "Δh";
    if (this.hovered) {
      const { band } = this.hovered.strip;
      const column = Math.floor(step / band.column_factor);
      const start = this.hovered.row * band.row_factor;
      const units = [...band.order.subarray(start, start + band.row_factor)];
      const who = units.length > 1 ? `units ${units.join(", ")}: the largest` : `unit ${units[0]}:`;
      return `layer ${band.label} · ${when} · ${who} ${symbol} = ${formatValue(
        valueAt(band, ripple.limit, this.hovered.row, column),
      )}`;
    }
    const sizes = this.strips.map(({ band }) => ({ layer: band.label, most: mostAt(band, ripple, step) }));
    if (sizes.every(({ most }) => most === null)) return `${when} · nothing to compare`;
    if (sizes.every(({ most }) => !most)) return `${when} · no change in any layer`;
    const told = sizes.map(
      ({ layer, most }) => `${most === null ? "nothing to compare" : sizeOf(most)} in ${layer}`,
    );
    return `${when} · largest |${symbol}|: ${told.join(", ")}`;
  }
}
