import { describe, expect, it } from "vitest";
import type { FilledFrame, Wire } from "../src/frame";
import { floats, lstmFrame, PANEL } from "./fixture";
import { mount, point } from "./mount";

const MARGIN = ".rnnwidget-heatmap .rnnwidget-margin canvas";
const { NaN: nan, POSITIVE_INFINITY: infinite } = Number;

type Change = Partial<Wire<FilledFrame>>;

function marginFrame(values: number[], before: number[] | null = null, change: Change = {}) {
  const margin = {
    label: "mean |h|",
    values: floats(values),
    before: before && floats(before),
    limits: [0, 1] as [number, number],
  };
  return lstmFrame({ units: values.length, steps: 3, unit: 0 }, { margin, ...change });
}

/** The painted pixels of a row of the margin, left to right within [from, to) CSS pixels. */
function painted(canvas: HTMLCanvasElement, rows: number, row: number, from: number, to: number): string[] {
  const scale = canvas.width / canvas.getBoundingClientRect().width;
  const height = canvas.height / rows;
  const [left, right] = [from, to].map((x) => Math.round(x * scale)) as [number, number];
  const { data } = canvas
    .getContext("2d")!
    .getImageData(left, row * height + 1, right - left, Math.max(1, height - 3));
  const colors = new Set<string>();
  for (let at = 0; at < data.length; at += 4)
    if (data[at + 3]! > 200) colors.add(data.slice(at, at + 3).join());
  return [...colors];
}

describe("a margin bar", () => {
  it("of a unit that is not finite is a hatched stub, and of zero nothing but a hairline", async () => {
    const { find } = await mount({ _frame: marginFrame([0.5, nan, 0]) });
    const canvas = find<HTMLCanvasElement>(MARGIN);
    const [bar, stub, none] = [0, 1, 2].map((row) => painted(canvas, 3, row, 2, 14));
    expect(bar!.length).toBe(1);
    expect(stub!.length).toBeGreaterThan(1);
    expect(stub).not.toContain(bar![0]);
    expect(none).toEqual([]);
    expect(canvas.title).toContain("hatched at the left: 1 row with values that are not finite");
  });

  it("that was not finite before the edit says so at the right", async () => {
    const { find } = await mount({ _frame: marginFrame([0.2, 0.2], [nan, 0.1]) });
    const canvas = find<HTMLCanvasElement>(MARGIN);
    const width = canvas.getBoundingClientRect().width;
    expect(painted(canvas, 2, 0, width - 4, width).length).toBeGreaterThan(0);
    expect(painted(canvas, 2, 1, width - 4, width)).toEqual([]);
    expect(canvas.title).toContain("hatched at the right: 1 row before the edit");
  });

  it("that is missing is told in the readout", async () => {
    const { find } = await mount({ _frame: marginFrame([nan, 0.5]) });
    const heatmap = find(".rnnwidget-heatmap canvas[role=img]");
    const line = () => find(".rnnwidget-readout-line").textContent;
    point(heatmap, "pointermove", 0.1, 0.25);
    expect(line()).toContain("not finite at some step");
    point(heatmap, "pointermove", 0.1, 0.75);
    expect(line()).not.toContain("not finite");
  });
});

describe("the gradient lane", () => {
  it("takes a line where there is none, keeps its room once there was one, and no cursor line runs through", async () => {
    const none = { gradient: null, gradient_message: "give the inspector targets= and loss=" };
    const frame = (change: object, version: number) => lstmFrame(scene, { version, ...change });
    const { find, show } = await mount({ _frame: frame(none, 1) });
    const box = (selector: string) => find(selector).getBoundingClientRect();
    const covered = () =>
      box(".rnnwidget-gradient-message").height === box(".rnnwidget-gradient").height &&
      Number(getComputedStyle(find(".rnnwidget-gradient-message")).zIndex) >
        Number(getComputedStyle(find(".rnnwidget-overlay")).zIndex);
    expect(box(".rnnwidget-gradient").height).toBeLessThan(30);
    expect(covered()).toBe(true);
    await show(frame({}, 2));
    const { height } = box(".rnnwidget-gradient");
    expect(height).toBeGreaterThan(60);
    await show(frame(none, 3));
    expect(box(".rnnwidget-gradient").height).toBe(height);
    expect(covered()).toBe(true);
  });

  it("says where a line is zero, and gives zero room below the decades", async () => {
    const change = gradient([1, 0.1, 0.001], [0, 0, 1], { local_label: "local h" });
    const { find, root, show } = await mount({ _frame: lstmFrame({ units: 8, steps: 3, unit: 1 }, change) });
    const caption = () => find(".rnnwidget-gradient .rnnwidget-caption").textContent;
    expect(caption()).toBe("‖∂L/∂(h, c)‖ · local h zero at 2 of 3 steps");
    const ticks = [...root.querySelectorAll(".rnnwidget-gradient .rnnwidget-axis-label")];
    const [last, zero] = ticks.slice(-2).map((tick) => {
      const { top, bottom } = tick.getBoundingClientRect();
      return (top + bottom) / 2;
    });
    expect(ticks.at(-1)!.textContent).toBe("0");
    expect(zero! - last!).toBeGreaterThanOrEqual(15);
    const all = gradient([1, 1, 2], [0, 0, 0]);
    await show(lstmFrame({ units: 8, steps: 3, unit: 1 }, { ...all, version: 2 }));
    expect(caption()).toBe("‖∂L/∂(h, c)‖ · local zero at every step");
  });

  const gradient = (total: number[], local: number[], more: { local_label?: string } = {}) => ({
    gradient: { total: floats(total), local: floats(local), caption: "‖∂L/∂(h, c)‖", ...more },
  });
  const scene = { units: 2, steps: 3, unit: 0 };

  it("names the local line after what it is of", async () => {
    const change = gradient([1, 1, 2], [0, 0, 0], { local_label: "local h" });
    const { find, show } = await mount({ _frame: lstmFrame(scene, change) });
    const label = () => find(".rnnwidget-gradient [data-line=dotted]").textContent;
    expect(label()).toMatch(/^local h 0/);
    await show(lstmFrame(scene, { ...gradient([1, 1, 2], [1, 1, 1]), version: 2 }));
    expect(label()).toMatch(/^local 1/);
  });

  it("tells the steps that it cannot draw, and marks them", async () => {
    const change = gradient([nan, infinite, 1], [nan, 0.1, 1]);
    const { find, show } = await mount({ _frame: lstmFrame(scene, change) });
    const canvas = () => find<HTMLCanvasElement>(".rnnwidget-gradient canvas");
    const odd = "‖∂L/∂(h, c)‖ · not finite at 2 steps";
    expect(find(".rnnwidget-gradient .rnnwidget-caption").textContent).toBe(odd);
    expect(canvas().getAttribute("aria-label")).toContain(odd);
    const third = () => {
      const { width, height } = canvas();
      return canvas()
        .getContext("2d")!
        .getImageData(0, 0, width / 3, height)
        .data.join();
    };
    const marked = third();
    await show(lstmFrame(scene, { ...gradient([0, 0, 1], [0, 0, 1]), version: 2 }));
    expect(find(".rnnwidget-gradient .rnnwidget-caption").textContent).toBe(
      "‖∂L/∂(h, c)‖ · zero at 2 of 3 steps",
    );
    expect(third()).not.toBe(marked);
  });
});

describe("the range of a shift", () => {
  const wide = PANEL.map((gate) => ({ ...gate, shift: [-10, 10] as [number, number] }));

  it("widens under the same slider, but not under a drag", async () => {
    const { find, show } = await mount();
    const slider = () => find<HTMLInputElement>('input[aria-label="forget gate shift"]');
    const first = slider();
    first.dispatchEvent(new PointerEvent("pointerdown", { bubbles: true }));
    await show(lstmFrame({}, { version: 2, panel: wide }));
    expect(first.max).toBe("6");
    first.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
    await show(lstmFrame({}, { version: 3, panel: wide }));
    expect([first.min, first.max]).toEqual(["-10", "10"]);
    expect(slider()).toBe(first);
  });
});
