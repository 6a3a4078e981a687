import { make } from "./dom";
import type { FilledFrame } from "./frame";
import type { Theme } from "./theme";
import type { TimeScale } from "./timescale";

/** What a lane needs to paint itself; some need little of the frame. */
export interface Sheet<Part = FilledFrame> {
  frame: Part;
  scale: TimeScale;
  theme: Theme;
}

/** One lane of the score: a gutter for names, a field on the shared time axis, a margin. */
export interface Lane {
  element: HTMLElement;
  paint(sheet: Sheet): void;
}

export interface LaneParts {
  element: HTMLElement;
  gutter: HTMLElement;
  field: HTMLElement;
  margin: HTMLElement;
}

export function laneParts(name: string): LaneParts {
  const gutter = make("div", { class: "rnnwidget-gutter" });
  const field = make("div", { class: "rnnwidget-field" });
  const margin = make("div", { class: "rnnwidget-margin" });
  const element = make("div", { class: `rnnwidget-lane rnnwidget-${name}` }, gutter, field, margin);
  return { element, gutter, field, margin };
}

/** Text at a height of the gutter or margin: axis ticks and the names at line ends. */
export function textAt(className: string, y: number, text: string): HTMLElement {
  const label = make("span", { class: className }, text);
  label.style.top = `${y}px`;
  return label;
}
