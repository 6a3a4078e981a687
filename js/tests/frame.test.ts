import { describe, expect, it } from "vitest";
import { decode } from "../src/decoding";
import { type FilledFrame, isFilled, rowOfUnit, unitsOfRow, type WireFilled } from "../src/frame";
import { describeCell } from "../src/readout";
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

  it("takes the cells before from those that were sent once, and only of the version that it names", () => {
    const wire = lstmFrame({ units: 4, steps: 3, unit: 1, edited: true }) as WireFilled;
    const named = { ...wire, heatmap: { ...wire.heatmap, before: 7 } };
    const cells = floats(Array.from({ length: 12 }, (_, cell) => cell));
    const found = decode(named, { version: 7, cells }) as FilledFrame;
    expect([...found.heatmap.before!]).toEqual(Array.from({ length: 12 }, (_, cell) => cell));
    expect(() => decode(named, { version: 6, cells })).toThrow("version 6 was sent where 7 belongs");
    expect(() => decode(named)).toThrow("version none was sent where 7 belongs");
  });

  it("says in words where a step has no counterpart before", () => {
    const wire = lstmFrame({ units: 2, steps: 3, unit: 1, edited: true }) as WireFilled;
    const before = floats([0.5, Number.NaN, Number.NaN, 0.5, Number.NaN, 0.25]);
    const writing = { words: "", pulses: null, told: [], changed_steps: [1], new_steps: [1], reads: null };
    const frame = decode({ ...wire, writing, heatmap: { ...wire.heatmap, before } }) as FilledFrame;
    expect(describeCell(frame, 0, 0)).toContain("(before 0.500)");
    expect(describeCell(frame, 0, 1)).toContain("(no step before)");
    expect(describeCell(frame, 0, 2)).toContain("(before NaN)");
    const unwritten = decode({ ...wire, heatmap: { ...wire.heatmap, before } }) as FilledFrame;
    expect(describeCell(unwritten, 0, 1)).toContain("(before NaN)");
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
