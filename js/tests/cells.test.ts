import { describe, expect, it } from "vitest";
import { countMarks, fitToPixels, markOf, valuesToPaint } from "../src/cells";
import type { Heatmap } from "../src/frame";

function heatmap(data: number[], low: number[] | null, high: number[] | null): Heatmap {
  const array = (values: number[] | null) => values && new Float32Array(values);
  const shape = { rows: 1, columns: data.length, row_factor: 2, column_factor: 2 };
  const rest = { limits: [-1, 1] as [number, number], signed: true, before: null };
  return { ...shape, ...rest, data: new Float32Array(data), low: array(low), high: array(high) };
}

describe("what a cell shows", () => {
  it("is the mean while the extremes are near", () => {
    expect([...valuesToPaint(heatmap([0, 0.25], [-0.4, 0], [0.4, 0.5]))]).toEqual([0, 0.25]);
  });

  it("is the extreme that lies more than a quarter of the range away, so that a spike is never lost", () => {
    expect([...valuesToPaint(heatmap([0, 0, 0], [-0.75, 0, -0.75], [0, 0.75, 1]))]).toEqual([-0.75, 0.75, 1]);
  });

  it("is the infinity or NaN that was pooled", () => {
    expect([...valuesToPaint(heatmap([0, Number.NaN], [0, 0], [Number.POSITIVE_INFINITY, 1]))]).toEqual([
      Number.POSITIVE_INFINITY,
      Number.NaN,
    ]);
  });

  it("keeps a lone spike when there are fewer pixels than cells", () => {
    const values = new Float32Array(1000);
    values[501] = 1;
    const fitted = fitToPixels({ rows: 1, columns: 1000, values }, 1, 100, 2);
    expect(fitted.columns).toBe(100);
    expect([...fitted.values].indexOf(1)).toBe(50);
    expect([...fitted.values].filter((value) => value !== 0)).toEqual([1]);
  });

  it("leaves a grid alone that fits", () => {
    const grid = { rows: 2, columns: 2, values: new Float32Array(4) };
    expect(fitToPixels(grid, 10, 10, 2)).toBe(grid);
  });
});

describe("marks", () => {
  it("say what no colour can", () => {
    const limits = [-1, 1] as const;
    expect(markOf(Number.NaN, limits)).toBe("nan");
    expect(markOf(Number.POSITIVE_INFINITY, limits)).toBe("plus");
    expect(markOf(Number.NEGATIVE_INFINITY, limits)).toBe("minus");
    expect(markOf(1.01, limits)).toBe("above");
    expect(markOf(-1.01, limits)).toBe("below");
    expect(markOf(1, limits)).toBe(null);
  });

  it("forgive float32 rounding at a limit", () => {
    expect(markOf(Math.fround(0.1), [0, 0.1])).toBe(null);
  });

  it("are counted", () => {
    const values = new Float32Array([Number.NaN, 0, Number.NaN, 5]);
    expect([...countMarks(values, [-1, 1])]).toEqual([
      ["nan", 2],
      ["above", 1],
    ]);
  });
});
