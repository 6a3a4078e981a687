import { describe, expect, it } from "vitest";
import { channelScales } from "../src/channel_scales";

const line = (...values: number[]) => new Float32Array(values);
const rounded = (channels: Float32Array[][]) =>
  channelScales(channels).map(({ range, ticks }) => ({
    range: range.map((value) => Number(value.toFixed(3))),
    ticks: ticks.map((value) => Number(value.toFixed(3))),
  }));

describe("the channels of a stimulus", () => {
  it("share a scale where their sizes compare: a weak pulse looks weak beside a strong one", () => {
    const both = { range: [-0.2, 1], ticks: [1, -0.2] };
    expect(rounded([[line(0, 0.1, 0)], [line(0, 1, 0), line(-0.2, 0, 0)]])).toEqual([both, both]);
  });

  it("have one each where one is more than twenty times the other", () => {
    expect(rounded([[line(0, 0.04)], [line(0, 1)]])).toEqual([
      { range: [0, 0.04], ticks: [0.04, 0] },
      { range: [0, 1], ticks: [1, 0] },
    ]);
  });

  it("show zero alone where they are silent, and nothing that nobody gave", () => {
    expect(rounded([[line(0, 0), line(0, 0)]])).toEqual([{ range: [-1, 1], ticks: [0] }]);
    expect(rounded([[line(0, 0)], [line(0, 2)]])).toEqual([
      { range: [0, 2], ticks: [0] },
      { range: [0, 2], ticks: [2, 0] },
    ]);
  });

  it("have zero in their range, and leave out what is not finite", () => {
    expect(rounded([[line(3, Number.NaN, 5)]])).toEqual([{ range: [0, 5], ticks: [5, 0] }]);
    expect(rounded([[line(Number.NaN, Number.POSITIVE_INFINITY)]])).toEqual([{ range: [-1, 1], ticks: [0] }]);
  });
});
