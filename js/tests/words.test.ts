import { describe, expect, it } from "vitest";
import { formatPower, formatShort, formatSigned, formatValue, visibleToken } from "../src/format";
import { aroundFirst, placeLabels, spread } from "../src/labels";
import { spaced } from "../src/text";
import { roundUp, TimeScale } from "../src/timescale";

describe("numbers", () => {
  it.each([
    [-0.2134, "−0.213"],
    [0, "0.000"],
    [-0.0004, "−4.0e−4"],
    [12345, "1.2e+4"],
    [Number.NaN, "NaN"],
    [Number.NEGATIVE_INFINITY, "−∞"],
    [undefined, "–"],
  ])("%s reads %s", (value, text) => expect(formatValue(value)).toBe(text));

  it("are short on axes", () => {
    expect([1, -1, 0.25, 1.5, 0.001].map((value) => formatShort(value))).toEqual([
      "1",
      "−1",
      "0.25",
      "1.5",
      "1e−3",
    ]);
    expect([1.5, 0, -2].map(formatSigned)).toEqual(["+1.5", "0", "−2"]);
    expect([-12, 0, 3].map(formatPower)).toEqual(["10⁻¹²", "10⁰", "10³"]);
  });
});

describe("tokens", () => {
  it("show whitespace", () => {
    expect(["\n", " ", "\t", "", " the"].map(visibleToken)).toEqual(["↵", "␣", "⇥", "∅", " the"]);
  });

  it.each([
    ["bad", "at", true],
    ["all", ",", false],
    ["does", "n't", false],
    ["it", "'s", false],
    ["电影", "好看", false],
    ["the", "“", true],
    ["a ", "b", false],
  ])("%s + %s: a space between is %s", (before, after, space) => expect(spaced(before, after)).toBe(space));
});

describe("labels", () => {
  it("never overlap, come in their order, and stay inside", () => {
    const widths = [30, 90, 20, 60, 40, 25, 70];
    const labels = widths.map((width, step) => ({ step, centre: step * 12, width }));
    for (let cursor = 0; cursor < widths.length; cursor++) {
      const wanted = [...aroundFirst(cursor, widths.length, 2)].map((step) => labels[step]!);
      const placed = placeLabels(wanted, 200, 4);
      expect(placed[0]!.step).toBe(cursor);
      const spans = placed
        .map(({ step, left }) => [left, left + widths[step]!])
        .sort((a, b) => a[0]! - b[0]!);
      for (const [left, right] of spans) expect(left! >= 0 && right! <= 200).toBe(true);
      for (let index = 1; index < spans.length; index++)
        expect(spans[index]![0]!).toBeGreaterThanOrEqual(spans[index - 1]![1]! + 4);
    }
  });

  it("take the cursor, its neighbours, then the rest, each step once", () => {
    expect([...aroundFirst(3, 6, 1)]).toEqual([3, 2, 4, 0, 1, 5]);
  });

  it("at line ends move apart and keep their order", () => {
    expect(spread([10, 11, 50], 14, 0, 60)).toEqual([10, 24, 50]);
    expect(spread([59, 60], 14, 0, 60)).toEqual([46, 60]);
  });
});

describe("the time scale", () => {
  it("finds the step under a position, and bounds it", () => {
    const scale = new TimeScale(10, 200);
    expect([0, 19, 20, 199, 500, -5].map((x) => scale.stepAt(x))).toEqual([0, 0, 1, 9, 9, 0]);
    expect(scale.stepAt(scale.centre(7))).toBe(7);
  });

  it("puts ticks at round steps", () => {
    expect(new TimeScale(60, 600).ticks(44)).toEqual([0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55]);
    expect([0.3, 1, 3, 6, 11, 20.5].map(roundUp)).toEqual([1, 1, 5, 10, 20, 50]);
  });
});
