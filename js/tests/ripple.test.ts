import { describe, expect, it } from "vitest";
import { DIVERGING } from "../src/colormap";
import { bandHeight } from "../src/ripple";
import {
  type Band,
  decodeRipple,
  onColorScale,
  strongestCells,
  valueAt,
  type WireRipple,
} from "../src/ripple_frame";
import { floats, ints, lstmFrame } from "./fixture";
import { mount, pixelAt, point } from "./mount";

const shorts = (values: number[]) => new DataView(new Int16Array(values).buffer);

const STEPS = 60;

/** Two layers of four units; unit 2 of the lower one moves at step 30, by the whole limit. */
function rippleWire(change: Partial<WireRipple> = {}): WireRipple {
  const band = (name: string, label: string, cells: [number, number, number][]) => {
    const data = Array.from({ length: 4 * STEPS }, () => 0);
    for (const [row, step, value] of cells) data[row * STEPS + step] = value;
    return {
      name,
      label,
      reverse: false,
      units: 4,
      rows: 4,
      columns: STEPS,
      row_factor: 1,
      column_factor: 1,
      order: ints([0, 1, 3, 2]),
      data: shorts(data),
      most: 0.5,
      edited: [] as [number, number, number, number][],
    };
  };
  return {
    state: "hidden",
    states: ["hidden", "cell"],
    limit: 0.5,
    steps: STEPS,
    bands: [
      {
        ...band("lstm.l0", "0→", [
          [3, 30, 32767],
          [1, 40, -32768],
        ]),
        edited: [[3, 4, 30, 31]],
      },
      band("lstm.l1", "1→", [[0, 45, -32767]]),
    ],
    left_out: [],
    unmatched: 0,
    ...change,
  };
}

const open = (change: Partial<WireRipple> = {}) =>
  mount({
    ripple: "hidden",
    _frame: lstmFrame({ edited: true }, { answer_number: 1, ripple: rippleWire(change) as never }),
  });

const bands = (root: HTMLElement) => [...root.querySelectorAll<HTMLElement>(".rnnwidget-ripple-band")];
const canvasOf = (band: HTMLElement) => band.querySelector<HTMLCanvasElement>("canvas[role=img]")!;

describe("the ripple", () => {
  it("stands closed until its button is pressed, and asks Python for the hidden state", async () => {
    const { find, model } = await mount();
    const button = find<HTMLButtonElement>(".rnnwidget-ripple-line button");
    expect(button.getAttribute("aria-expanded")).toBe("false");
    button.click();
    expect(model.get("ripple")).toBe("hidden");
    await expect.poll(() => button.getAttribute("aria-expanded")).toBe("true");
    button.click();
    expect(model.get("ripple")).toBe("");
  });

  it("has the lowest layer at the foot, each cell in the colour of its value", async () => {
    const { root } = await open();
    const [upper, lower] = bands(root);
    expect([upper!, lower!].map((band) => band.querySelector(".rnnwidget-ripple-name")!.textContent)).toEqual(
      ["1→", "0→"],
    );
    const rgb = (index: number) => [...DIVERGING.bytes.slice(index * 4, index * 4 + 3)];
    expect(pixelAt(canvasOf(lower!), 4, STEPS, 3, 30)).toEqual(rgb(255));
    expect(pixelAt(canvasOf(upper!), 4, STEPS, 0, 45)).toEqual(rgb(0));
    expect(pixelAt(canvasOf(upper!), 4, STEPS, 2, 10)).toEqual(rgb(128));
  });

  it("outlines the edited cells in the accent colour, and nothing else", async () => {
    const { root } = await open();
    const [upper, lower] = bands(root).map(
      (band) => band.querySelector<HTMLCanvasElement>(".rnnwidget-outlines")!,
    );
    const painted = (canvas: HTMLCanvasElement) =>
      canvas
        .getContext("2d")!
        .getImageData(0, 0, canvas.width, canvas.height)
        .data.some((byte) => byte > 0);
    expect(painted(upper!)).toBe(false);
    expect(painted(lower!)).toBe(true);
    const wide = lower!.width / STEPS;
    const column = lower!.getContext("2d")!.getImageData(Math.round(30 * wide), 0, 1, lower!.height).data;
    const rows = Array.from({ length: lower!.height }, (_, row) => column[row * 4 + 3]! > 0);
    expect(rows.indexOf(true)).toBeGreaterThan(lower!.height * 0.7);
  });

  it.each<[string, [number, number, number, number][], number]>([
    ["edited all over: a mark at its edge", [[0, 4, 0, STEPS]], 2],
    ["one row of it: a line above it", [[3, 4, 0, STEPS]], 3],
  ])("keeps the picture of a layer to be seen: %s", async (_, edited, most) => {
    const base = rippleWire();
    const { root } = await open({ bands: [{ ...base.bands[0]!, edited }, base.bands[1]!] });
    const outlines = bands(root)[1]!.querySelector<HTMLCanvasElement>(".rnnwidget-outlines")!;
    const { width, height } = outlines;
    const { data } = outlines.getContext("2d")!.getImageData(0, 0, width, height);
    const painted = data.filter((byte, at) => at % 4 === 3 && byte > 0).length;
    expect(painted).toBeGreaterThan(0);
    expect(painted).toBeLessThanOrEqual(most * Math.max(edited[0]![0] === 0 ? height : width, 1));
    if (edited[0]![0] === 3)
      for (let x = 0; x < width; x++) expect(data[((height - 1) * width + x) * 4 + 3]).toBe(0);
  });

  it("gives its reason whole in the score, and shortly in the ripple below it", async () => {
    const reason =
      "layer 0← reads from the end of the sequence: at no step has it read what came before, so there is no answer " +
      "along the way";
    const { find, root } = await mount(
      {
        ripple: "hidden",
        lane: { number: 1, reason },
        _frame: lstmFrame({ edited: true }, { answer_number: 1, ripple: rippleWire() as never }),
      },
      { width: 680 },
    );
    const [whole, brief] = [...root.querySelectorAll<HTMLElement>(".rnnwidget-lane-reason")];
    expect(whole!.textContent).toBe(reason);
    expect(whole!.scrollWidth).toBeLessThanOrEqual(whole!.clientWidth);
    expect(whole!.scrollHeight).toBeLessThanOrEqual(whole!.clientHeight);
    expect(find(".rnnwidget-answer-lane").clientHeight).toBe(84);
    for (const message of [whole!, brief!]) {
      const [covers, lane] = [message, message.closest(".rnnwidget-answer-lane")!].map((part) =>
        part.getBoundingClientRect(),
      );
      expect(covers!.top).toBeLessThanOrEqual(lane!.top);
      expect(covers!.bottom).toBeGreaterThanOrEqual(lane!.bottom);
    }
    expect(brief!.textContent).toBe("no answer along the way: the answer lane above says why");
    expect(brief!.title).toBe(reason);
  });

  it("tells of the cell under the pointer, and of every layer at the cursor", async () => {
    const { root, find } = await open();
    const lower = canvasOf(bands(root)[1]!);
    point(lower, "pointermove", 30.5 / STEPS, 0.9);
    expect(find(".rnnwidget-ripple-readout").textContent).toContain("layer 0→ · step 30");
    expect(find(".rnnwidget-ripple-readout").textContent).toContain("unit 2: Δh = 0.500");
    point(find(".rnnwidget-ripple-lanes"), "pointerleave", 0.5);
    expect(find(".rnnwidget-ripple-readout").textContent).toContain(
      "largest |Δh|: no change in 1→, 0.5 in 0→",
    );
    expect(find(".rnnwidget-crosshair").style.left).not.toBe("");
  });

  it("says that nothing changed, and no number, where nothing did", async () => {
    const { root, find } = await open({ bands: rippleWire().bands.map((band) => ({ ...band, most: 0 })) });
    for (const band of bands(root)) {
      expect(band.querySelector(".rnnwidget-margin")!.textContent).toBe("no change");
      expect(canvasOf(band).getAttribute("aria-label")).toContain("no change");
    }
    expect(find(".rnnwidget-ripple-readout").textContent).toMatch(/ · no change in any layer$/);
  });

  it("says of a layer that is NaN before and after that there is nothing to compare", async () => {
    const { root } = await open({ bands: rippleWire().bands.map((band) => ({ ...band, most: null })) });
    for (const band of bands(root)) {
      expect(band.querySelector(".rnnwidget-margin")!.textContent).toBe("nothing to compare");
      expect(canvasOf(band).getAttribute("aria-label")).toContain("nothing to compare");
      expect(canvasOf(band).getAttribute("aria-label")).not.toContain("no change");
    }
  });

  it("says at a step that has no counterpart that there is nothing to compare, and not that nothing changed", async () => {
    const wire = rippleWire({ unmatched: 1 });
    for (const band of wire.bands) {
      const data = new Int16Array((band.data as DataView).buffer);
      for (let row = 0; row < 4; row++) data[row * STEPS + 20] = -32768;
    }
    const { find } = await open(wire);
    const bands = find(".rnnwidget-ripple-bands");
    const words = () => find(".rnnwidget-ripple-readout").textContent!;
    const ticks = find(".rnnwidget-ripple-axis .rnnwidget-field").getBoundingClientRect();
    const over = (step: number) => {
      const box = bands.getBoundingClientRect();
      const clientX = ticks.left + ((step + 0.5) / STEPS) * ticks.width;
      find(".rnnwidget-ripple-lanes").dispatchEvent(
        new PointerEvent("pointermove", { bubbles: true, clientX, clientY: box.top - 4 }),
      );
      return words();
    };
    expect(over(20)).toMatch(/step 20.* · nothing to compare$/);
    expect(over(30)).toMatch(/largest \|Δh\|: no change in 1→, 0.5 in 0→$/);
  });

  it("says what is not on the axis and what has no counterpart", async () => {
    const { find } = await open({ left_out: ["decoder.l0"], unmatched: 2 });
    expect(find(".rnnwidget-ripple-note").textContent).toContain("not on this axis: decoder.l0");
    expect(find(".rnnwidget-ripple-note").textContent).toContain("2 steps had no counterpart");
  });

  it("chooses the state that is compared", async () => {
    const { root, model } = await open();
    root.querySelector<HTMLButtonElement>(".rnnwidget-ripple-head button[value=cell]")!.click();
    expect(model.get("ripple")).toBe("cell");
  });

  it("never loses a lone cell to the pixels", () => {
    const data = new Int16Array(400 * 900);
    data[321 * 900 + 777] = -20000;
    const band = { rows: 400, columns: 900, data } as Band;
    const { rows, columns, values } = strongestCells(band, 2, 100, 300);
    expect([rows, columns]).toEqual([100, 300]);
    expect(Math.min(...values)).toBeCloseTo(onColorScale((-20000 / 32767) * 2, 2));
    expect(values.filter((value) => value !== 0)).toHaveLength(1);
  });

  it("refuses a band of another size", () => {
    const wire = rippleWire();
    wire.bands[0]!.data = shorts([1, 2]);
    expect(() => decodeRipple(wire)).toThrow("2 values where 240 belong");
    expect(valueAt(decodeRipple(rippleWire())!.bands[0]!, 0.5, 1, 40)).toBe(Number.NaN);
  });

  it.each([
    [1, "wraps"],
    [9, "wraps"],
    [14, "is cut before its number and its arrow"],
  ])("names its layers in full: with %i of them a long name %s", async (count, how) => {
    const band = (at: number) => ({
      ...rippleWire().bands[0]!,
      name: `l${at}`,
      label: at > 0 ? `net.gru ${at}→` : "network.encoder_of_weather 10→",
    });
    const { root } = await open({ bands: Array.from({ length: count }, (_, at) => band(at)) });
    for (const name of root.querySelectorAll<HTMLElement>(".rnnwidget-ripple-name")) {
      const gutter = name.closest(".rnnwidget-gutter")!.getBoundingClientRect();
      const box = name.parentElement!.getBoundingClientRect();
      expect(box.left).toBeGreaterThanOrEqual(gutter.left);
      expect(box.top).toBeGreaterThanOrEqual(gutter.top - 1);
      expect(box.bottom).toBeLessThanOrEqual(gutter.bottom + 1);
    }
    const long = [...root.querySelectorAll<HTMLElement>(".rnnwidget-ripple-name")].at(-1)!;
    expect([long.textContent, long.title]).toEqual(Array(2).fill("network.encoder_of_weather 10→"));
    if (how === "wraps" && count === 1) expect(long.scrollHeight).toBeLessThanOrEqual(long.clientHeight);
    const tail = long.lastElementChild!;
    if (how !== "wraps") {
      expect(tail.textContent).toBe("r 10→");
      expect(tail.getBoundingClientRect().right).toBeLessThanOrEqual(
        long.getBoundingClientRect().right + 0.5,
      );
    }
  });

  it("keeps all bands within its room", () => {
    for (const count of [1, 2, 4, 8]) expect(bandHeight(count) * count).toBeLessThanOrEqual(320);
  });
});

describe("the answer lane", () => {
  const lane = (change = {}) => ({
    number: 1,
    reason: "",
    labels: ["P(positive)"],
    limits: [0, 1] as [number, number],
    steps: STEPS,
    before: floats(Array.from({ length: STEPS }, () => 0.07)),
    after: floats(Array.from({ length: STEPS }, (_, step) => (step < 30 ? 0.07 : 0.61))),
    done: true,
    ...change,
  });
  const frame = () => lstmFrame({ edited: true }, { answer_number: 1 });

  it("shows before and after at the cursor, and in words", async () => {
    const { find, model } = await mount({ _frame: frame(), lane: lane() });
    const text = () => find(".rnnwidget-answer-lane .rnnwidget-margin").textContent;
    expect(text()).toBe("before 0.07after 0.61");
    expect(find(".rnnwidget-answer-lane canvas").getAttribute("aria-label")).toContain(
      "0.07 before, 0.61 after",
    );
    expect(find(".rnnwidget-answer-lane").dataset.state).toBe("done");
    model.receive({
      lane: lane({ done: false, after: floats(Array.from({ length: STEPS }, () => Number.NaN)) }),
    });
    expect(text()).toBe("before 0.07after …");
    expect(find(".rnnwidget-answer-lane").dataset.state).toBe("growing");
  });

  it("is stale once a newer picture is there, and gives the reason where there is none", async () => {
    const { find, model, show } = await mount({ _frame: frame(), lane: lane() });
    await show({ ...(frame() as object), version: 2, answer_number: 2 } as never);
    expect(find(".rnnwidget-answer-lane").dataset.state).toBe("stale");
    model.receive({ lane: { number: 2, reason: "layer 'l0_reverse' reads from the end" } });
    expect(find(".rnnwidget-lane-reason").textContent).toBe("layer 'l0_reverse' reads from the end");
  });
});
