import { describe, expect, it } from "vitest";
import { decode, isFilled, rowOfUnit, unitsOfRow } from "../src/frame";
import { selectRow } from "../src/select";
import { floats, ints, lstmFrame, WAITING } from "./fixture";

function filled(change: Parameters<typeof lstmFrame>[1] = {}) {
  const frame = decode(lstmFrame({ units: 4, steps: 3, unit: 1 }, change));
  if (!isFilled(frame)) throw new Error("not filled");
  return frame;
}

describe("decoding", () => {
  it("reads little-endian floats at any offset of a shared buffer", () => {
    const bytes = new Uint8Array(4 * 4 + 3);
    bytes.set(new Uint8Array(new Float32Array([0.25, 0.5, 0.75, 1]).buffer), 3);
    const margin = {
      label: "m",
      values: new DataView(bytes.buffer, 3, 16),
      before: null,
      limits: [0, 1] as [number, number],
    };
    expect([...filled({ margin }).margin.values]).toEqual([0.25, 0.5, 0.75, 1]);
  });

  it("does not take an array of the wrong length for the picture", () => {
    const margin = { label: "m", values: floats([1]), before: null, limits: [0, 1] as [number, number] };
    expect(() => filled({ margin })).toThrow("margin: 1 values where 4 belong");
  });

  it("gives nothing before the first frame, and the waiting frame as it is", () => {
    expect(decode({})).toBe(null);
    expect(isFilled(decode(WAITING))).toBe(false);
  });

  it("knows which units a pooled row stands for", () => {
    const frame = filled({ order: ints([3, 1, 0, 2]) });
    frame.heatmap.row_factor = 2;
    expect(unitsOfRow(frame, 0)).toEqual([3, 1]);
    expect(unitsOfRow(frame, 1)).toEqual([0, 2]);
    expect(rowOfUnit(frame, 2)).toBe(1);
    expect(rowOfUnit(frame, 9)).toBe(-1);
  });
});

describe("selecting rows", () => {
  const plain = { range: false, toggle: false };
  const frame = filled({ order: ints([3, 1, 0, 2]) });

  it("a click selects the unit alone", () => expect(selectRow(frame, [1, 2], 0, plain)).toEqual([3]));

  it("a range runs in display order and pins the clicked unit", () => {
    expect(selectRow(frame, [3], 3, { range: true, toggle: false })).toEqual([3, 1, 0, 2]);
    expect(selectRow(frame, [0], 0, { range: true, toggle: false })).toEqual([0, 1, 3]);
  });

  it("a toggle adds as the pinned unit, or takes away", () => {
    expect(selectRow(frame, [3], 1, { range: false, toggle: true })).toEqual([3, 1]);
    expect(selectRow(frame, [3, 1], 0, { range: false, toggle: true })).toEqual([1]);
  });
});
