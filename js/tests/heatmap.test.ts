import { describe, expect, it } from "vitest";
import { colorIndex, DIVERGING, SEQUENTIAL } from "../src/colormap";
import type { FilledFrame, Wire } from "../src/frame";
import { floats, ints, lstmFrame } from "./fixture";
import { HEATMAP, mount, pixelAt, point } from "./mount";

const VALUES = [
  [-1, -0.5, 0, 0.5],
  [1, 0.25, -0.25, 0.75],
  [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0],
  [1.5, -1.5, 0, 0],
];

type Cells = Partial<Wire<FilledFrame>["heatmap"]>;

function frameOf(values: number[][], heatmap: Cells = {}, change: Partial<Wire<FilledFrame>> = {}) {
  const base = lstmFrame({ units: values.length, steps: values[0]!.length, unit: 0 }, change);
  if (base.state !== "filled" || !("heatmap" in base)) throw new Error("not filled");
  const order = ints(values.map((_, row) => row));
  return { ...base, order, heatmap: { ...base.heatmap, data: floats(values.flat()), ...heatmap } };
}

const colorOf = (value: number, map = DIVERGING, limits: [number, number] = [-1, 1]) => {
  const index = colorIndex(value, limits);
  return [...map.bytes.slice(index * 4, index * 4 + 3)];
};

const inTable = (pixel: number[], map = DIVERGING) =>
  Array.from({ length: 256 }, (_, index) => [...map.bytes.slice(index * 4, index * 4 + 3)]).some(
    (color) => Math.max(...color.map((channel, at) => Math.abs(channel - pixel[at]!))) <= 2,
  );

describe("the heatmap's pixels", () => {
  it("are the colours of the values", async () => {
    const { find } = await mount({ _frame: frameOf(VALUES) });
    const canvas = find<HTMLCanvasElement>(HEATMAP);
    for (const row of [0, 1])
      for (const column of [0, 1, 2, 3])
        expect(pixelAt(canvas, 4, 4, row, column)).toEqual(colorOf(VALUES[row]![column]!));
  });

  it("have no interpolation between cells", async () => {
    const { find } = await mount({ _frame: frameOf([[-1, 1]]) });
    const canvas = find<HTMLCanvasElement>(HEATMAP);
    const row = canvas.getContext("2d")!.getImageData(0, 2, canvas.width, 1).data;
    const colors = new Set<string>();
    for (let x = 0; x < canvas.width; x++) colors.add(row.slice(x * 4, x * 4 + 3).join());
    expect([...colors]).toEqual([colorOf(-1).join(), colorOf(1).join()]);
  });

  it("are one per device pixel", async () => {
    const { find } = await mount({ _frame: frameOf(VALUES) });
    const canvas = find<HTMLCanvasElement>(HEATMAP);
    const box = canvas.getBoundingClientRect();
    expect([canvas.width, canvas.height]).toEqual([
      box.width * devicePixelRatio,
      box.height * devicePixelRatio,
    ]);
  });

  it.each([
    ["NaN", 2, 0],
    ["+inf", 2, 1],
    ["−inf", 2, 2],
  ])("show %s in no colour of the scale", async (_, row, column) => {
    const { find } = await mount({ _frame: frameOf(VALUES) });
    const canvas = find<HTMLCanvasElement>(HEATMAP);
    const [width, height] = [canvas.width / 4, canvas.height / 4];
    const pixels = canvas.getContext("2d")!.getImageData(column * width, row * height, width, height).data;
    let scaleColors = 0;
    for (let at = 0; at < pixels.length; at += 4)
      if (inTable([...pixels.slice(at, at + 3)])) scaleColors += 1;
    expect(scaleColors / (pixels.length / 4)).toBeLessThan(0.02);
  });

  it("tell NaN, +inf and −inf apart", async () => {
    const { find } = await mount({ _frame: frameOf(VALUES) });
    const canvas = find<HTMLCanvasElement>(HEATMAP);
    const [width, height] = [canvas.width / 4, canvas.height / 4];
    const cells = [0, 1, 2].map((column) =>
      canvas
        .getContext("2d")!
        .getImageData(column * width, 2 * height, width, height)
        .data.join(),
    );
    expect(new Set(cells).size).toBe(3);
  });

  it("mark values outside the limits at their side, in their end's colour", async () => {
    const { find } = await mount({ _frame: frameOf(VALUES) });
    const canvas = find<HTMLCanvasElement>(HEATMAP);
    expect(pixelAt(canvas, 4, 4, 3, 0)).toEqual(colorOf(1));
    expect(pixelAt(canvas, 4, 4, 3, 1)).toEqual(colorOf(-1));
    const rows = 4 * 9;
    expect(pixelAt(canvas, rows, 4, 3 * 9, 0)).toEqual([250, 250, 250]);
    expect(pixelAt(canvas, rows, 4, 3 * 9 + 8, 1)).toEqual([250, 250, 250]);
  });

  it("explain the marks with counts, and only while there are any", async () => {
    const { show, root } = await mount({ _frame: frameOf(VALUES) });
    const marks = [...root.querySelectorAll<HTMLElement>(".rnnwidget-marks [data-mark]")];
    expect(marks.map((mark) => mark.textContent).sort()).toEqual(
      ["+∞ 1", "< min 1", "> max 1", "NaN 1", "−∞ 1"].sort(),
    );
    await show(frameOf([[0, 0]], {}, { version: 2 }));
    expect(root.querySelectorAll("[data-mark]").length).toBe(0);
  });

  it("show the far extreme of a pooled cell", async () => {
    const values = [[0, 0]];
    const extremes = { low: floats([0, -0.1]), high: floats([1, 0.1]), column_factor: 4, columns: 2 };
    const { find } = await mount({ _frame: frameOf(values, extremes) });
    const canvas = find<HTMLCanvasElement>(HEATMAP);
    expect(pixelAt(canvas, 1, 2, 0, 0)).toEqual(colorOf(1));
    expect(pixelAt(canvas, 1, 2, 0, 1)).toEqual(colorOf(0));
  });

  it("show a gate on the sequential scale from 0 to 1", async () => {
    const { find, root } = await mount({ _frame: frameOf([[0, 0.5, 1]], { signed: false, limits: [0, 1] }) });
    const canvas = find<HTMLCanvasElement>(HEATMAP);
    const expected = [0, 0.5, 1].map((value) => colorOf(value, SEQUENTIAL, [0, 1]));
    expect([0, 1, 2].map((column) => pixelAt(canvas, 1, 3, 0, column))).toEqual(expected);
    expect(
      [...root.querySelectorAll(".rnnwidget-legend .rnnwidget-limit")].map((limit) => limit.textContent),
    ).toEqual(["0", "1"]);
  });

  it("can show the run before the edit and the change", async () => {
    const frame = frameOf([[0.5, -0.5]], { before: floats([0.25, -0.5]) });
    const { find, root } = await mount({ _frame: frame });
    const canvas = find<HTMLCanvasElement>(HEATMAP);
    const press = (value: string) =>
      find<HTMLButtonElement>(`.rnnwidget-readout button[value=${value}]`).click();
    press("before");
    await expect.poll(() => pixelAt(canvas, 1, 2, 0, 0)).toEqual(colorOf(0.25));
    press("change");
    await expect.poll(() => pixelAt(canvas, 1, 2, 0, 0)).toEqual(colorOf(0.25, DIVERGING, [-0.3, 0.3]));
    expect(pixelAt(canvas, 1, 2, 0, 1)).toEqual(colorOf(0));
    expect(
      [...root.querySelectorAll(".rnnwidget-legend .rnnwidget-limit")].map((limit) => limit.textContent),
    ).toEqual(["−0.3", "0.3"]);
  });

  it("are told in words to a screen reader", async () => {
    const { find } = await mount();
    expect(find(HEATMAP).getAttribute("aria-label")).toBe(
      "heatmap: hidden state, layer 0→; 64 units by 60 steps; colours from −1 to 1",
    );
  });
});

describe("a pointer on the heatmap", () => {
  const drag = (canvas: HTMLCanvasElement, from: number, to: number, down = 0.5) => {
    canvas.setPointerCapture = () => undefined;
    point(canvas, "pointerdown", from, 0.2);
    point(canvas, "pointermove", to, down);
    point(canvas, "pointerup", to, down);
    canvas.click();
  };

  it("brushes steps where it is dragged along, and leaves the units selected", async () => {
    const { find, model } = await mount({ units: [17, 5] });
    drag(find<HTMLCanvasElement>(HEATMAP), 10.5 / 60, 19.5 / 60, 0.9);
    expect(model.get("steps")).toEqual([10, 20]);
    expect(model.get("units")).toEqual([17, 5]);
    drag(find<HTMLCanvasElement>(HEATMAP), 19.5 / 60, 3.5 / 60);
    expect(model.get("steps")).toEqual([3, 20]);
  });

  it("selects a unit where it is only pressed, and leaves the steps brushed", async () => {
    const { find, model } = await mount({ units: [17], steps: [3, 9] });
    drag(find<HTMLCanvasElement>(HEATMAP), 10.5 / 60, 10.5 / 60);
    expect(model.get("steps")).toEqual([3, 9]);
    expect(model.get("units")).toHaveLength(1);
    expect(model.get("units")).not.toEqual([17]);
  });
});
