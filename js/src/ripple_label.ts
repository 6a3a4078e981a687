import { make, setCutBefore } from "./dom";
import { formatCount } from "./format";
import { textAt } from "./lane";
import type { Band } from "./ripple_frame";

const LINE = 16;
/** Letters of a name that stay in any case: the layer's number and its arrow. */
const KEPT = 5;

/** A layer's name and size beside its band: a long name takes several lines, or in one keeps its end. */
export function labelOf(band: Band, height: number): HTMLElement {
  const label = textAt("rnnwidget-ripple-label", height / 2, "");
  const name = make("span", { class: "rnnwidget-ripple-name", title: band.label });
  const lines = Math.floor((height - LINE) / LINE);
  if (lines < 2) setCutBefore(name, band.label, KEPT);
  else {
    name.style.setProperty("--rw-lines", String(lines));
    const parts = band.label.split(/(?<=[._])/);
    name.append(...parts.flatMap((part, at) => (at === 0 ? [part] : [make("wbr"), part])));
  }
  label.append(name);
  if (lines > 0)
    label.append(make("span", { class: "rnnwidget-ripple-units" }, formatCount(band.units, "unit")));
  return label;
}
