import { make } from "./dom";
import { formatCount } from "./format";
import type { Frame } from "./frame";

/** Before the first picture: what was found in the model, and what to do next. */
export class WaitingView {
  readonly element = make("section", { class: "rnnwidget-waiting" });

  show(frame: Frame): void {
    this.element.hidden = frame.state !== "waiting";
    if (this.element.hidden) return;
    const heads = ["module", "family", "layers × units", "direction", "parameters"];
    const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)));
    const rows = frame.found.map(({ path, family, layers, units, direction, parameters }) => {
      const texts = [
        path || "(the model itself)",
        family,
        units === null ? `${layers}` : `${layers} × ${units}`,
        direction,
        parameters.toLocaleString("en"),
      ];
      return make("tr", {}, ...texts.map((text) => make("td", {}, text)));
    });
    const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
    const whole = make(
      "p",
      { class: "rnnwidget-muted" },
      `${formatCount(frame.parameters, "parameter")} in the whole model`,
    );
    const hint = make("p", { class: "rnnwidget-hint" }, frame.hint);
    this.element.replaceChildren(hint, table, whole);
  }
}
