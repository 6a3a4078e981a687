import { describe, expect, it } from "vitest";
import { userEvent } from "vitest/browser";
import { decode } from "../src/decoding";
import { type FilledFrame, rowOfUnit } from "../src/frame";
import { lstmFrame, WAITING } from "./fixture";
import { HEATMAP, mount, point } from "./mount";

const at = (step: number) => (step + 0.5) / 60;
const row = (index: number) => (index + 0.5) / 64;

describe("waiting", () => {
  it("says what was found and what to do next", async () => {
    const { find, root, model } = await mount({
      _frame: WAITING,
      _status: { state: "waiting", message: "" },
    });
    const text = find(".rnnwidget-waiting").textContent;
    for (const said of [
      "lstm",
      "2 × 64",
      "both directions",
      "198,656",
      "812,354 parameters",
      WAITING.hint as string,
    ])
      expect(text).toContain(said);
    expect(find(".rnnwidget-filled").hidden).toBe(true);
    expect(model.get("_drawn")).toBe(1);
    expect(root.getAttribute("data-lm-suppress-shortcuts")).toBe("true");
  });

  it("gives way to the first picture", async () => {
    const { find, show } = await mount({ _frame: WAITING });
    await show(lstmFrame({}, { version: 2 }));
    expect(find(".rnnwidget-waiting").hidden).toBe(true);
    expect(find(".rnnwidget-filled").hidden).toBe(false);
  });
});

describe("the shared cursor", () => {
  it("links the heatmap, the text, the tokens, the readout and the equation", async () => {
    const { find } = await mount();
    point(find(HEATMAP), "pointermove", at(12), row(5));
    expect(find(".rnnwidget-text .rnnwidget-at-cursor").dataset.step).toBe("12");
    expect(find(".rnnwidget-token.rnnwidget-at-cursor").textContent).toBe("with");
    expect(find(".rnnwidget-readout-line").textContent).toMatch(
      /^cursor: unit 38 · step 12 “with” · h = [−0-9.]+$/,
    );
    expect(find(".rnnwidget-equation").textContent).toContain("#17 at 12");
  });

  it("names the row it frames beside it, the one that is traced has a mark of its own", async () => {
    const { find, root } = await mount();
    const here = find(".rnnwidget-unit-here");
    const middle = (part: Element) => {
      const { top, bottom } = part.getBoundingClientRect();
      return (top + bottom) / 2;
    };
    point(find(HEATMAP), "pointermove", at(12), row(30));
    expect([here.textContent, here.hidden]).toEqual(["#21", false]);
    expect(find(".rnnwidget-readout-line").textContent).toContain("unit 21 ");
    expect(middle(here)).toBeCloseTo(middle(find(".rnnwidget-row")), 0);
    const names = [...root.querySelectorAll(".rnnwidget-unit-name")];
    expect(names.map((name) => name.textContent)).toEqual(["#17"]);
    const canvas = find<HTMLCanvasElement>(".rnnwidget-markers");
    const marked = (index: number) =>
      canvas.getContext("2d")!.getImageData(2, Math.floor((index + 0.5) * (canvas.height / 64)), 1, 1)
        .data[3]! > 0;
    expect([2, 30].map(marked)).toEqual([true, false]);
    point(find(HEATMAP), "pointermove", at(12), row(2));
    expect(here.hidden).toBe(true);
  });

  it("moves from a word and from any lane", async () => {
    const { find } = await mount();
    find('.rnnwidget-text [data-step="7"]').click();
    expect(find(".rnnwidget-readout-line").textContent).toContain("step 7 ");
    point(find(".rnnwidget-gradient .rnnwidget-field"), "pointermove", at(31));
    expect(find(".rnnwidget-readout-line").textContent).toContain("step 31 ");
    expect(find(".rnnwidget-text .rnnwidget-at-cursor").dataset.step).toBe("31");
  });

  it("moves through the text by key", async () => {
    const { find } = await mount();
    find('.rnnwidget-text [data-step="7"]').click();
    find(".rnnwidget-text").focus();
    await userEvent.keyboard("{ArrowRight}{ArrowRight}{ArrowLeft}");
    expect(find(".rnnwidget-readout-line").textContent).toContain("step 8 ");
  });

  it("stands in one column in all lanes", async () => {
    const { find } = await mount();
    point(find(HEATMAP), "pointermove", at(20), row(3));
    const crosshair = find(".rnnwidget-crosshair").getBoundingClientRect();
    const cell = find(".rnnwidget-cell").getBoundingClientRect();
    const label = find(".rnnwidget-token.rnnwidget-at-cursor").getBoundingClientRect();
    expect(crosshair.left).toBeCloseTo(cell.left, 0);
    expect(crosshair.right).toBeCloseTo(cell.right, 0);
    expect((label.left + label.right) / 2).toBeCloseTo((cell.left + cell.right) / 2, 0);
  });

  it("never reaches Python", async () => {
    const { find, model } = await mount();
    const saved = model.saved.length;
    for (let step = 0; step < 60; step++) point(find(HEATMAP), "pointermove", at(step), row(step));
    expect(model.saved.length).toBe(saved);
  });

  it("shows the equation's numbers of the pinned unit", async () => {
    const { find, root } = await mount();
    point(find(HEATMAP), "pointermove", at(4), row(0));
    const numbers = [...root.querySelectorAll(".rnnwidget-term .rnnwidget-number")].map((number) =>
      Number(number.textContent!.replace("−", "-")),
    );
    const [c, f, old, i, g, h, o, squashed] = numbers as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    expect(c).toBeCloseTo(f * old + i * g, 2);
    expect(h).toBeCloseTo(o * squashed, 2);
    expect(find(".rnnwidget-rule").textContent).toBe("");
  });
});

describe("the keyboard on the heatmap", () => {
  const readout = (find: (selector: string) => HTMLElement) => find(".rnnwidget-readout-line").textContent!;

  it("moves the cell cursor and says where it is", async () => {
    const { find } = await mount();
    find(HEATMAP).focus();
    await userEvent.keyboard("{Home}{PageUp}{PageUp}{PageUp}{PageUp}{PageUp}{PageUp}{PageUp}");
    expect(readout(find)).toContain("unit 3 · step 0 ");
    await userEvent.keyboard("{ArrowRight}{ArrowRight}{ArrowDown}");
    expect(readout(find)).toContain("unit 10 · step 2 ");
    await userEvent.keyboard("{PageDown}{End}");
    expect(readout(find)).toContain("unit 16 · step 59 ");
    expect(find("[aria-live=polite].rnnwidget-live").textContent).toBe(readout(find).replace("cursor: ", ""));
    await userEvent.keyboard("{ArrowRight}");
    expect(readout(find)).toContain("step 59 ");
  });

  it("pins, adds, brushes and clears", async () => {
    const { find, model } = await mount();
    find(HEATMAP).focus();
    await userEvent.keyboard("{Home}{PageUp}{PageUp}{PageUp}{PageUp}{PageUp}{PageUp}{PageUp}{Enter}");
    expect(model.get("units")).toEqual([3]);
    await userEvent.keyboard("{ArrowDown}{Shift>}{Enter}{/Shift}");
    expect(model.get("units")).toEqual([3, 10]);
    await userEvent.keyboard("{ArrowRight}{Shift>}{ArrowRight}{ArrowRight}{/Shift}");
    expect(model.get("steps")).toEqual([1, 4]);
    await userEvent.keyboard("{Escape}");
    expect([model.get("units"), model.get("steps")]).toEqual([[], null]);
  });

  it("has a visible focus ring", async () => {
    const { find } = await mount();
    await userEvent.keyboard("{Tab}");
    find(HEATMAP).focus();
    await userEvent.keyboard("{ArrowUp}");
    expect(getComputedStyle(find(HEATMAP)).outlineStyle).toBe("solid");
    expect(Number.parseFloat(getComputedStyle(find(HEATMAP)).outlineWidth)).toBeGreaterThanOrEqual(2);
  });
});

describe("the selection", () => {
  it("follows clicks, and Python hears of it", async () => {
    const { find, model } = await mount();
    point(find(HEATMAP), "click", 0.5, row(2));
    expect(model.saved.at(-1)).toMatchObject({ units: [17] });
    point(find(HEATMAP), "click", 0.5, row(4), { shiftKey: true });
    expect(model.get("units")).toEqual([17, 24, 31]);
    point(find(HEATMAP), "click", 0.5, row(3), { ctrlKey: true });
    expect(model.get("units")).toEqual([17, 31]);
  });

  it("is marked in the gutter with its numbers", async () => {
    const { root, find } = await mount({ units: [24, 17] });
    expect([...root.querySelectorAll(".rnnwidget-unit-name")].map((name) => name.textContent)).toEqual([
      "#17",
      "#24",
    ]);
    expect(find(".rnnwidget-pinned").textContent).toBe("#17");
    const canvas = find<HTMLCanvasElement>(".rnnwidget-markers");
    const inked = (index: number) =>
      canvas.getContext("2d")!.getImageData(2, Math.floor((index + 0.5) * (canvas.height / 64)), 1, 1)
        .data[3]! > 0;
    expect([1, 2, 3, 4].map(inked)).toEqual([false, true, true, false]);
  });

  it("has no name that stands off its row, and always that of the traced unit", async () => {
    const units = Array.from({ length: 64 }, (_, unit) => unit).filter((unit) => unit !== 17);
    const { root } = await mount({ units: [...units, 17] });
    const top = root.querySelector(HEATMAP)!.getBoundingClientRect().top;
    const names = [...root.querySelectorAll<HTMLElement>(".rnnwidget-unit-name")];
    expect(names.length).toBeGreaterThan(5);
    expect(names.map((name) => name.textContent)).toContain("#17");
    const frame = decode(lstmFrame()) as FilledFrame;
    for (const name of names) {
      const box = name.getBoundingClientRect();
      const own = top + 4 * (rowOfUnit(frame, Number(name.textContent!.slice(1))) + 0.5);
      expect(Math.abs((box.top + box.bottom) / 2 - own)).toBeLessThan(14);
    }
  });

  it("of steps is drawn on the axis or the tokens and shown over all lanes", async () => {
    const { find, model } = await mount();
    const field = find(".rnnwidget-tokens .rnnwidget-field");
    field.setPointerCapture = () => undefined;
    point(field, "pointerdown", at(10));
    point(field, "pointermove", at(14));
    expect(model.get("steps")).toBe(null);
    point(field, "pointerup", at(14));
    expect(model.get("steps")).toEqual([10, 15]);
    await expect.poll(() => find(".rnnwidget-brush").hidden).toBe(false);
    const band = find(".rnnwidget-brush").getBoundingClientRect();
    const column = find(HEATMAP).getBoundingClientRect().width / 60;
    expect(band.width).toBeCloseTo(5 * column, 0);
    await expect
      .poll(() => find('.rnnwidget-text [data-step="12"]').className)
      .toContain("rnnwidget-brushed");
    point(field, "pointerdown", at(3));
    point(field, "pointerup", at(3));
    expect(model.get("steps")).toBe(null);
  });
});
