import type { FilledFrame } from "./frame";
import { rowOfUnit, unitsOfRow } from "./frame";

export interface Modifiers {
  range: boolean;
  toggle: boolean;
}

/** The selection after a row is clicked: it alone, with the range from the pinned row, or toggled. */
export function selectRow(frame: FilledFrame, units: number[], row: number, how: Modifiers): number[] {
  const clicked = unitsOfRow(frame, row);
  const pinned = units.at(-1);
  if (how.range && pinned !== undefined) {
    const from = rowOfUnit(frame, pinned);
    if (from < 0) return clicked;
    const rows: number[] = [];
    for (let at = from; at !== row; at += Math.sign(row - from)) rows.push(at);
    return [...rows.flatMap((at) => unitsOfRow(frame, at)), ...clicked];
  }
  if (!how.toggle) return clicked;
  const chosen = clicked.every((unit) => units.includes(unit));
  const others = units.filter((unit) => !clicked.includes(unit));
  return chosen ? others : [...others, ...clicked];
}
